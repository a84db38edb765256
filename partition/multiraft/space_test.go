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

	"github.com/runnel-io/runnel/partition/env"
	"github.com/runnel-io/runnel/partition/raftlog"
)

// fillable is a loaded cluster, the disks of whose brokers can run full to the last byte.
func fillable(t *testing.T, seed uint64) (c *cluster, full map[int32]bool) {
	t.Helper()
	full = make(map[int32]bool)
	c = newCluster(t, seed, 3)
	has := map[string]int64{} // bytes of files that have blocks
	c.hooks.Room = func(path string, bytes int64) error {
		path = strings.TrimSuffix(path, ".tmp")
		for id := range full {
			if bytes > has[path] && strings.HasPrefix(path, filepath.Join(c.dir, fmt.Sprint(id))+"/") {
				return syscall.ENOSPC
			}
		}
		has[path] = max(has[path], bytes)
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

// allWait fills all disks and has a record wait for space on each; it returns the leader.
func (c *cluster) allWait(full map[int32]bool) *node {
	c.t.Helper()
	for _, id := range c.ids {
		full[id] = true
	}
	old := c.leader(1)
	old.ledgers[1].propose(large)
	c.until("all wait for space", 5*time.Second, func() bool { return short(c.nodes[1]) && short(c.nodes[2]) && short(c.nodes[3]) })
	return old
}

var large = strings.Repeat("x", 200<<10)

func TestWithNoByteLeftAnywhereTheLeaderLeadsAndIsRead(t *testing.T) {
	c, full := fillable(t, 81)
	term := c.leader(1).groups[1].Status().Term
	old := c.allWait(full)
	asked, moved := false, false
	old.groups[1].Transfer(c.otherThan(old.id).groups[1].replica, func(err error) { asked, moved = true, err == nil })
	c.until("the wish for another leader is refused at once", 10*time.Millisecond, func() bool { return asked })
	if moved {
		t.Fatal("the leadership went to one that cannot say that it leads")
	}
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
	old := c.allWait(full)
	old.ledgers[1].state = make([]byte, 100<<10) // a checkpoint that finds no space either
	if err := old.host.StopGroup(1); err != nil {
		t.Error(err)
	}
	clear(full)
	c.until("another leads", 10*time.Second, func() bool { n := c.leader(1); return n != nil && n != old })
	c.put(1, "after")
}

// Records that wait keep votes waiting behind them. A replica without a leader is stopped and opened again without them, as its broker does.
func TestWithNoByteLeftAnywhereAnotherIsElectedThoughRecordsWait(t *testing.T) {
	c, full := fillable(t, 84)
	old := c.allWait(full)
	c.kill(old.id)
	for _, id := range c.survivors(old.id) {
		n := c.nodes[id]
		c.until("it stops", 10*time.Second, func() bool { return n.groups[1].Healthy() != nil })
		if err := n.groups[1].Healthy(); raftlog.Lasting(err) || short(n) {
			t.Fatalf("it waits: %v, and may not run again: %v", short(n), err)
		}
		c.kill(id)
		c.net.Down(id, false)
		c.start(id)
	}
	next := c.awaitLeader(1)
	if err := c.reads(next); err != nil {
		t.Error(err)
	}
	clear(full)
	c.put(1, "after")
	if stored := next.ledgers[1].stored(t); !slices.Contains(slices.Collect(maps.Values(stored)), "before") {
		t.Error("what was acknowledged is gone")
	}
}

// Reads and heartbeats make a follower that waits for space queue what has nothing new.
func TestWhatWaitsForSpaceIsBounded(t *testing.T) {
	c, full := fillable(t, 85)
	old := c.allWait(full)
	for range 300 {
		if err := c.reads(old); err != nil {
			t.Fatal(err)
		}
	}
	absorbed := 0
	for _, id := range c.ids {
		a := &c.nodes[id].groups[1].appends
		a.mu.Lock()
		answers := 0
		for _, w := range a.queue {
			answers += len(w.responses)
			absorbed += w.absorbed
		}
		if len(a.queue) > 5 || answers > 20 {
			t.Errorf("broker %d: %d writes with %d answers wait", id, len(a.queue), answers)
		}
		a.mu.Unlock()
	}
	if absorbed < 300 {
		t.Errorf("only %d writes with nothing new came", absorbed)
	}
	clear(full)
	c.until("what waited is acknowledged", 5*time.Second, func() bool { return c.isAcked(1, large) })
	if c.leader(1) != old {
		t.Error("the leader gave up when there was space again")
	}
	c.settled(1)
}

// peeking is a clock that shows the beat's view of an appender whenever the time is asked for.
type peeking struct {
	env.Clock
	peek func(now time.Time)
}

func (p *peeking) Now() time.Time {
	now := p.Clock.Now()
	if p.peek != nil {
		p.peek(now)
	}
	return now
}

// The beat takes no lock for age: at no moment may a wait for space look like a disk that hangs.
func TestAWaitForSpaceIsAtNoMomentAHang(t *testing.T) {
	c, full := fillable(t, 86)
	old := c.allWait(full)
	c.w.Run(c.w.Now() + 60*time.Second)
	if err := c.reads(old); err != nil { // something is queued behind what waits
		t.Fatal(err)
	}
	worst := time.Duration(0)
	for _, id := range c.ids {
		g := c.nodes[id].groups[1]
		a, before := &g.appends, g.env.Clock
		p := &peeking{Clock: before}
		p.peek = func(now time.Time) { worst = max(worst, a.age(now)) }
		g.env.Clock = p
	}
	clear(full)
	c.until("what waited is acknowledged", 5*time.Second, func() bool { return c.isAcked(1, large) })
	if worst > stallAfter {
		t.Errorf("the wait looks like a hang of %s: a leader that is looked at then gives up", worst)
	}
}
