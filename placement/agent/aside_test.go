package agent

import (
	"fmt"
	"slices"
	"testing"

	"github.com/runnel-io/runnel/placement"
	"github.com/runnel-io/runnel/placement/ask"
)

// The controller group was recovered by hand with a log that lacks the newest commands. What they made is not deleted for that.
func TestWhatLostCommandsMadeIsStoppedAndNotDeleted(t *testing.T) {
	c := newDeskCluster(t, 3)
	c.createOn(small, 1, 2, 3)
	l := c.produce()
	l.more(50)
	left := c.state() // the log that is left ends here
	named := c.on(2)
	c.apply(placement.CreateTopic{Name: "later", Brokers: [][]int32{{2, 3}}})
	lost := c.state().Topics["later"].Partitions[0]
	later, _ := lost.On(2)
	c.eventually("both topics run on broker 2", func() (bool, string) {
		live := c.node(2).running()
		return slices.Equal(live, []uint64{named, later.ID}), fmt.Sprint(live)
	})
	c.recoverFrom(left)
	c.eventually("only what the state names runs on broker 2", func() (bool, string) {
		live := c.node(2).running()
		return slices.Equal(live, []uint64{named}), fmt.Sprint(live)
	})
	if h := c.node(2).holds(); !slices.Contains(h, later.ID) || !slices.Contains(h, named) {
		t.Fatalf("broker 2 holds %v; replica %d of the topic that no state names is not to be deleted", h, later.ID)
	}
	l.more(50)
	l.check()
	// Commands go on to delete.
	c.apply(placement.DeleteTopic{Name: "t"})
	c.eventually("a deleted topic goes", func() (bool, string) {
		h := c.node(2).holds()
		return slices.Equal(h, []uint64{later.ID}), fmt.Sprint(h)
	})
}

// recoverFrom has the controller group recovered by hand with a log that ends in an older state.
func (c *testCluster) recoverFrom(left *placement.State) {
	c.t.Helper()
	recovered, _, err := placement.Apply(left, placement.NewRecoverController(left, left.Brokers[1].ControllerReplica, 1, nil, ""))
	if err != nil {
		c.t.Fatal(err)
	}
	c.desk.mu.Lock()
	c.desk.state = recovered
	c.desk.mu.Unlock()
	c.handOut()
}

// lostMove is a partition on brokers 1, 2 and 3 that was moved to 1, 4 and 5, and the state from before the move.
func lostMove(t *testing.T) (c *testCluster, l *load, left *placement.State) {
	c = newDeskCluster(t, 5)
	c.createOn(small, 1, 2, 3)
	l = c.produce()
	l.more(50)
	left = c.state()
	c.propose(placement.KindManual, []int32{4, 5}, []int32{2, 3})
	c.finish()
	return c, l, left
}

// The lost commands moved two of three replicas: those that the state does not name are the majority, and hold what it acknowledged. They serve
// until the group has replicas again that the state knows.
func TestAMajorityThatOnlyLostCommandsNamedServesUntilItIsReplaced(t *testing.T) {
	c, l, left := lostMove(t)
	strays := map[int32]uint64{4: c.on(4), 5: c.on(5)}
	l.more(50)
	c.recoverFrom(left)
	c.eventually("all have taken it up", func() (bool, string) {
		for _, n := range c.all() {
			if at := c.ask(n, ask.StatusRequest{}).Revision; at < c.state().Revision {
				return false, fmt.Sprintf("broker %d is at revision %d", n.id, at)
			}
		}
		return true, ""
	})
	l.more(50)
	for _, id := range []int32{5, 4, 1} {
		c.node(id).restart()
		c.eventually("it is ready", c.node(id).agent.CaughtUp)
	}
	l.more(50)
	for _, b := range [][2]int32{{4, 2}, {5, 3}} { // on the brokers of the strays, which make room
		c.propose(placement.KindReplaceQuarantined, b[:1], b[1:])
		c.finish()
		l.more(50)
		for at, id := range strays {
			c.eventually("they have stopped", func() (bool, string) {
				live := c.node(at).running()
				return !slices.Contains(live, id), fmt.Sprintf("broker %d runs %v", at, live)
			})
			if h := c.node(at).holds(); !slices.Contains(h, id) {
				t.Errorf("broker %d holds %v: no command deleted replica %d", at, h, id)
			}
		}
	}
	if _, g := c.leads(); len(g.Voters) != 3 || slices.Contains(g.Voters, strays[4]) || slices.Contains(g.Voters, strays[5]) {
		t.Errorf("the voters are %v; %v were to leave", g.Voters, strays)
	}
	l.check()
}

// running lists the replicas that are open, by rising id.
func (n *testNode) running() (ids []uint64) {
	n.agent.mu.Lock()
	defer n.agent.mu.Unlock()
	for _, l := range n.agent.opened {
		ids = append(ids, l.id)
	}
	slices.Sort(ids)
	return ids
}

// Such a partition is recovered by hand all the same. Who goes on with one replica has to be deaf to strays that nobody could name: they may
// run where nobody has heard of it, as a majority of what was.
func TestStraysOfAPartitionThatIsRecoveredAreNotHeard(t *testing.T) {
	c, l, left := lostMove(t)
	strays := []uint64{c.on(4), c.on(5)}
	l.stop()
	c.recoverFrom(left)
	c.withhold(4, true)
	c.withhold(5, true)
	kept := c.on(1)
	c.apply(placement.RecordRecovery{TopicID: c.state().Topics["t"].ID, Kept: kept, Lost: []uint64{c.on(2), c.on(3)}})
	for range 2 {
		c.eventually("it leads alone", func() (bool, string) {
			lead, g := c.leads()
			return lead != nil && lead.id == 1 && slices.Equal(g.Voters, []uint64{kept}), fmt.Sprintf("%+v", g)
		})
		a := c.node(1).agent
		a.mu.Lock()
		gone := a.goneLocked(a.replicas[kept])
		a.mu.Unlock()
		if !gone(strays[0]) || !gone(strays[1]) || gone(kept) || gone(c.state().NextReplica) {
			t.Errorf("replica %d hears strays %v: %v %v", kept, strays, !gone(strays[0]), !gone(strays[1]))
		}
		c.node(1).restart()
	}
	c.withhold(4, false)
	c.withhold(5, false)
	stopped := func() {
		t.Helper()
		c.eventually("they have stopped", func() (bool, string) {
			live := slices.Concat(c.node(4).running(), c.node(5).running())
			return len(live) == 0, fmt.Sprint(live)
		})
	}
	stopped()
	// The controller group is recovered once more: that the partition was recovered before holds all the same.
	c.recoverFrom(c.state())
	for id := int32(1); id <= 5; id++ {
		c.node(id).restart()
	}
	c.eventually("all have compared the state", func() (bool, string) {
		for id := int32(1); id <= 5; id++ {
			a := c.node(id).agent
			a.mu.Lock()
			ok := a.compared == c.state().Revision && len(a.queue) == 0
			a.mu.Unlock()
			if !ok {
				return false, fmt.Sprint(id)
			}
		}
		return true, ""
	})
	stopped()
	a := c.node(1).agent
	a.mu.Lock()
	gone := a.goneLocked(a.replicas[kept])
	a.mu.Unlock()
	if !gone(strays[0]) || !gone(strays[1]) || gone(kept) {
		t.Errorf("after another recovery replica %d hears strays %v: %v %v", kept, strays, !gone(strays[0]), !gone(strays[1]))
	}
}
