package agent

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/runnel-io/runnel/placement"
	"github.com/runnel-io/runnel/placement/ask"
)

// runs tells which replica of t/0 serves on a broker; 0 if none does.
func (c *testCluster) runs(broker int32) uint64 {
	if v, ok := c.node(broker).agent.running.Load(c.part().Group); ok {
		return v.(*live).id
	}
	return 0
}

// A voter that lacks what retention has removed is named by its leader, and its successor takes its place, on the same broker if there is
// no other. The old one gives way to it, and comes back if the move is turned back.
func TestRule19VoterBehindRetentionIsReplacedOnItsBroker(t *testing.T) {
	c := newDeskCluster(t, 3)
	c.withhold(3, true) // a founder that comes late, when the log no longer begins where it was founded
	c.createOn(map[string]string{"segment.bytes": "65536", "retention.bytes": "65536"}, 1, 2, 3)
	l := c.produce()
	late := c.on(3)
	c.eventually("the log is trimmed", func() (bool, string) {
		for _, id := range []int32{1, 2} {
			v, ok := c.node(id).agent.running.Load(c.part().Group)
			if !ok {
				return false, "no replica"
			}
			if first, err := v.(*live).raft.Log().FirstIndex(); err != nil || first <= 2 {
				return false, fmt.Sprintf("on broker %d it begins at %d, %v", id, first, err)
			}
		}
		return true, ""
	})
	c.withhold(3, false)
	behind := func() (out []uint64) {
		for _, n := range c.all() {
			for id, why := range c.ask(n, ask.StatusRequest{}).Behind {
				if !strings.Contains(why, "no longer in the log") {
					t.Fatalf("reason %q", why)
				}
				out = append(out, id)
			}
		}
		return out
	}
	c.eventually("the leader names it", func() (bool, string) {
		b := behind()
		return slices.Equal(b, []uint64{late}), fmt.Sprintf("%v, not %d", b, late)
	})
	if q := c.ask(c.node(3), ask.StatusRequest{}).Quarantined; len(q) > 0 || c.runs(3) != late {
		t.Fatalf("it is there and well, and broker 3 reports %v and runs %d", q, c.runs(3))
	}

	c.propose(placement.KindReplaceQuarantined, []int32{3}, []int32{3})
	first := c.on(3)
	c.reach(placement.PhaseLearner)
	if c.runs(3) != first {
		t.Fatalf("broker 3 runs %d, and %d is to learn", c.runs(3), first)
	}
	c.eventually("broker 3 is ready, though a replica gave way", c.node(3).agent.CaughtUp)
	c.apply(placement.CancelMove{TopicID: c.state().Topics["t"].ID, Move: c.part().Move.ID})
	c.finish()
	c.eventually("the old one runs again", func() (bool, string) {
		return c.runs(3) == late, fmt.Sprintf("broker 3 runs %d, not %d", c.runs(3), late)
	})

	c.propose(placement.KindReplaceQuarantined, []int32{3}, []int32{3})
	fresh := c.on(3)
	c.finish()
	l.more(20)
	c.eventually("nobody is behind", func() (bool, string) {
		b := behind()
		_, g := c.leads()
		return len(b) == 0 && g.Peers != nil && (g.Replica == fresh || g.Peers[fresh].CaughtUp), fmt.Sprintf("%v; %+v", b, g)
	})
	if h := c.node(3).holds(); !slices.Equal(h, []uint64{fresh}) {
		t.Fatalf("broker 3 holds %v, not %d", h, fresh)
	}
}
