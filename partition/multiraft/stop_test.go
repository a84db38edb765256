package multiraft

import (
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"
	"go.uber.org/goleak"

	"github.com/runnel-io/runnel/partition/env"
	"github.com/runnel-io/runnel/partition/raftlog"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// notedTask says when it is stopped.
type notedTask struct {
	env.Task
	note func()
}

func (t notedTask) Stop() { t.note(); t.Task.Stop() }

// A leader that found no successor must hear its followers until it stops leading, and nothing may keep these from noticing.
func TestStopEndsHeartbeatsFirstAndHearsPeersUntilEachGroupEnded(t *testing.T) {
	c := newCluster(t, 61, 3)
	for g := uint64(1); g <= 3; g++ {
		c.addGroup(g, 3)
	}
	c.startAll()
	for g := uint64(1); g <= 3; g++ {
		c.put(g, "x")
	}
	n, peer := c.nodes[1], c.nodes[2]
	hears := func(group uint64) bool {
		g := n.groups[group]
		before := len(g.in.box.messages)
		n.host.Receive(2, &Packet{Nonce: peer.host.out.nonce, Messages: []Message{{Group: group, Raft: &raftpb.Message{
			Type: raftpb.MsgHeartbeat.Enum(), From: new(group*100 + 2), To: new(g.replica), Term: new(uint64(1))}}}})
		return len(g.in.box.messages) > before
	}
	var order []string
	note := func(name string, task *env.Task, f func()) {
		*task = notedTask{*task, func() {
			order = append(order, name)
			if f != nil {
				f()
			}
		}}
	}
	note("beat", &n.host.beat, nil)
	for id, g := range n.groups {
		note(fmt.Sprintf("end %d", id), &g.task, func() {
			for other := uint64(1); other <= 3; other++ {
				if want := other >= id; hears(other) != want {
					t.Errorf("while group %d ends, group %d hears its peers: %t, want %t", id, other, !want, want)
				}
			}
		})
		note(fmt.Sprintf("close %d", id), &g.appends.task, nil)
	}
	n.host.Stop()
	if want := []string{"beat", "end 1", "end 2", "end 3", "close 1", "close 2", "close 3"}; !slices.Equal(order, want) {
		t.Errorf("stopped %v, want %v", order, want)
	}
	if hears(3) {
		t.Error("a stopped host takes messages")
	}
	for id, l := range n.ledgers {
		if !l.stopped {
			t.Errorf("the machine of group %d does not know that it stopped", id)
		}
	}
	at := c.w.Now()
	c.until("the others lead all groups", 2*time.Second, func() bool {
		for g := uint64(1); g <= 3; g++ {
			if l := c.leader(g); l == nil || l == n {
				return false
			}
		}
		return true
	})
	t.Logf("led elsewhere after %s", c.w.Now()-at)
}

// Peers' tables must not name a broker that said itself that it stops.
func TestStopTellsThatNothingIsLedHereAnyMore(t *testing.T) {
	c := loadedCluster(t, 62)
	lead := c.leader(1)
	other := c.otherThan(lead.id)
	c.until("the peer knows the leader", time.Second, func() bool { b, _ := other.host.leaders.leader(1); return b == lead.id })
	lead.host.Stop()
	c.until("the peer knows that it leads no more", 20*time.Millisecond, func() bool { b, _ := other.host.leaders.leader(1); return b != lead.id })
}

func TestStopClosesManyLogsAtATime(t *testing.T) {
	defer goleak.VerifyNone(t)
	var stopping atomic.Bool
	var mu sync.Mutex
	arrived, together := 0, make(chan struct{})
	hooks := raftlog.Hooks{NoSync: true, Commit: func(path string, commit func() error) error {
		if stopping.Load() && filepath.Base(path) != "meta.db" {
			mu.Lock()
			if arrived++; arrived == closeAtOnce {
				close(together)
			}
			mu.Unlock()
			select {
			case <-together:
			case <-time.After(10 * time.Second):
				t.Error("a log was closed without the others")
			}
		}
		return commit()
	}}
	e, stop := env.NewReal(env.RealOptions{})
	defer stop()
	store, err := raftlog.Open(raftlog.Options{Dir: t.TempDir(), Clock: e.Clock, Log: e.Log, Hooks: hooks})
	if err != nil {
		t.Fatal(err)
	}
	h := New(Config{Env: e, BrokerID: 1, BootNonce: 1, Store: store, Transport: deafTransport{}})
	h.Start()
	var leads sync.WaitGroup
	leads.Add(closeAtOnce)
	var groups []*Group
	for id := uint64(1); id <= closeAtOnce; id++ {
		if err := store.Create(id, id, &raftpb.ConfState{Voters: []uint64{id}}); err != nil {
			t.Fatal(err)
		}
		l := &ledger{name: fmt.Sprint(id), onSession: func(uint64) { leads.Done() }}
		g, err := h.StartGroup(GroupConfig{Group: id, Replica: id, Members: map[uint64]int32{id: 1}, Machine: l, Found: true})
		if err != nil {
			t.Fatal(err)
		}
		groups = append(groups, g)
	}
	leads.Wait()
	stopping.Store(true)
	h.Stop()
	for _, g := range groups {
		if cp := g.store.Checkpoint(); cp.Index != g.applied {
			t.Errorf("group %d: checkpoint at %d, applied %d", g.id, cp.Index, g.applied)
		}
	}
	if err := store.Close(); err != nil {
		t.Error(err)
	}
}

func TestStopWritesNoCheckpointsOnceTimeIsUp(t *testing.T) {
	const groups = 4
	c := newCluster(t, 63, 1)
	for g := uint64(1); g <= groups; g++ {
		c.addGroup(g, 1)
	}
	stopping, commits := false, 0
	c.hooks.Commit = func(path string, commit func() error) error {
		if stopping && filepath.Base(path) != "meta.db" {
			commits++
			c.nodes[1].proc.Skew(time.Duration(commits) * checkpointFor / 2) // a slow disk
		}
		return commit()
	}
	c.startAll()
	for g := uint64(1); g <= groups; g++ {
		c.put(g, "x")
	}
	stopping = true
	c.nodes[1].host.Stop()
	if commits != 2 {
		t.Errorf("%d checkpoints, want 2: the time was up then", commits)
	}
	for id, l := range c.nodes[1].ledgers {
		if !l.stopped {
			t.Errorf("the machine of group %d does not know that it stopped", id)
		}
	}
	if err := c.nodes[1].store.Close(); err != nil {
		t.Error(err)
	}
	stopping = false
	delete(c.nodes, 1)
	c.start(1)
	for g := uint64(1); g <= groups; g++ {
		c.put(g, "y")
		c.settled(g)
	}
}

// A caller that still holds the group must get its answer, whenever it asks.
func TestAStoppedGroupAnswersReadsAndChangesAtOnce(t *testing.T) {
	c := loadedCluster(t, 64)
	lead := c.leader(1)
	g := lead.groups[1]
	var answers []error
	ask := func() {
		g.ReadIndex(func(_ uint64, err error) { answers = append(answers, err) })
		g.ProposeConf(&raftpb.ConfChangeV2{}, func(err error) { answers = append(answers, err) })
		g.giveAway(&giving{gone: func() {}, done: func(bool) { answers = append(answers, g.notLeader()) }})
	}
	ask() // what the worker never sees
	if err := lead.host.StopGroup(1); err != nil {
		t.Fatal(err)
	}
	if len(answers) != 3 {
		t.Errorf("%d answers to three requests before the stop", len(answers))
	}
	ask()
	if len(answers) != 6 {
		t.Errorf("%d answers to three requests after the stop", len(answers)-3)
	}
	for _, err := range answers {
		if reasonOf(err) != runnelv1.ErrorReason_ERROR_REASON_NOT_LEADER {
			t.Errorf("answered %v, want NOT_LEADER", err)
		}
	}
	// The rest must do no harm, and is not kept.
	g.Wake()
	g.Campaign()
	g.TransferLeader(1)
	g.SetMembers(map[uint64]int32{})
	g.receive(2, &raftpb.Message{Type: raftpb.MsgHeartbeat.Enum(), From: new(uint64(102)), To: new(g.replica)})
	if b := &g.in.box; len(b.control)+len(b.messages)+len(b.reads) > 0 {
		t.Errorf("a closed inbox keeps %d, %d, %d", len(b.control), len(b.messages), len(b.reads))
	}
}

// Stopping and asking meet: every request is answered once.
func TestRequestsThatRaceWithTheStopAreAnswered(t *testing.T) {
	for range 20 {
		c := newRealCluster(t, 1, 200, 1)
		g := c.pumps[0].g
		<-c.pumps[0].session.c
		const asked = 200
		var answered sync.WaitGroup
		answered.Add(2 * asked)
		var asking sync.WaitGroup
		asking.Go(func() {
			for range asked {
				g.ReadIndex(func(uint64, error) { answered.Done() })
				g.ProposeConf(&raftpb.ConfChangeV2{}, func(error) { answered.Done() })
			}
		})
		c.stop()
		asking.Wait()
		answered.Wait()
	}
}
