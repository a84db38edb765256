package agent

import (
	"fmt"
	"slices"
	"testing"

	"github.com/runnel-io/runnel/placement"
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
	c.desk.mu.Lock()
	recovered, _, err := placement.Apply(left, placement.NewRecoverController(left, left.Brokers[1].ControllerReplica, 1, nil, ""))
	c.desk.state = recovered
	c.desk.mu.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	c.handOut()
	c.eventually("only what the state names runs on broker 2", func() (bool, string) {
		live := c.node(2).running()
		return slices.Equal(live, []uint64{named}), fmt.Sprint(live)
	})
	if h := c.node(2).holds(); !slices.Contains(h, later.ID) || !slices.Contains(h, named) {
		t.Errorf("broker 2 holds %v; replica %d of the topic that no state names is not to be deleted", h, later.ID)
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
