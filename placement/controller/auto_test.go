package controller

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/runnel-io/runnel/placement"
	"github.com/runnel-io/runnel/placement/ask"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

func automatic(c *Config) {
	c.Automatic = true
	c.MuteAfterReturn = 1
}

// holders lists the brokers that hold replicas, with how many.
func holders(s *placement.State) map[int32]int {
	out := map[int32]int{}
	for _, t := range s.Topics {
		for n := range t.Partitions {
			for _, r := range t.Partitions[n].All() {
				out[r.Broker]++
			}
		}
	}
	return out
}

func atRest(s *placement.State) bool {
	for range s.Moves() {
		return false
	}
	return true
}

func TestNewBrokerIsFilledByItself(t *testing.T) {
	t.Parallel()
	g, nodes, _ := driven(t, 3, automatic)
	do(t, nodes[0].c, CreateTopic{Name: "t", Partitions: 8, RF: 3})
	do(t, nodes[0].c, RegisterBroker{Broker: registration(4)})
	g.add(4)
	g.await(func() bool {
		s := nodes[0].c.State()
		h := holders(s)
		return atRest(s) && h[4] >= 5 && h[4] <= 6+1
	})
}

func TestDeadBrokerIsReplacedByItself(t *testing.T) {
	t.Parallel()
	g, nodes, a := driven(t, 5, func(c *Config) { automatic(c); c.ReplaceAfter = 50 * time.Millisecond })
	do(t, nodes[0].c, CreateTopic{Name: "t", Partitions: 6, RF: 3})
	a.set(func() { a.silent[5] = true })
	g.await(func() bool { s := nodes[0].c.State(); return atRest(s) && holders(s)[5] == 0 })
}

func TestQuarantinedReplicaIsReplacedByItself(t *testing.T) {
	t.Parallel()
	g, nodes, a := driven(t, 4, automatic)
	do(t, nodes[0].c, CreateTopic{Name: "t", Partitions: 1, RF: 3})
	bad := partitionOf(nodes[0], "t", 0).Replicas[1]
	a.set(func() {
		a.bad[bad.Broker] = map[uint64]string{bad.ID: "fsync failed"}
		a.lag[bad.ID] = ask.Peer{}
	})
	g.await(func() bool {
		p := partitionOf(nodes[0], "t", 0)
		_, there := p.Replica(bad.ID)
		return p.Move == nil && !there && len(p.Replicas) == 3
	})
}

// RULES 19: a voter that can never catch up is replaced, by another under a new id on its own broker if there is no other.
func TestRule19VoterBehindTheLogIsReplacedByItself(t *testing.T) {
	for _, brokers := range []int{3, 4} {
		t.Run(fmt.Sprintf("of %d brokers", brokers), func(t *testing.T) {
			t.Parallel()
			g, nodes, a := driven(t, brokers, automatic)
			do(t, nodes[0].c, CreateTopic{Name: "t", Partitions: 1, RF: 3})
			p := partitionOf(nodes[0], "t", 0)
			bad := p.Replicas[1]
			a.leaderOf(p.Group) // its group is there from now on
			a.set(func() { a.lag[bad.ID] = ask.Peer{Active: true, Behind: true} })
			g.await(func() bool {
				p := partitionOf(nodes[0], "t", 0)
				_, there := p.Replica(bad.ID)
				return p.Move == nil && !there && len(p.Replicas) == 3
			})
		})
	}
}

// What a leader says of others holds as long as it is heard: the next one may still have what they lack.
func TestBehindIsForgottenWithTheLeaderThatSaidSo(t *testing.T) {
	s := population(t, 3, 1)
	l := newLoop(t, s, nil)
	rs := s.Topics["t0"].Partitions[0].Replicas
	l.answer = func(broker int32, method string, body []byte) ([]byte, error) {
		if broker != rs[0].Broker || method != ask.MethodStatus {
			return l.quiet(broker, method, body)
		}
		return ask.Encode(ask.StatusResponse{Boot: 1, Revision: l.state.Revision, Behind: map[uint64]string{rs[2].ID: "old"}}), nil
	}
	l.run(2 * time.Second)
	if l.d.quarantined()[rs[2].ID] != "old" {
		t.Fatalf("known are %v", l.d.quarantined())
	}
	l.silent[rs[0].Broker] = true
	l.run(2 * time.Second)
	if len(l.d.quarantined()) > 0 {
		t.Errorf("known are still %v", l.d.quarantined())
	}
}

// Each new replica in turn is quarantined, falls behind the log or loses its broker while it is installed or catches up: the move is
// turned back and made anew, under another id, until one succeeds.
func TestMoveThatCannotBeFinishedIsMadeAnew(t *testing.T) {
	for name, spoil := range map[string]func(a *fakeAgents, r placement.Replica){
		"behind the log": func(a *fakeAgents, r placement.Replica) { a.lag[r.ID] = ask.Peer{Active: true, Behind: true} },
		"quarantined while installing": func(a *fakeAgents, r placement.Replica) {
			a.installs[r.ID] = ask.Install{State: ask.InstallWaiting, Err: "fsync failed"}
			a.bad[r.Broker] = map[uint64]string{r.ID: "fsync failed"}
		},
		"target died while installing": func(a *fakeAgents, r placement.Replica) {
			a.installs[r.ID] = ask.Install{State: ask.InstallReceiving}
			a.silent[r.Broker] = true
		},
		"target died as a learner": func(a *fakeAgents, r placement.Replica) {
			a.lag[r.ID] = ask.Peer{}
			a.silent[r.Broker] = true
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g, nodes, a := driven(t, 6, func(c *Config) { automatic(c); c.ReplaceAfter = 50 * time.Millisecond })
			const leaves = 3
			submit(t, nodes[0], placement.CreateTopic{Name: "t", Brokers: [][]int32{{2, 1, leaves}}}) // broker 1 hears itself whatever happens
			p := partitionOf(nodes[0], "t", 0)
			var spoilt []placement.Replica
			nodes[0].c.OnChange(func(s *placement.State) {
				m := s.Topics["t"].Partitions[0].Move
				if m != nil && len(m.Adds) == 1 && len(spoilt) == 0 {
					spoilt = append(spoilt, m.Adds[0])
					a.set(func() { spoil(a, m.Adds[0]) })
				}
			})
			do(t, nodes[0].c, SetDraining{Broker: leaves, Draining: true})
			g.await(func() bool {
				p := partitionOf(nodes[0], "t", 0)
				_, there := p.On(leaves)
				return p.Move == nil && !there && len(p.Replicas) == 3 && len(spoilt) == 1
			})
			if _, there := partitionOf(nodes[0], "t", 0).Replica(spoilt[0].ID); there {
				t.Errorf("replica %d was spoilt and stayed", spoilt[0].ID)
			}
			a.mu.Lock()
			defer a.mu.Unlock()
			if g := a.groups[p.Group]; len(g.learners) > 0 {
				t.Errorf("learners %v are left in the group", g.learners)
			}
		})
	}
}

func TestLeadersGoHomeAFewAtATime(t *testing.T) {
	t.Parallel()
	g, nodes, a := driven(t, 3, automatic)
	var transfers, most int
	blocked := make(chan struct{})
	a.after = func(_ int32, req ask.ChangeRequest) error {
		if req.Kind != ask.Transfer {
			return nil
		}
		a.set(func() { transfers++; most = max(most, transfers) })
		<-blocked
		a.set(func() { transfers-- })
		return nil
	}
	do(t, nodes[0].c, CreateTopic{Name: "t", Partitions: 30, RF: 3})
	a.set(func() {
		for n := range 30 { // as after a restart
			p := partitionOf(nodes[0], "t", int32(n))
			a.groupLocked(p.Group).leader = p.Replicas[1].ID
		}
	})
	g.await(func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		return transfers == maxTransfers
	})
	a.set(func() { clear(a.polls) })
	g.await(func() bool { // meanwhile the loop goes on
		a.mu.Lock()
		defer a.mu.Unlock()
		return a.polls[1] > 2 && a.polls[2] > 2 && a.polls[3] > 2
	})
	close(blocked)
	g.await(func() bool {
		for n := range 30 {
			p := partitionOf(nodes[0], "t", int32(n))
			if lead, _, _ := a.leaderOf(p.Group); lead != p.Replicas[0].Broker {
				return false
			}
		}
		return true
	})
	a.set(func() {
		if most != maxTransfers {
			t.Errorf("%d transfers were in flight at a time, and %d may be", most, maxTransfers)
		}
	})
}

func TestBrokerThatJustCameGetsNoLeaders(t *testing.T) {
	s := population(t, 3, 3)
	l := newLoop(t, s, func(c *Config) { c.Automatic = true })
	boot := uint64(1)
	l.answer = func(broker int32, method string, body []byte) ([]byte, error) {
		if method == ask.MethodStatus {
			return ask.Encode(ask.StatusResponse{Boot: boot, Revision: l.state.Revision}), nil
		}
		return l.quiet(broker, method, body)
	}
	away := int32(2)
	l.leader = func(group uint64) (int32, uint64, bool) {
		p, _ := find(s, group)
		if p.Replicas[0].Broker == away {
			return p.Replicas[1].Broker, 1, true
		}
		return p.Replicas[0].Broker, 1, true
	}
	const moment = 100 * time.Millisecond
	l.run(firstMute - moment)
	if l.changes > 0 {
		t.Fatalf("%d transfers to brokers that were just met", l.changes)
	}
	l.run(2 * moment)
	if l.changes == 0 {
		t.Fatal("no leader goes home")
	}
	l.run(calmFor)
	l.silent[away] = true
	l.run(3 * time.Second)
	l.changes = 0
	l.run(2 * time.Minute)
	if l.changes > 0 {
		t.Errorf("%d transfers to a broker that is silent", l.changes)
	}
	l.silent[away] = false
	boot++ // it was restarted
	noticed := idlePause
	l.run(noticed)
	l.d.transfers.next = l.now.Add(time.Minute) // as in a large state, where the looks are rarer
	l.run(firstMute - noticed - moment)
	if l.changes > 0 {
		t.Errorf("%d transfers to a broker that just came back", l.changes)
	}
	l.run(noticed + 2*moment)
	if l.changes == 0 {
		t.Errorf("no leader went home %s after its broker came back", firstMute+noticed+moment)
	}
	l.run(time.Minute)
	if l.changes > 10 {
		t.Errorf("%d tries in a minute to send home a leader that does not go, want a few", l.changes)
	}
}

func TestLeaderStaysWhereAnOperatorSentIt(t *testing.T) {
	t.Parallel()
	g, nodes, a := driven(t, 3, automatic)
	do(t, nodes[0].c, CreateTopic{Name: "t", Partitions: 1, RF: 3})
	p := partitionOf(nodes[0], "t", 0)
	to := p.Replicas[2].Broker
	do(t, nodes[0].c, TransferLeadership{Topic: "t", To: to})
	a.set(func() { clear(a.polls) })
	g.await(func() bool { // the loop has looked at leaders since
		a.mu.Lock()
		defer a.mu.Unlock()
		return a.polls[1] > 3
	})
	if lead, _, _ := a.leaderOf(p.Group); lead != to {
		t.Errorf("broker %d leads, and it was sent to %d", lead, to)
	}
}

// A move that is turned back again and again is not made anew at once for ever: each time costs a copy.
func TestRepeatedCancelsCoolDown(t *testing.T) {
	var p planner
	now := time.Unix(1_000_000, 0)
	want := []time.Duration{0, 10 * time.Second, 20 * time.Second, 40 * time.Second, 80 * time.Second}
	for i, pause := range want {
		p.cancelled(now, 7)
		_, first := p.cools(now)
		got := time.Duration(0)
		if !first.IsZero() {
			got = first.Sub(now)
		}
		if got != pause {
			t.Errorf("after cancel %d nothing is planned for %s, want %s", i+1, got, pause)
		}
	}
	for range 20 {
		p.cancelled(now, 7)
	}
	if _, first := p.cools(now); first.Sub(now) != maxCooldown {
		t.Errorf("it waits %s", first.Sub(now))
	}
	if groups, _ := p.cools(now); !groups[7] || groups[8] {
		t.Errorf("cooling: %v", groups)
	}
	p.finished(7)
	if groups, _ := p.cools(now); len(groups) > 0 {
		t.Error("it cools although it was finished")
	}
	p.cancelled(now, 9)
	if p.cools(now.Add(maxCooldown + 1)); len(p.cooling) > 0 {
		t.Error("one that was turned back once is kept for ever")
	}
}

// Installations that fail on a broker for a while have its moves go elsewhere; one that is done ends that.
func TestBrokerThatCannotInstallIsLeftAlone(t *testing.T) {
	var b source
	now := time.Unix(1_000_000, 0)
	for i := range 30 {
		if b.failed(now, "disk full") || b.refuses(now) != "" {
			t.Fatalf("it is given up after %d s", i)
		}
		now = now.Add(time.Second)
	}
	if !b.failed(now, "disk full") || b.refuses(now) != "disk full" {
		t.Error("it has failed for half a minute")
	}
	if b.failed(now, "disk full") {
		t.Error("that is no news")
	}
	if at := now.Add(refusesFor); b.refuses(at) != "" {
		t.Error("it is left alone for ever")
	}
	b.installed()
	if b.failed(now.Add(time.Second), "again") {
		t.Error("one failure after a success is given time")
	}
}

// One planned move that is refused, whatever the reason, does not keep the others from being made.
func TestRefusedMoveHoldsNoOtherUp(t *testing.T) {
	s := population(t, 5, 10)
	next, _, err := placement.Apply(s, placement.SetDraining{Broker: 5, Draining: true})
	if err != nil {
		t.Fatal(err)
	}
	bad := int32(-1)
	l := newLoop(t, next, func(c *Config) { c.Automatic = true; c.Parallel, c.PerBroker = 4, 4 })
	l.answer = l.quiet
	l.refuse = func(c placement.Command) *runnelv1.Error {
		no := runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, "not this one")
		switch c := c.(type) {
		case placement.ProposeMoves:
			if bad < 0 {
				bad = c.Moves[0].Partition
			}
			for _, m := range c.Moves {
				if m.Partition == bad {
					return no
				}
			}
		case placement.ProposeMove:
			if c.Partition == bad {
				return no
			}
		}
		return nil
	}
	l.run(time.Minute)
	moves := 0
	for m := range l.state.Moves() {
		moves++
		if m.Partition == bad {
			t.Errorf("%s/%d was refused and moves", m.Topic.Name, m.Partition)
		}
	}
	if moves != 3 && moves != 4 {
		t.Errorf("%d moves are under way, want all but the refused one", moves)
	}
	if n := strings.Count(l.log.String(), "not recorded"); n != 1 {
		t.Errorf("the refusal was logged %d times:\n%s", n, l.log)
	}
	if l.commands > 300 {
		t.Errorf("%d commands in a minute", l.commands)
	}
}
