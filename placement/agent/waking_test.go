package agent

import (
	"testing"

	"github.com/runnel-io/runnel/placement"
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

// Without the word that all are open, a cluster that starts again would wait for its leaders until the hold ends by itself.
func TestARestartReleasesWhatIsHeld(t *testing.T) {
	c := newDeskCluster(t, 3)
	c.createOn(small, 1, 2, 3)
	c.produce().more(5)
	for id := int32(1); id <= 3; id++ {
		n := c.node(id)
		n.restart()
		c.eventually("all that was on the disk was tried", func() (bool, string) {
			n.agent.mu.Lock()
			defer n.agent.mu.Unlock()
			return n.agent.waking.over, ""
		})
	}
}
