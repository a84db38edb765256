package multiraft

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"
	"go.uber.org/goleak"

	"github.com/runnel-io/runnel/partition/env"
	"github.com/runnel-io/runnel/partition/raftlog"
)

// realHost is a host on real pools and a real disk.
type realHost struct {
	host  *Host
	store *raftlog.Store
	stop  func()
}

func (d *direct) newHost(t *testing.T, id int32, nonce uint64, dir string, brokers ...int32) *realHost {
	t.Helper()
	e, stop := env.NewReal(env.RealOptions{})
	store, err := raftlog.Open(raftlog.Options{Dir: dir, Clock: e.Clock, Log: e.Log})
	if err != nil {
		t.Fatal(err)
	}
	h := &realHost{host: New(Config{Env: e, BrokerID: id, BootNonce: nonce, Store: store, Transport: directFrom{d, id}}), store: store}
	h.stop = func() {
		h.host.Stop()
		if err := store.Close(); err != nil {
			t.Error(err)
		}
		stop()
	}
	d.mu.Lock()
	d.hosts[id] = h.host
	d.mu.Unlock()
	h.host.SetBrokers(brokers)
	h.host.Start()
	return h
}

func startPump(t *testing.T, h *realHost, c GroupConfig) (*Group, *pump) {
	t.Helper()
	p := &pump{session: &sessionOnce{c: make(chan struct{})}}
	p.left, p.acked = new(atomic.Int64), new(sync.WaitGroup)
	c.Machine = p
	g, err := h.host.StartGroup(c)
	if err != nil {
		t.Fatal(err)
	}
	p.g = g
	return g, p
}

// doUntilDone asks the leader of two for a step until it is done.
func doUntilDone(t *testing.T, what string, gs []*Group, step func(g *Group, done func(error))) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; {
		for _, g := range gs {
			answer := make(chan error, 1)
			step(g, func(err error) { answer <- err })
			if err := <-answer; err == nil {
				return
			} else if time.Now().After(deadline) {
				t.Fatalf("%s: %v", what, err)
			}
		}
	}
}

// The only replica moves from A to D, D is killed as soon as it says that the move is over, and A's data is gone: what D has on its disk at
// that moment is enough to lead.
func TestTheOnlyReplicaLeadsAfterAKillRightAfterItsMove(t *testing.T) {
	defer goleak.VerifyNone(t)
	dir := t.TempDir()
	d := &direct{hosts: make(map[int32]*Host)}
	a := d.newHost(t, 1, 1, filepath.Join(dir, "A"), 1, 2)
	n := d.newHost(t, 2, 2, filepath.Join(dir, "D"), 1, 2)
	members := map[uint64]int32{11: 1, 12: 2}
	var gs []*Group
	for i, h := range []*realHost{a, n} {
		if err := h.store.Create(1, uint64(11+i), &raftpb.ConfState{Voters: []uint64{11}}); err != nil {
			t.Fatal(err)
		}
		g, p := startPump(t, h, GroupConfig{Group: 1, Replica: uint64(11 + i), Members: members, Found: i == 0})
		if i == 0 {
			<-p.session.c
		}
		gs = append(gs, g)
	}
	doUntilDone(t, "add D", gs[:1], func(g *Group, done func(error)) { g.AddLearner(12, 2, done) })
	doUntilDone(t, "change the voters", gs, func(g *Group, done func(error)) {
		g.ChangeVoters(VoterChange{Promote: []uint64{12}, Remove: []uint64{11}}, done)
	})
	doUntilDone(t, "leave", gs, func(g *Group, done func(error)) { g.LeaveJoint(done) })
	doUntilDone(t, "settle", gs[1:], func(g *Group, done func(error)) {
		st := g.Status()
		if !st.Session || st.Changing || len(st.Conf.GetVotersOutgoing()) > 0 {
			done(fmt.Errorf("%+v", st))
			return
		}
		done(nil)
	})
	// What a kill leaves behind: the files as they are now.
	if err := os.CopyFS(filepath.Join(dir, "killed"), os.DirFS(filepath.Join(dir, "D"))); err != nil {
		t.Fatal(err)
	}
	a.stop()
	n.stop()
	if err := os.RemoveAll(filepath.Join(dir, "A")); err != nil {
		t.Fatal(err)
	}
	d = &direct{hosts: make(map[int32]*Host)}
	n = d.newHost(t, 2, 3, filepath.Join(dir, "killed"), 2)
	defer n.stop()
	_, p := startPump(t, n, GroupConfig{Group: 1, Replica: 12, Members: map[uint64]int32{12: 2}})
	select {
	case <-p.session.c:
	case <-time.After(20 * time.Second):
		t.Fatalf("it does not lead: %+v", n.host.groups.get(1).Status())
	}
}
