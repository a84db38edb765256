package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/runnel-io/runnel/partition/raftlog"
	"github.com/runnel-io/runnel/placement"
	"github.com/runnel-io/runnel/placement/controller"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// breakable is a store that a test can make fail, or make look like another disk.
type breakable struct {
	*raftlog.Store
	mu          sync.Mutex
	incarnation string
	createErr   error
	deleteErr   error
	created     int
}

func (b *breakable) Identity() raftlog.Identity {
	b.mu.Lock()
	defer b.mu.Unlock()
	id := b.Store.Identity()
	if b.incarnation != "" {
		id.Incarnation = b.incarnation
	}
	return id
}

func (b *breakable) Create(group, replica uint64, cs *raftpb.ConfState) error {
	b.mu.Lock()
	err := b.createErr
	b.created++
	b.mu.Unlock()
	if err != nil {
		return err
	}
	return b.Store.Create(group, replica, cs)
}

func (b *breakable) Delete(group, replica uint64) error {
	b.mu.Lock()
	err := b.deleteErr
	b.mu.Unlock()
	if err != nil {
		return err
	}
	return b.Store.Delete(group, replica)
}

func (b *breakable) set(f func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f()
}

// alone is a cluster of one broker whose agent is replaced by one on a breakable store.
func alone(t *testing.T, prepare func(b *breakable)) (*testCluster, *testNode, *breakable) {
	c := newCluster(t, 1)
	n := c.node(1)
	n.agent.Stop()
	b := &breakable{Store: n.store}
	if prepare != nil {
		prepare(b)
	}
	cfg := n.agent.cfg
	n.agent = newAgent(cfg, n.host, b)
	n.ctrl.OnChange(n.agent.Update)
	n.agent.Start()
	return c, n, b
}

func wantReason(t *testing.T, a *Agent, topic string, p int32, reason runnelv1.ErrorReason, text string) {
	t.Helper()
	_, err := a.Partition(topic, p)
	if err.GetReason() != reason || !strings.Contains(err.GetMessage(), text) {
		t.Fatalf("%s/%d: got %v (%v), want %v with %q", topic, p, err, err.GetReason(), reason, text)
	}
}

func TestLookUpSaysWhatIsMissing(t *testing.T) {
	c, n, _ := alone(t, nil)
	c.do(n, controller.CreateTopic{Name: "t", Partitions: 2})
	c.await("leaders", func() (bool, string) { return c.led("t", 2) })
	wantReason(t, n.agent, "u", 0, runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_TOPIC, `"u"`)
	wantReason(t, n.agent, "t", 2, runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_PARTITION, "0 to 1")
	wantReason(t, n.agent, "t", -1, runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_PARTITION, "0 to 1")
}

func TestSettingsReachRunningPartitions(t *testing.T) {
	c, n, _ := alone(t, nil)
	c.do(n, controller.CreateTopic{Name: "t"})
	c.await("leaders", func() (bool, string) { return c.led("t", 1) })
	c.do(n, controller.AlterTopicConfig{Name: "t", Set: map[string]string{"max.message.bytes": "5000"}})
	c.await("the new limit", func() (bool, string) {
		p, err := n.agent.Partition("t", 0)
		if err != nil {
			return false, err.Error()
		}
		return p.Limits().MaxBytes == 5000, fmt.Sprint(p.Limits())
	})
}

// As they do when the topic's size of segments is altered under a running replica.
func TestAnotherSizeOfSegmentsReachesTheRunningLog(t *testing.T) {
	c, n, _ := alone(t, nil)
	c.do(n, controller.CreateTopic{Name: "t"})
	c.await("leaders", func() (bool, string) { return c.led("t", 1) })
	c.do(n, controller.AlterTopicConfig{Name: "t", Set: map[string]string{"segment.bytes": "65536"}})
	group := n.ctrl.State().Topics["t"].Partitions[0].Group
	c.await("the new size", func() (bool, string) {
		v, ok := n.agent.running.Load(group)
		if !ok {
			return false, "it does not run"
		}
		bytes := v.(*live).raft.Log().SegmentBytes()
		return bytes == 65536, fmt.Sprint(bytes)
	})
}

func TestTheBrokersSegmentSizeIsForTopicsThatDoNotSay(t *testing.T) {
	a := &Agent{cfg: Config{SegmentBytes: 1 << 20}}
	for size, config := range map[int64]map[string]string{1 << 20: {"retention.ms": "5"}, 1 << 16: {"segment.bytes": "65536"}} {
		if got := a.settingsOf(&placement.Topic{Name: "t", Config: config}).SegmentBytes; got != size {
			t.Errorf("%v: segments of %d bytes, want %d", config, got, size)
		}
	}
}

func TestFailedStartIsShownAndTriedAgain(t *testing.T) {
	c, n, b := alone(t, func(b *breakable) { b.createErr = errors.New("disk on strike") })
	c.do(n, controller.CreateTopic{Name: "t"})
	c.await("the fault shows", func() (bool, string) {
		_, why := n.agent.CaughtUp()
		return strings.Contains(why, "disk on strike"), why
	})
	wantReason(t, n.agent, "t", 0, runnelv1.ErrorReason_ERROR_REASON_UNAVAILABLE, "disk on strike")
	b.set(func() { b.createErr = nil })
	n.agent.Tick(c.env.Now())
	c.await("leaders", func() (bool, string) { return c.led("t", 1) })
	c.await("ready", n.agent.CaughtUp)
}

// I18: a tombstone is answered only when the data is gone.
func TestFailedDeleteKeepsTheTombstone(t *testing.T) {
	c, n, b := alone(t, nil)
	c.do(n, controller.CreateTopic{Name: "t"})
	c.await("leaders", func() (bool, string) { return c.led("t", 1) })
	b.set(func() { b.deleteErr = errors.New("disk on strike") })
	c.do(n, controller.DeleteTopic{Name: "t"})
	c.await("the fault shows", func() (bool, string) {
		n.agent.mu.Lock()
		defer n.agent.mu.Unlock()
		for _, r := range n.agent.replicas {
			if strings.Contains(r.fault, "disk on strike") {
				return true, ""
			}
		}
		return false, "no fault"
	})
	if len(n.ctrl.State().Tombstones) != 1 {
		t.Fatal("the tombstone was answered with the data still there")
	}
	b.set(func() { b.deleteErr = nil })
	n.agent.Tick(c.env.Now())
	c.await("tombstone answered", func() (bool, string) { return len(n.ctrl.State().Tombstones) == 0, "still there" })
}

// I18, I19 and RULES 2 at a restart: an unknown replica is left alone, a quarantined one is not started, another disk
// starts nothing.
func TestRestartLeavesStrangeReplicasAlone(t *testing.T) {
	c := newCluster(t, 1)
	n := c.node(1)
	c.do(n, controller.CreateTopic{Name: "t", Partitions: 2})
	c.await("leaders", func() (bool, string) { return c.led("t", 2) })
	bad := n.ctrl.State().Topics["t"].Partitions[1]
	n.stop()
	n.open()
	if err := n.store.Create(900, 901, &raftpb.ConfState{Voters: []uint64{901}}); err != nil {
		t.Fatal(err)
	}
	if err := n.store.Quarantine(bad.Group, bad.Replicas[0].ID, "bit rot"); err != nil {
		t.Fatal(err)
	}
	n.run(false, nil)
	c.await("ready", n.agent.CaughtUp)
	wantReason(t, n.agent, "t", 1, runnelv1.ErrorReason_ERROR_REASON_NOT_LEADER, "bit rot")
	if _, replicas := n.agent.Counts(); replicas != 1 {
		t.Errorf("%d replicas run, want 1", replicas)
	}
	n.agent.Tick(c.env.Now())
	n.agent.Tick(c.env.Now())
	found := false
	for _, r := range n.store.Replicas() {
		found = found || r.Replica == 901
	}
	if !found {
		t.Error("a replica that no state named was deleted")
	}

	// The same broker on a disk that is not the registered one.
	b := &breakable{Store: n.store, incarnation: "other"}
	cfg := n.agent.cfg
	cfg.Log = slog.New(slog.DiscardHandler)
	foreign := newAgent(cfg, n.host, b)
	n.ctrl.OnChange(foreign.Update)
	foreign.Start()
	c.do(n, controller.CreateTopic{Name: "u"})
	c.await("the other disk is refused", func() (bool, string) {
		ok, why := foreign.CaughtUp()
		return !ok && strings.Contains(why, "another data folder"), why
	})
	foreign.Stop()
	if len(foreign.replicas) != 0 || b.created != 0 {
		t.Errorf("%d replicas were wanted and %d made on a disk that the state does not mean", len(foreign.replicas), b.created)
	}
}

// A topic that an older committed state had and the newer has not was deleted by a committed command, even if its
// tombstones were answered before this broker saw them.
func TestTopicGoneWithoutTombstonesIsDeleted(t *testing.T) {
	c, n, b := alone(t, nil)
	c.do(n, controller.CreateTopic{Name: "t"})
	c.await("leaders", func() (bool, string) { return c.led("t", 1) })
	n.agent.Update(n.ctrl.State()) // old news
	s := *n.ctrl.State()
	s.Revision++
	s.Topics = map[string]*placement.Topic{}
	n.agent.Update(&s)
	c.await("data gone", func() (bool, string) {
		left := b.Replicas()
		return len(left) == 1, fmt.Sprint(left)
	})
	wantReason(t, n.agent, "t", 0, runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_TOPIC, "does not exist")
}

func TestReportIsRepeatedUntilItWorks(t *testing.T) {
	c := newCluster(t, 1)
	n := c.node(1)
	n.agent.Stop()
	cfg := n.agent.cfg
	var mu sync.Mutex
	calls := 0
	forget := cfg.Forget
	cfg.Forget = func(ctx context.Context, ids []uint64) error {
		mu.Lock()
		calls++
		first := calls == 1
		mu.Unlock()
		if first {
			return errors.New("nobody there")
		}
		return forget(ctx, ids)
	}
	n.agent = newAgent(cfg, n.host, n.store)
	n.ctrl.OnChange(n.agent.Update)
	n.agent.Start()
	c.do(n, controller.CreateTopic{Name: "t"})
	c.do(n, controller.DeleteTopic{Name: "t"})
	c.await("tombstone answered", func() (bool, string) {
		n.agent.Tick(c.env.Now())
		return len(n.ctrl.State().Tombstones) == 0, "still there"
	})
}

func TestReadinessWaitsForACurrentState(t *testing.T) {
	c := newCluster(t, 1)
	n := c.node(1)
	n.agent.Stop()
	cfg := n.agent.cfg
	var current atomic.Bool
	cfg.StateCurrent = func() (bool, string) { return current.Load(), "replaying" }
	n.agent = newAgent(cfg, n.host, n.store)
	n.ctrl.OnChange(n.agent.Update)
	n.agent.Start()
	c.await("the state is compared", func() (bool, string) {
		n.agent.mu.Lock()
		defer n.agent.mu.Unlock()
		return n.agent.compared > 0, ""
	})
	if ok, why := n.agent.CaughtUp(); ok || why != "replaying" {
		t.Fatalf("ready on an old state: %v %q", ok, why)
	}
	current.Store(true)
	c.await("ready", n.agent.CaughtUp)
	current.Store(false)
	if ok, _ := n.agent.CaughtUp(); !ok {
		t.Fatal("readiness was taken back")
	}
}

func TestThousandReplicasOpenAgain(t *testing.T) {
	if testing.Short() {
		t.Skip("makes a thousand logs")
	}
	c := newCluster(t, 1)
	n := c.node(1)
	c.do(n, controller.CreateTopic{Name: "t", Partitions: 1000})
	c.await("leaders", func() (bool, string) { return c.led("t", 1000) })
	n.stop()
	n.open()
	began := c.env.Now()
	n.run(false, nil)
	c.await("all open", func() (bool, string) {
		_, replicas := n.agent.Counts()
		return replicas == 1000, fmt.Sprint(replicas)
	})
	t.Logf("1,000 replicas open after %v", c.env.Now().Sub(began))
	c.await("ready", n.agent.CaughtUp)
}
