package agent

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/runnel-io/runnel/placement"
	"github.com/runnel-io/runnel/placement/ask"
)

// quarantined waits until a broker reports a replica, and gives the reason.
func (c *testCluster) quarantined(broker int32, id uint64) (why string) {
	c.t.Helper()
	c.eventually(fmt.Sprintf("broker %d gives replica %d up", broker, id), func() (bool, string) {
		r := c.ask(c.node(broker), ask.StatusRequest{})
		why = r.Quarantined[id]
		return why != "", fmt.Sprintf("%+v", r)
	})
	return why
}

// A founder that was away when its group was made, and came when the group had moved on, is not made any more: its vote would be counted by
// the founding configuration, which is not the group's.
func TestLateFounderOfAGroupThatMovedIsReportedAndReplaced(t *testing.T) {
	c := newDeskCluster(t, 4)
	c.withhold(3, true)
	c.createOn(small, 1, 2, 3)
	l := c.produce()
	l.more(50)
	c.propose(placement.KindManual, []int32{4}, []int32{1})
	c.finish()
	late := c.on(3)
	c.withhold(3, false)
	if why := c.quarantined(3, late); !strings.Contains(why, "not on its disk") {
		t.Fatalf("reason %q", why)
	}
	if h := c.node(3).holds(); len(h) != 0 {
		t.Fatalf("broker 3 made %v", h)
	}
	if ok, why := c.node(3).agent.CaughtUp(); !ok {
		t.Fatalf("a replica that cannot run keeps its broker from being ready: %s", why)
	}
	c.propose(placement.KindReplaceQuarantined, []int32{3}, []int32{3})
	fresh := c.on(3)
	c.finish()
	l.more(20)
	l.check()
	if h := c.node(3).holds(); !slices.Equal(h, []uint64{fresh}) {
		t.Fatalf("broker 3 holds %v, not %d", h, fresh)
	}
	if q := c.ask(c.node(3), ask.StatusRequest{}).Quarantined; len(q) != 0 {
		t.Fatalf("still reported: %v", q)
	}
}

// A founder of a group that is as it was founded is made however late it comes.
func TestLateFounderOfAGroupThatStayedIsMade(t *testing.T) {
	c := newDeskCluster(t, 3)
	c.withhold(3, true)
	c.createOn(nil, 1, 2, 3)
	l := c.produce()
	l.more(20)
	c.withhold(3, false)
	l.check()
}

// A replica that failed while it ran is reported, and its successor takes its place on the same broker and in the same group.
func TestFailedReplicaIsReplacedOnItsBroker(t *testing.T) {
	c := newDeskCluster(t, 3)
	c.createOn(small, 1, 2, 3)
	l := c.produce()
	l.more(100)
	bad := c.on(2)
	if err := c.node(2).store.Quarantine(c.part().Group, bad, "bit rot"); err != nil {
		t.Fatal(err)
	}
	if why := c.quarantined(2, bad); !strings.Contains(why, "bit rot") {
		t.Fatalf("reason %q", why)
	}
	c.propose(placement.KindReplaceQuarantined, []int32{2}, []int32{2})
	fresh := c.on(2)
	c.finish()
	l.more(20)
	l.check()
	c.eventually("only the successor is there", func() (bool, string) {
		h := c.node(2).holds()
		return slices.Equal(h, []uint64{fresh}), fmt.Sprintf("%v, not %d", h, fresh)
	})
	c.node(2).restart()
	l.check()
}

// A replica that the state has past its install, and that is not on the disk, is not installed once more: it may have acknowledged something
// (RULES 19).
func TestRule19ReplicaIsNotInstalledTwice(t *testing.T) {
	c := newDeskCluster(t, 4)
	c.createOn(nil, 1, 2, 3)
	c.propose(placement.KindManual, []int32{4}, []int32{3})
	c.reach(placement.PhaseLearner)
	added := c.on(4)
	n := c.node(4)
	n.stop()
	n.open()
	if err := n.store.Delete(c.part().Group, added); err != nil { // as if the disk had forgotten
		t.Fatal(err)
	}
	n.run(false, nil)
	c.quarantined(4, added)
	if h := n.holds(); len(h) != 0 {
		t.Fatalf("broker 4 holds %v", h)
	}
	c.apply(placement.CancelMove{TopicID: c.state().Topics["t"].ID, Move: c.part().Move.ID})
	c.finish()
}

// RULES 30: what is kept goes on alone, is filled up again, and takes its recovery up once.
func TestRule30KeptReplicaGoesOnAloneAndGrowsAgain(t *testing.T) {
	for _, forgotten := range []bool{false, true} {
		t.Run(fmt.Sprintf("forgotten=%v", forgotten), func(t *testing.T) {
			c := newDeskCluster(t, 5) // a leader serves only while it hears a majority of all brokers, and two will be gone
			// It is born alone, so that the log's first checkpoint does not name those that will be lost.
			c.createOn(small, 1)
			c.apply(placement.SetReplicationFactor{Topic: "t", RF: 3})
			c.propose(placement.KindReplicationFactor, []int32{2, 3}, nil)
			c.finish()
			l := c.produce()
			l.more(100)
			l.stop() // what is acknowledged now is on all that are kept
			c.eventually("broker 1 has everything", func() (bool, string) {
				lead, _ := c.leads()
				if lead == nil {
					return false, "no leader"
				}
				at, _ := lead.agent.Partition("t", 0)
				own, e := c.node(1).agent.Partition("t", 0)
				if e != nil {
					return false, e.Error()
				}
				return own.HighWatermark() == at.HighWatermark(), ""
			})
			kept, lost := c.on(1), []uint64{c.on(2), c.on(3)}
			for _, id := range []int32{2, 3} {
				c.node(id).stop()
			}
			if forgotten { // too many recoveries since for the state to name them all
				c.withhold(1, true)
			}
			c.apply(placement.RecordRecovery{TopicID: c.state().Topics["t"].ID, Kept: kept, Lost: lost})
			if forgotten {
				c.desk.mu.Lock()
				s := *c.desk.state
				s.Recoveries = nil
				c.desk.state = &s
				c.desk.mu.Unlock()
				c.withhold(1, false)
			}
			alone := func() (bool, string) {
				lead, g := c.leads()
				return lead != nil && slices.Equal(g.Voters, []uint64{kept}) && len(g.Outgoing) == 0, fmt.Sprintf("%+v", g)
			}
			c.eventually("the kept one leads alone", alone)
			c.node(1).restart()
			c.eventually("and does so after a restart", alone)
			c.eventually("the lost brokers are silent", func() (bool, string) {
				n := c.node(1)
				return n != nil && !n.host.Alive(2) && !n.host.Alive(3), ""
			})
			for s := range 20 { // more than a partition waits for brokers that it has no need of
				c.node(1).agent.Tick(c.env.Now().Add(time.Duration(s) * time.Second))
			}
			m := c.produceInto(l)
			m.more(20)
			c.propose(placement.KindReplicationFactor, []int32{4}, nil)
			c.eventually("the move is over", c.step)
			c.node(1).restart()
			m.more(20)
			if _, g := c.leads(); len(g.Voters) != 2 {
				t.Fatalf("it recovered twice: %+v", g)
			}
			// The lost ones come back with their disks: their data goes.
			for _, id := range []int32{2, 3} {
				n := &testNode{c: c, id: id, dir: fmt.Sprintf("%s/%d", c.dir, id)}
				n.open()
				n.run(false, nil)
			}
			c.finish()
			m.more(20)
			m.check()
			for _, id := range []int32{2, 3} {
				if h := c.node(id).holds(); len(h) != 0 {
					t.Fatalf("broker %d holds %v", id, h)
				}
			}
		})
	}
}
