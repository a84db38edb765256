package controller

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/runnel-io/runnel/partition/env"
	"github.com/runnel-io/runnel/placement"
	"github.com/runnel-io/runnel/placement/ask"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// loop is a driver whose time is the test's: it passes when it said it would, and every call is answered before time goes on.
type loop struct {
	t   testing.TB
	d   *driver
	log *bytes.Buffer

	mu     sync.Mutex
	now    time.Time
	state  *placement.State
	silent map[int32]bool
	// answer answers a call; submitted commands are folded into the state unless refuse says otherwise.
	answer func(broker int32, method string, body []byte) ([]byte, error)
	refuse func(placement.Command) *runnelv1.Error
	// leader tells who leads; nil: nobody is known to.
	leader func(group uint64) (int32, uint64, bool)

	polls, changes, commands, passes int
	committed                        []string
}

type loopClock struct{ l *loop }

func (c loopClock) Now() time.Time {
	c.l.mu.Lock()
	defer c.l.mu.Unlock()
	return c.l.now
}

func (c loopClock) Wall() time.Time { return c.Now() }

// AfterFunc never fires: every call is answered at once.
func (c loopClock) AfterFunc(time.Duration, func()) env.Timer { return loopTimer{} }

type loopTimer struct{}

func (loopTimer) Stop() bool               { return true }
func (loopTimer) Reset(time.Duration) bool { return true }

func newLoop(t testing.TB, s *placement.State, more func(*Config)) *loop {
	l := &loop{t: t, now: time.Unix(1_000_000, 0), state: s, log: &bytes.Buffer{}, silent: map[int32]bool{}}
	cfg := Config{
		Env: &env.Env{Clock: loopClock{l}}, BrokerID: 1, Caller: l,
		Leader: func(group uint64) (int32, uint64, bool) {
			if l.leader == nil {
				return 0, 0, false
			}
			return l.leader(group)
		},
	}
	if more != nil {
		more(&cfg)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cfg = cfg.withDefaults()
	l.d = newDriver(ctx, cfg, l, newHearing(cfg), slog.New(slog.NewTextHandler(l.log, nil)))
	t.Cleanup(func() {
		cancel()
		l.d.workers.Wait()
	})
	return l
}

func (l *loop) State() *placement.State {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.state
}

func (l *loop) alive(broker int32) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.silent[broker]
}

func (l *loop) submit(_ context.Context, cmd placement.Command) *runnelv1.Error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.commands++
	if l.refuse != nil {
		if err := l.refuse(cmd); err != nil {
			return err
		}
	}
	next, _, err := placement.Apply(l.state, cmd)
	if err != nil {
		return toError(err)
	}
	l.state = next
	l.committed = append(l.committed, strings.TrimPrefix(fmt.Sprintf("%T", cmd), "placement."))
	return nil
}

func (l *loop) Call(_ context.Context, broker int32, method string, body []byte) ([]byte, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if method == ask.MethodStatus {
		l.polls++
	} else {
		l.changes++
	}
	return l.answer(broker, method, body)
}

// quiet answers every poll with nothing to tell.
func (l *loop) quiet(broker int32, method string, _ []byte) ([]byte, error) {
	if method != ask.MethodStatus {
		return nil, notLeading(broker)
	}
	return ask.Encode(ask.StatusResponse{Boot: 1, Revision: l.state.Revision}), nil
}

// run lets the time pass. The loop passes when something is due, and when a call was answered.
func (l *loop) run(span time.Duration) {
	end := loopClock{l}.Now().Add(span)
	for {
		now := loopClock{l}.Now()
		l.passes++
		if l.passes > 1_000_000 {
			l.t.Fatal("the loop spins")
		}
		l.d.turn(now)
		if l.d.polls+l.d.steps+l.d.planner.running+l.d.transfers.inFlight > 0 {
			(<-l.d.results)()
			for l.d.polls+l.d.steps+l.d.planner.running+l.d.transfers.inFlight > 0 {
				(<-l.d.results)()
			}
			continue
		}
		if l.d.again {
			continue
		}
		if !l.d.due.After(now) {
			l.t.Fatalf("the loop has nothing in flight and passes again at once: it spins; due %s", l.d.due.Sub(now))
		}
		l.mu.Lock()
		over := l.d.due.After(end)
		l.now = l.d.due
		if over {
			l.now = end
		}
		l.mu.Unlock()
		if over {
			return
		}
	}
}

// population is a founded state with brokers and a topic t of some partitions of three replicas.
func population(t testing.TB, brokers, partitions int) *placement.State {
	s := placement.New()
	apply := func(c placement.Command) {
		next, _, err := placement.Apply(s, c)
		if err != nil {
			t.Fatal(err)
		}
		s = next
	}
	apply(placement.FoundCluster{ClusterID: "c", Broker: registration(1)})
	for i := 2; i <= brokers; i++ {
		apply(placement.RegisterBroker{Broker: registration(i)})
	}
	for name, left := 0, partitions; left > 0; name++ {
		n := min(left, placement.MaxPartitions)
		left -= n
		where := make([][]int32, n)
		for i := range where {
			for j := range min(3, brokers) {
				where[i] = append(where[i], int32((i+j)%brokers+1))
			}
		}
		apply(placement.CreateTopic{Name: fmt.Sprintf("t%d", name), Brokers: where})
	}
	return s
}

func withMove(t testing.TB, s *placement.State, to int32) *placement.State {
	p := &s.Topics["t0"].Partitions[0]
	next, _, err := placement.Apply(s, placement.ProposeMove{Topic: "t0", AddBrokers: []int32{to}, Removes: []uint64{p.Replicas[2].ID}, Kind: placement.KindManual})
	if err != nil {
		t.Fatal(err)
	}
	return next
}

func TestBrokersArePolledEachSecondWhileSomethingIsAfootAndRarelyAtRest(t *testing.T) {
	s := population(t, 5, 20)
	l := newLoop(t, s, func(c *Config) { c.Automatic = true })
	l.answer = l.quiet
	away := false
	l.leader = func(group uint64) (int32, uint64, bool) {
		p, _ := find(s, group)
		if away {
			return p.Replicas[1].Broker, 1, true
		}
		return p.Replicas[0].Broker, 1, true
	}
	l.run(30 * time.Second) // what it has to record first, it records
	minute := func() int {
		l.polls, l.commands, l.passes = 0, 0, 0
		l.run(time.Minute)
		return l.polls
	}
	if n := minute(); n > 5*13 || l.commands > 0 || l.passes > 5*61*3 {
		t.Errorf("an idle minute with five brokers: %d polls, %d commands, %d passes", n, l.commands, l.passes)
	}
	if lines := strings.Count(l.log.String(), "\n"); lines > 0 {
		t.Errorf("it logged %d lines:\n%s", lines, l.log)
	}
	away = true
	if n := minute(); n < 5*58 || n > 5*61 {
		t.Errorf("a minute with leaders away from home: %d polls", n)
	}
	away = false
	l.run(10 * time.Second)
	if n := minute(); n > 5*13 {
		t.Errorf("a minute after they went home: %d polls", n)
	}
	l.silent[3] = true
	l.run(30 * time.Second)
	l.silent[3] = false
	l.polls = 0
	l.run(idlePause)
	if l.polls == 0 {
		t.Error("a broker that came back is not asked at once")
	}
	l.polls = 0
	l.run(5 * time.Second)
	if l.polls < 5*4 {
		t.Errorf("%d polls in the five seconds after a broker came back", l.polls)
	}
}

func TestBrokersThatMoveSomethingArePolledMoreOften(t *testing.T) {
	l := newLoop(t, withMove(t, population(t, 5, 4), 4), nil)
	l.answer = l.quiet
	l.run(time.Minute)
	if l.polls < 60 || l.polls > 4*60*6+2*60 {
		t.Errorf("%d polls in a minute of a move on four of five brokers", l.polls)
	}
}

// Whatever refuses, is refused or hangs: the loop backs off to two seconds and says so once.
func TestRefusedStepsBackOffAndAreLoggedOnce(t *testing.T) {
	group := func(s *placement.State) ask.Group {
		p := &s.Topics["t0"].Partitions[0]
		g := ask.Group{Replica: p.Replicas[0].ID, Term: 1, Peers: map[uint64]ask.Peer{}}
		for _, r := range p.Replicas {
			g.Voters = append(g.Voters, r.ID)
			g.Peers[r.ID] = ask.Peer{Active: true, CaughtUp: true}
		}
		return g
	}
	installed := func(l *loop, broker int32, method string, body []byte) ([]byte, error) {
		if method != ask.MethodStatus {
			return nil, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_UNAVAILABLE, "not now")
		}
		req, _ := ask.Decode[ask.StatusRequest](body)
		resp := ask.StatusResponse{Boot: 1, Revision: l.state.Revision, Installs: map[uint64]ask.Install{}, Groups: map[uint64]ask.Group{}}
		for _, id := range req.Installs {
			resp.Installs[id] = ask.Install{State: ask.InstallDone}
		}
		p := &l.state.Topics["t0"].Partitions[0]
		if broker == p.Replicas[0].Broker {
			for _, id := range req.Groups {
				resp.Groups[id] = group(l.state)
			}
		}
		return ask.Encode(resp), nil
	}
	for name, c := range map[string]struct {
		answer   func(l *loop, broker int32, method string, body []byte) ([]byte, error)
		refuse   func(placement.Command) *runnelv1.Error
		commands int // at most, in a minute
		changes  int
	}{
		"the leader refuses": {answer: installed, commands: 1, changes: 40},
		"commands are refused": {answer: installed, commands: 40, refuse: func(placement.Command) *runnelv1.Error {
			return runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_UNAVAILABLE, "no quorum")
		}},
		"brokers refuse": {commands: 1, answer: func(*loop, int32, string, []byte) ([]byte, error) {
			return nil, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_UNAVAILABLE, "no such method")
		}},
		"brokers answer what nobody understands": {commands: 1, answer: func(*loop, int32, string, []byte) ([]byte, error) {
			return []byte("{"), nil
		}},
		"nobody leads": {commands: 1, answer: func(l *loop, b int32, m string, body []byte) ([]byte, error) { return l.quiet(b, m, body) }},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLoop(t, withMove(t, population(t, 4, 1), 4), nil)
			l.refuse = c.refuse
			l.answer = func(b int32, m string, body []byte) ([]byte, error) { return c.answer(l, b, m, body) }
			l.run(time.Minute)
			if l.commands > c.commands || l.changes > c.changes || c.changes > 0 && l.changes == 0 {
				t.Errorf("a minute took %d commands and %d changes", l.commands, l.changes)
			}
			if lines := strings.Count(l.log.String(), "\n"); lines > 12 {
				t.Errorf("a minute logged %d lines:\n%s", lines, l.log)
			}
			before := l.log.Len()
			l.run(10 * time.Minute)
			if l.log.Len() != before {
				t.Errorf("it goes on logging:\n%s", l.log.String()[before:])
			}
		})
	}
}
