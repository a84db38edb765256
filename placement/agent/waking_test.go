package agent

import (
	"fmt"
	"sync/atomic"
	"testing"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/runnel-io/runnel/placement"
	"github.com/runnel-io/runnel/placement/controller"
)

func TestReplicasAreHeldUntilAllOnTheDiskWereTried(t *testing.T) {
	var empty waking
	if !empty.begin(map[uint64]onDisk{1: {group: placement.ControllerGroup}}) {
		t.Error("a disk without replicas of partitions has something to open")
	}
	var w waking
	if w.begin(map[uint64]onDisk{1: {group: placement.ControllerGroup}, 10: {group: 5}, 11: {group: 6}, 12: {group: 7, quarantine: "bad"}}) {
		t.Fatal("over before anything was opened")
	}
	if !w.closed[10] || w.closed[12] {
		t.Error("what is held is not what can be opened")
	}
	if w.tried(99) || w.tried(10) || w.tried(10) {
		t.Error("over with one replica left")
	}
	if !w.tried(11) {
		t.Error("not over, although all were tried")
	}
	if w.tried(11) {
		t.Error("over twice")
	}
}

// countingHost counts what is told.
type countingHost struct {
	host
	released atomic.Int32
}

func (h *countingHost) ReleaseHeld() {
	h.released.Add(1)
	h.host.ReleaseHeld()
}

// Without the word that all are open, a cluster that starts again would wait for its leaders until the hold ends by itself. What no
// state names is never opened.
func TestARestartReleasesWhatIsHeld(t *testing.T) {
	c := newCluster(t, 1)
	n := c.node(1)
	c.do(n, controller.CreateTopic{Name: "t", Partitions: 3})
	c.await("three replicas run", func() (bool, string) {
		_, replicas := n.agent.Counts()
		return replicas == 3, fmt.Sprint(replicas)
	})
	if err := n.store.Create(900, 9000, &raftpb.ConfState{Voters: []uint64{9000}}); err != nil {
		t.Fatal(err)
	}
	n.agent.Stop()
	for _, p := range n.ctrl.State().Topics["t"].Partitions {
		if err := n.host.StopGroup(p.Group); err != nil {
			t.Fatal(err)
		}
	}
	h := &countingHost{host: n.host}
	n.agent = newAgent(n.agent.cfg, h, n.store)
	n.ctrl.OnChange(n.agent.Update)
	n.agent.Start()
	c.await("all that is named is open", func() (bool, string) {
		_, replicas := n.agent.Counts()
		return replicas == 3, fmt.Sprint(replicas)
	})
	if n := h.released.Load(); n != 0 {
		t.Errorf("released %d times before it was known that nobody names the last replica", n)
	}
	for range 3 {
		n.agent.Tick(c.env.Now())
	}
	if n := h.released.Load(); n != 1 {
		t.Errorf("released %d times, want once", n)
	}
}
