package agent

import (
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/runnel-io/runnel/placement"
	"github.com/runnel-io/runnel/placement/controller"
)

func TestThreeBrokersFoundJoinCreateAndDelete(t *testing.T) {
	c := newCluster(t, 3)
	c.voters(3)
	c.await("brokers see each other", func() (bool, string) {
		for _, n := range c.all() {
			for id := int32(1); id <= 3; id++ {
				if !n.host.Alive(id) {
					return false, fmt.Sprintf("broker %d does not hear %d", n.id, id)
				}
			}
		}
		return true, ""
	})
	began := time.Now()
	c.do(c.node(2), controller.CreateTopic{Name: "orders", Partitions: 12, RF: 3})
	c.await("leaders", func() (bool, string) { return c.led("orders", 12) })
	t.Logf("12 partitions x 3 created and led after %v", time.Since(began))

	c.await("ready", func() (bool, string) {
		for _, n := range c.all() {
			if ok, why := n.agent.CaughtUp(); !ok {
				return false, fmt.Sprintf("broker %d: %s", n.id, why)
			}
		}
		return true, ""
	})
	for _, n := range c.all() {
		if running := n.agent.inState("running"); running != 12 {
			t.Errorf("broker %d shows %d running replicas", n.id, running)
		}
		if _, replicas := n.agent.Counts(); replicas != 12 {
			t.Errorf("broker %d has %d replicas, want 12", n.id, replicas)
		}
		n.agent.Tick(c.env.Now())
	}
	// Who leads is raft's to say: on a machine that is busy a leader may have lost its term by now. It was to be four on each.
	first := map[int32]int{}
	for _, p := range c.node(1).ctrl.State().Topics["orders"].Partitions {
		first[p.Desired()[0].Broker]++
	}
	if want := map[int32]int{1: 4, 2: 4, 3: 4}; !maps.Equal(first, want) {
		t.Errorf("brokers are to lead %v, want %v", first, want)
	}
	c.await("12 leaders", func() (bool, string) {
		total := 0
		for _, n := range c.all() {
			leaders, _ := n.agent.Counts()
			total += leaders
		}
		return total == 12, fmt.Sprintf("%d", total)
	})

	c.do(c.node(3), controller.DeleteTopic{Name: "orders"})
	c.await("data gone and tombstones answered", func() (bool, string) {
		for _, n := range c.all() {
			if left := len(n.ctrl.State().Tombstones); left > 0 {
				return false, fmt.Sprintf("broker %d sees %d tombstones", n.id, left)
			}
			if on := n.store.Replicas(); len(on) != 1 || on[0].Group != placement.ControllerGroup {
				return false, fmt.Sprintf("broker %d holds %v", n.id, on)
			}
			if leaders, replicas := n.agent.Counts(); leaders != 0 || replicas != 0 {
				return false, fmt.Sprintf("broker %d still counts %d, %d", n.id, leaders, replicas)
			}
		}
		return true, ""
	})
}

func TestAnotherBrokerTakesOverTheController(t *testing.T) {
	c := newCluster(t, 3)
	c.voters(3)
	c.do(c.node(1), controller.CreateTopic{Name: "before", Partitions: 3, RF: 3})
	c.await("leaders", func() (bool, string) { return c.led("before", 3) })
	lead := c.node(c.node(1).ctrl.Leader())
	lead.stop()
	rest := c.all()
	c.do(rest[0], controller.CreateTopic{Name: "after", Partitions: 4, RF: 2})
	c.await("leaders", func() (bool, string) {
		if ok, why := c.led("before", 3); !ok {
			return false, why
		}
		return c.led("after", 4)
	})
	for _, p := range rest[1].ctrl.State().Topics["after"].Partitions {
		if _, on := p.On(lead.id); on {
			t.Errorf("a replica was placed on broker %d, which is down", lead.id)
		}
	}

	// The stopped broker comes back with its disk and learns what it missed.
	lead.open()
	lead.run(false, nil)
	c.await("the old leader caught up", func() (bool, string) {
		if lead.ctrl.State().Topics["after"] == nil {
			return false, "it does not know the new topic"
		}
		return lead.agent.CaughtUp()
	})
	if _, replicas := lead.agent.Counts(); replicas != 3 {
		t.Errorf("it runs %d replicas, want 3", replicas)
	}
	c.do(lead, controller.DeleteTopic{Name: "before"})
	c.await("tombstones answered", func() (bool, string) {
		left := len(lead.ctrl.State().Tombstones)
		return left == 0, fmt.Sprintf("%d left", left)
	})
}

func TestBrokerJoinsWhileTheFounderIsDown(t *testing.T) {
	c := newCluster(t, 3)
	c.voters(3)
	c.node(1).stop()
	n := c.join()
	c.voters(3)
	if n.id != 4 {
		t.Errorf("it joined as broker %d", n.id)
	}
	c.do(n, controller.CreateTopic{Name: "t", Partitions: 3, RF: 3})
	c.await("leaders", func() (bool, string) { return c.led("t", 3) })
}

func TestWholeClusterRestartReplaysToTheSameState(t *testing.T) {
	c := newCluster(t, 3)
	c.voters(3)
	c.do(c.node(1), controller.CreateTopic{Name: "gone", Partitions: 3, RF: 3})
	c.await("leaders", func() (bool, string) { return c.led("gone", 3) })
	c.do(c.node(1), controller.DeleteTopic{Name: "gone"})
	c.await("tombstones answered", func() (bool, string) {
		left := len(c.node(1).ctrl.State().Tombstones)
		return left == 0, fmt.Sprintf("%d left", left)
	})
	c.do(c.node(2), controller.CreateTopic{Name: "kept", Partitions: 3, RF: 3})
	c.await("leaders", func() (bool, string) { return c.led("kept", 3) })
	before, err := c.node(2).ctrl.State().Marshal()
	if err != nil {
		t.Fatal(err)
	}

	nodes := c.all()
	for _, n := range nodes {
		n.stop()
	}
	for _, n := range nodes {
		n.open()
		n.run(false, nil)
	}
	c.await("all are back", func() (bool, string) {
		for _, n := range nodes {
			if ok, why := n.agent.CaughtUp(); !ok {
				return false, fmt.Sprintf("broker %d: %s", n.id, why)
			}
		}
		return c.led("kept", 3)
	})
	for _, n := range nodes {
		after, err := n.ctrl.State().Marshal()
		if err != nil {
			t.Fatal(err)
		}
		if string(after) != string(before) {
			t.Errorf("broker %d has another state than before the restart:\n%s\n%s", n.id, before, after)
		}
		// The replay went through states in which the deleted topic existed.
		c.await("only what is desired is on disk", func() (bool, string) {
			on := n.store.Replicas()
			return len(on) == 4, fmt.Sprintf("broker %d holds %v", n.id, on)
		})
	}
}
