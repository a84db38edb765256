package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/runnel-io/runnel/partition/catchup"
	"github.com/runnel-io/runnel/partition/env"
	"github.com/runnel-io/runnel/placement"
	"github.com/runnel-io/runnel/placement/ask"
)

// patientClock is the real one, but that timers of a minute or more end when the test says so.
type patientClock struct {
	env.Clock
	mu   sync.Mutex
	long []*longTimer
}

type longTimer struct {
	c *patientClock
	f func()
}

func (c *patientClock) AfterFunc(d time.Duration, f func()) env.Timer {
	if d < time.Minute {
		return c.Clock.AfterFunc(d, f)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	t := &longTimer{c: c, f: f}
	c.long = append(c.long, t)
	return t
}

func (t *longTimer) Stop() bool {
	t.c.mu.Lock()
	defer t.c.mu.Unlock()
	had := len(t.c.long)
	t.c.long = slices.DeleteFunc(t.c.long, func(o *longTimer) bool { return o == t })
	return len(t.c.long) < had
}

func (t *longTimer) Reset(time.Duration) bool { panic("nothing here does") }

// pass has all that is set end.
func (c *patientClock) pass() (ended int) {
	c.mu.Lock()
	long := c.long
	c.long = nil
	c.mu.Unlock()
	for _, t := range long {
		t.f()
	}
	return len(long)
}

// The leader's disk hangs while its broker goes on to hear and to answer. What asks it for its log is given up, and another source is asked: also
// if the one had given something, and before the one is asked again.
func TestInstallPassesOverASourceThatHangs(t *testing.T) {
	for _, hang := range []struct {
		method string
		after  int32
	}{{"ship.manifest", 0}, {"ship.read", 0}, {"ship.read", 3}, {"ship.sum", 1}} {
		t.Run(fmt.Sprintf("%s after %d", hang.method, hang.after), func(t *testing.T) {
			c := newDeskCluster(t, 4)
			c.createOn(small, 1, 2, 3)
			l := c.produce()
			l.more(200)
			clock := &patientClock{Clock: c.env.Clock}
			e := *c.env
			e.Clock = clock
			n := c.node(4)
			n.agent.cfg.Catchup = catchup.NewClient(catchup.ClientConfig{Env: &e, Caller: caller{n}})
			lead, _ := c.leads()
			if lead == nil {
				t.Fatal("no leader")
			}
			var calls, manifests atomic.Int32
			hangs := make(chan struct{}, 1)
			c.setGate(func(ctx context.Context, from, to int32, method string) error {
				if from != 4 || to != lead.id {
					return nil
				}
				if method == "ship.manifest" {
					manifests.Add(1)
				}
				if method != hang.method || calls.Add(1) <= hang.after {
					return nil
				}
				hangs <- struct{}{}
				<-ctx.Done()
				return ctx.Err()
			})
			c.propose(placement.KindManual, []int32{4}, []int32{3})
			c.reach(placement.PhaseInstalling)
			<-hangs
			if ended := clock.pass(); ended != 1 {
				t.Fatalf("%d calls have a bound, want one", ended)
			}
			c.finish()
			if asked := manifests.Load(); asked != 1 {
				t.Errorf("the source that hangs was asked %d times", asked)
			}
			l.check()
		})
	}
}

func TestSourcesThatStalledAreAskedLast(t *testing.T) {
	c := newDeskCluster(t, 4)
	c.createOn(nil, 1, 2, 3)
	lead, _ := c.leads()
	if lead == nil {
		t.Fatal("no leader")
	}
	var others []int32
	for id := int32(1); id <= 3; id++ {
		if id != lead.id {
			others = append(others, id)
		}
	}
	a, r := c.node(4).agent, &replica{topic: "t", group: c.part().Group}
	c.eventually("broker 4 knows the leader", func() (bool, string) {
		id, _, ok := a.host.Leader(r.group)
		return ok && id == lead.id, ""
	})
	for _, s := range []struct {
		i    install
		want []int32
	}{
		{install{}, []int32{lead.id, others[0], others[1]}},
		{install{stalled: map[int32]int{lead.id: 1}}, []int32{others[0], others[1], lead.id}},
		{install{stalled: map[int32]int{lead.id: 1, others[0]: 2}}, []int32{others[1], lead.id, others[0]}},
		{install{stalled: map[int32]int{lead.id: 1}, source: lead.id}, []int32{lead.id}}, // it gave something since
	} {
		if got := a.sources(r, &s.i); !slices.Equal(got, s.want) {
			t.Errorf("stalled %v, source %d: %v, want %v", s.i.stalled, s.i.source, got, s.want)
		}
	}
}

// All sources hang: the broker tells that it is for them that it has failed.
func TestABrokerTellsThatItsSourcesGiveNothing(t *testing.T) {
	c := newDeskCluster(t, 4)
	c.createOn(nil, 1, 2, 3)
	clock := &patientClock{Clock: c.env.Clock}
	e := *c.env
	e.Clock = clock
	n := c.node(4)
	n.agent.cfg.Catchup = catchup.NewClient(catchup.ClientConfig{Env: &e, Caller: caller{n}})
	var hang atomic.Bool
	hang.Store(true)
	c.setGate(func(ctx context.Context, from, _ int32, method string) error {
		if from != 4 || method != "ship.manifest" || !hang.Load() {
			return nil
		}
		<-ctx.Done()
		return ctx.Err()
	})
	c.propose(placement.KindManual, []int32{4}, []int32{3})
	c.reach(placement.PhaseInstalling)
	id := c.part().Move.Adds[0].ID
	c.eventually("broker 4 has asked all and tells of it", func() (bool, string) {
		clock.pass()
		in := n.agent.report(ask.StatusRequest{Installs: []uint64{id}}).Installs[id]
		return in.Err != "" && in.Stalled, fmt.Sprintf("%+v", in)
	})
	hang.Store(false)
	clock.pass()
	c.finish()
	if onlyStalled(errors.Join(catchup.ErrStalled, errors.New("the disk is full"))) {
		t.Error("a full disk is passed over")
	}
}
