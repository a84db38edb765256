package multiraft

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// fillable is a loaded cluster, the disks of whose brokers can run full to the last byte.
func fillable(t *testing.T, seed uint64) (c *cluster, full map[int32]bool) {
	t.Helper()
	full = make(map[int32]bool)
	c = newCluster(t, seed, 3)
	c.hooks.Room = func(path string, _ int64) error {
		for id := range full {
			if filepath.Base(path) != "meta.db" && strings.HasPrefix(path, filepath.Join(c.dir, fmt.Sprint(id))+"/") {
				return syscall.ENOSPC
			}
		}
		return nil
	}
	c.addGroup(1, 3)
	c.startAll()
	c.put(1, "before")
	return c, full
}

// reads asks a leader to confirm that it may serve what is committed.
func (c *cluster) reads(n *node) error {
	c.t.Helper()
	var err error
	done := false
	n.groups[1].ReadIndex(func(_ uint64, e error) { done, err = true, e })
	c.until("the read is confirmed or refused", 5*time.Second, func() bool { return done })
	return err
}

func short(n *node) bool { return n.groups[1].OutOfSpace() }

var large = strings.Repeat("x", 200<<10)

func TestWithNoByteLeftAnywhereTheLeaderLeadsAndIsRead(t *testing.T) {
	c, full := fillable(t, 81)
	old := c.leader(1)
	term := old.groups[1].Status().Term
	for _, id := range c.ids {
		full[id] = true
	}
	old.ledgers[1].propose(large)
	c.until("all wait for space", 5*time.Second, func() bool {
		return short(c.nodes[1]) && short(c.nodes[2]) && short(c.nodes[3])
	})
	for range 30 { // longer than any time-out
		c.w.Run(c.w.Now() + time.Second)
		if err := c.reads(old); err != nil {
			t.Fatalf("after %s: %v", c.w.Now(), err)
		}
	}
	if now := c.leader(1); now != old || old.groups[1].Status().Term != term {
		t.Errorf("another leads, or in another term: %d", now.id)
	}
	if c.isAcked(1, large) {
		t.Error("acknowledged without space")
	}
	clear(full)
	c.until("what waited is acknowledged", 5*time.Second, func() bool { return c.isAcked(1, large) })
	c.put(1, "after")
	c.settled(1)
}

// With space on the others the leader does not lead for long, and its records are acknowledged there.
func TestALeaderWithoutAByteLeftGivesUpWhereOthersHaveSpace(t *testing.T) {
	c, full := fillable(t, 82)
	old := c.leader(1)
	full[old.id] = true
	began := c.w.Now()
	old.ledgers[1].propose(large)
	c.until("another leads", 2*time.Second, func() bool { n := c.leader(1); return n != nil && n != old })
	t.Logf("another leads after %s", c.w.Now()-began)
	c.put(1, "meanwhile")
	stored := c.leader(1).ledgers[1].stored(t)
	if !slices.Contains(slices.Collect(maps.Values(stored)), large) {
		t.Error("what others had written is gone")
	}
	if err := old.groups[1].Healthy(); err != nil {
		t.Errorf("the full disk stopped the replica: %v", err)
	}
	clear(full)
	c.until("it has space", 5*time.Second, func() bool { return !short(old) })
	c.settled(1)
}

// A replica that waits for space can be stopped, and its broker as well; what waited was never written.
func TestAReplicaThatWaitsForSpaceCanBeStopped(t *testing.T) {
	c, full := fillable(t, 83)
	for _, id := range c.ids {
		full[id] = true
	}
	old := c.leader(1)
	old.ledgers[1].propose(large)
	c.until("all wait for space", 5*time.Second, func() bool { return short(c.nodes[1]) && short(c.nodes[2]) && short(c.nodes[3]) })
	if err := old.host.StopGroup(1); err != nil {
		t.Error(err)
	}
	clear(full)
	c.until("another leads", 10*time.Second, func() bool { n := c.leader(1); return n != nil && n != old })
	c.put(1, "after")
}
