package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/runnel-io/runnel/partition"
	"github.com/runnel-io/runnel/partition/env"
	"github.com/runnel-io/runnel/partition/multiraft"
	"github.com/runnel-io/runnel/placement"
	"github.com/runnel-io/runnel/placement/ask"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// A replica that stopped since the disk was full is none that is lost: it is shown, and runs again when there is space.
func TestReplicaThatStoppedForWantOfSpaceRunsAgain(t *testing.T) {
	c := newDeskCluster(t, 3)
	var full atomic.Bool
	n := c.node(3)
	n.hooks.Commit = func(path string, commit func() error) error {
		if full.Load() && filepath.Base(path) != "meta.db" {
			return syscall.ENOSPC
		}
		return commit()
	}
	n.restart()
	c.createOn(small, 1, 2, 3)
	l := c.produce()
	l.more(20)
	own := c.on(3)
	full.Store(true)
	c.eventually("it fails", func() (bool, string) {
		r := c.ask(n, ask.StatusRequest{Installs: []uint64{own}})
		in := r.Installs[own]
		return in.State == ask.InstallWaiting && in.Err != "" && n.agent.inState("failed") == 1, fmt.Sprintf("%+v", r)
	})
	if q := c.ask(n, ask.StatusRequest{}).Quarantined; len(q) > 0 {
		t.Fatalf("a full disk is reported as %v", q)
	}
	l.more(20) // the others go on
	full.Store(false)
	c.eventually("it runs again", func() (bool, string) {
		n.agent.mu.Lock()
		defer n.agent.mu.Unlock()
		r := n.agent.replicas[own]
		return r.fault == "" && r.live != nil && r.live.raft.Healthy() == nil, r.fault
	})
	l.more(20)
	l.check()
}

// stepped is a clock that goes when it is told to.
type stepped struct {
	env.Clock
	mu  sync.Mutex
	now time.Time
}

func (c *stepped) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *stepped) Wall() time.Time { return c.Now() }

func (c *stepped) step(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// idle is an agent that nobody started, whose time is the test's.
func idle(t testing.TB) (*Agent, *stepped, *bytes.Buffer) {
	e, stop := env.NewReal(env.RealOptions{})
	t.Cleanup(stop)
	own := *e
	clock := &stepped{Clock: e.Clock, now: time.Unix(1_000_000, 0)}
	own.Clock = clock
	log := &bytes.Buffer{}
	return newAgent(Config{Env: &own, BrokerID: 1, Log: slog.New(slog.NewTextHandler(log, nil))}, nil, nil), clock, log
}

// What fails again and again is tried at growing pauses and told once a minute; what only waits for something is tried each second and is
// no error.
func TestFailuresAreTriedLessOftenAndToldOnceAMinute(t *testing.T) {
	a, clock, log := idle(t)
	a.stopped = true // the openers leave the queue to the test
	broken, waits := &replica{id: 1, group: 1, topic: "t"}, &replica{id: 2, group: 2, topic: "t"}
	tries := map[*replica]int{}
	fail := func(r *replica) {
		var err error = &waitError{"the state is old"}
		if tries[r]++; r == broken {
			err = errors.New("disk on strike")
		}
		r.fault = ""
		a.failLocked(r, wantRun, err)
	}
	a.mu.Lock()
	fail(broken)
	fail(waits)
	a.mu.Unlock()
	for range 180 { // seconds
		a.retry()
		a.mu.Lock()
		for _, r := range a.queue {
			r.queued = false
			fail(r)
		}
		a.queue = nil
		a.mu.Unlock()
		clock.step(time.Second)
	}
	if tries[broken] < 10 || tries[broken] > 20 || tries[waits] < 180 {
		t.Errorf("in three minutes the broken one was tried %d times, and the one that waits %d times", tries[broken], tries[waits])
	}
	if n := strings.Count(log.String(), "resists"); n < 3 || n > 4 {
		t.Errorf("in three minutes the log said so %d times:\n%s", n, log)
	}
	if strings.Contains(log.String(), "the state is old") {
		t.Errorf("waiting is told as an error:\n%s", log)
	}
}

// An install that waited for its next try while replicas were deleted here is still wanted, and is finished.
func TestInstallThatWaitedIsNotStale(t *testing.T) {
	c, l, release := installing(t)
	c.setGate(func(_ context.Context, from, _ int32, method string) error {
		if from == 4 && strings.HasPrefix(method, "ship.") {
			return runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_OVERLOADED, "not now")
		}
		return nil
	})
	close(release)
	c.eventually("the install fails for now", func() (bool, string) {
		i := c.install(4)
		return i.State == ask.InstallWaiting && i.Err != "", fmt.Sprintf("%+v", i)
	})
	n := c.node(4)
	c.apply(placement.CreateTopic{Name: "u", Brokers: [][]int32{{4}}})
	c.eventually("another replica is made", func() (bool, string) { return c.led("u", 1) })
	c.apply(placement.DeleteTopic{Name: "u"})
	c.eventually("and deleted", func() (bool, string) {
		return len(c.state().Tombstones) == 0 && n.store.Floor() > 0, fmt.Sprint(c.state().Tombstones)
	})
	c.setGate(nil)
	c.finish()
	l.more(20)
	l.check()
}

func TestRoundsFollowTheRunningSet(t *testing.T) {
	c := newDeskCluster(t, 1)
	a := c.node(1).agent
	var where [][]int32
	for range 12 {
		where = append(where, []int32{1})
	}
	c.apply(placement.CreateTopic{Name: "t", Brokers: where})
	c.eventually("leaders", func() (bool, string) { return c.led("t", 12) })
	c.tick()
	seen := map[uint64]bool{}
	for i, ls := range a.rounds.due {
		for _, l := range ls {
			if seen[l.group] = true; l.group%partitionEvery != uint64(i) {
				t.Errorf("group %d is in round %d", l.group, i)
			}
		}
	}
	if len(seen) != 12 {
		t.Errorf("%d of 12 partitions have their turn", len(seen))
	}
	c.apply(placement.DeleteTopic{Name: "t"})
	c.eventually("all are gone", func() (bool, string) {
		left := 0
		for _, ls := range a.rounds.due {
			left += len(ls)
		}
		return left == 0, fmt.Sprintf("%d left", left)
	})
	for s := range int64(10) {
		if now := time.Unix(1_000_000+s, 0); (turnOf(now)+uint64(now.Unix()))%partitionEvery != 0 { //nolint:gosec // positive
			t.Errorf("second %d is for round %d", now.Unix(), turnOf(now))
		}
	}
}

// BenchmarkIdleSecond is what a second costs with thousands of partitions in which nothing happens.
func BenchmarkIdleSecond(b *testing.B) {
	a, clock, _ := idle(b)
	for group := range uint64(5000) {
		r := &replica{id: group, group: group, topic: "t"}
		a.replicas[group] = r
		a.serve(&live{replica: r, raft: &multiraft.Group{}, partition: partition.New(partition.Config{
			Env: a.cfg.Env, Topic: "t", Group: group, Replica: group, Settings: partition.DefaultSettings(),
		})})
	}
	b.ResetTimer()
	for range b.N {
		a.Tick(clock.Now())
		clock.step(time.Second)
	}
}
