package multiraft

import (
	"testing"
	"time"

	"github.com/runnel-io/runnel/partition/record"
)

// newer is a machine's word for an entry of a later release.
type newer struct{}

func (newer) Error() string { return "a later release wrote this" }
func (newer) Passing()      {}

// A machine that cannot read an entry stops its replica, and no longer than until one that can is started: the log is sound.
func TestReplicaThatCannotReadAnEntryIsNotQuarantined(t *testing.T) {
	c := newCluster(t, 53, 3)
	c.addGroup(1, 3)
	c.startAll()
	c.put(1, "old")
	c.settled(1)
	n := c.nodes[3]
	if c.leader(1) == n {
		n = c.nodes[2]
	}
	refuse := func(record.Meta) { panic(newer{}) }
	n.ledgers[1].applyFn = refuse
	c.put(1, "new")
	c.until("it stops", 5*time.Second, func() bool { return n.groups[1].Healthy() != nil })
	sound := func() {
		t.Helper()
		for _, r := range n.store.Replicas() {
			if r.Quarantine != "" {
				t.Fatalf("it is quarantined: %s", r.Quarantine)
			}
		}
	}
	sound()
	c.kill(n.id)
	n = c.start(n.id)
	sound()
	c.put(1, "newer")
	c.settled(1)
}
