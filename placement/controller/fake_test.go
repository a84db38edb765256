package controller

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"

	"github.com/runnel-io/runnel/partition/env"
	"github.com/runnel-io/runnel/partition/multiraft"
	"github.com/runnel-io/runnel/partition/raftlog"
	"github.com/runnel-io/runnel/partition/record"
	"github.com/runnel-io/runnel/placement"
	"github.com/runnel-io/runnel/placement/ask"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// fakeGroup stands for a raft group that always agrees: one log, whose entries every node folds. One goroutine is
// the worker of all nodes.
type fakeGroup struct {
	t     *testing.T
	env   *env.Env
	jobs  chan func()
	nodes map[int32]*fakeNode // fixed once Do is called from several goroutines, except through job
	// configure changes the Config of the nodes that are added after it; agents answer what is asked of brokers. Both may be nil.
	configure func(*Config)
	agents    *fakeAgents

	// Of the worker.
	leader  int32
	term    uint64
	entries []fakeEntry
	voters  []uint64
	learn   []uint64
	old     []uint64        // voters outgoing, while the configuration is joint
	largest int             // number of voters that there ever was
	drop    int             // proposals to drop
	hold    bool            // proposals stay in the leader's log, not committed
	held    []fakeEntry     // those
	behind  map[uint64]bool // replicas that look as if not caught up
	lacking map[uint64]bool // replicas that lack what is no longer in the log
	unsure  bool            // the last change is not safe from a power cut
	mute    map[uint64]bool // replicas that write nothing any more, on brokers that are heard
	silent  map[int32]bool  // brokers that are not heard; guarded by mu

	mu     sync.Mutex
	status map[int32]multiraft.Status
}

type fakeEntry struct {
	term uint64
	data []byte
	conf *raftpb.ConfState
}

type fakeNode struct {
	g       *fakeGroup
	broker  int32
	replica uint64
	c       *Controller
	applied int
	started bool // leads in session
	member  map[uint64]int32
}

func newFakeGroup(t *testing.T) *fakeGroup {
	e, stop := env.NewReal(env.RealOptions{})
	g := &fakeGroup{
		t: t, env: e, jobs: make(chan func(), 1024), nodes: map[int32]*fakeNode{}, term: 1, voters: []uint64{1},
		behind: map[uint64]bool{}, lacking: map[uint64]bool{}, mute: map[uint64]bool{}, silent: map[int32]bool{}, status: map[int32]multiraft.Status{},
	}
	var worker sync.WaitGroup
	worker.Go(func() {
		for f := range g.jobs {
			f()
			g.turn()
		}
	})
	t.Cleanup(func() {
		for _, n := range g.nodes {
			n.c.Stop()
			g.job(n.c.Stopped)
		}
		close(g.jobs)
		worker.Wait()
		stop()
	})
	return g
}

// job runs f on the worker and waits.
func (g *fakeGroup) job(f func()) {
	done := make(chan struct{})
	g.jobs <- func() { f(); close(done) }
	<-done
}

// add makes a node; broker 1 leads until told otherwise.
func (g *fakeGroup) add(broker int32) *fakeNode {
	n := &fakeNode{g: g, broker: broker, replica: g.replicaOf(broker)}
	cfg := Config{Env: g.env, BrokerID: broker, Caller: fakeCaller{g, broker}, Log: g.env.Log, Alive: g.hears, ValidateConfig: func(c map[string]string) error {
		if _, bad := c["no.such"]; bad {
			return runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_SETTING, "no such setting")
		}
		return nil
	}}
	if g.configure != nil {
		g.configure(&cfg)
	}
	n.c = New(cfg)
	if g.agents != nil {
		g.agents.first.CompareAndSwap(nil, n.c)
	}
	g.job(func() {
		if err := n.c.Restore(raftlog.Checkpoint{Index: 1, Conf: &raftpb.ConfState{Voters: []uint64{1}}}); err != nil {
			g.t.Error(err)
		}
		g.nodes[broker] = n
		if g.leader == 0 {
			g.leader = broker
		}
		g.publish()
	})
	n.c.attach(n)
	return n
}

// lead moves the leadership; what is held is committed by the new leader, or lost.
func (g *fakeGroup) lead(broker int32, commitHeld bool) {
	g.job(func() { g.leadNow(broker, commitHeld) })
}

// leadNow is lead on the worker.
func (g *fakeGroup) leadNow(broker int32, commitHeld bool) {
	old := g.nodes[g.leader]
	g.leader = broker
	g.term++
	if old != nil && old.started {
		old.started = false
		old.c.SessionEnded(runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_NOT_LEADER, "stepped down"))
	}
	if commitHeld {
		g.entries = append(g.entries, g.held...)
	}
	g.held, g.hold = nil, false
	g.publish()
}

func (g *fakeGroup) publish() {
	last := uint64(len(g.entries)) + 10
	g.mu.Lock()
	defer g.mu.Unlock()
	for id, n := range g.nodes {
		st := multiraft.Status{
			Term: g.term, LeadBroker: g.leader, Session: n.started && g.leader == id, Last: last, Commit: last, Applied: last,
			Conf: g.conf(), Changing: g.unsure,
		}
		if l := g.nodes[g.leader]; l != nil {
			st.Lead = l.replica
		}
		if st.Session {
			st.Peers = map[uint64]multiraft.PeerStatus{}
			for _, r := range slices.Concat(g.voters, g.learn, g.old) {
				p := multiraft.PeerStatus{Match: last, State: "StateReplicate", RecentActive: true, CaughtUp: !g.behind[r]}
				if g.mute[r] {
					p.Match = 1
				}
				if g.lacking[r] {
					p.State, p.CaughtUp, p.Behind = "StateSnapshot", false, true
				}
				st.Peers[r] = p
			}
		}
		g.status[id] = st
	}
}

// turn is what a worker does after every event.
func (g *fakeGroup) turn() {
	for {
		for _, n := range g.nodes {
			n.catchUp()
		}
		n := g.nodes[g.leader]
		if n == nil {
			return
		}
		s := multiraft.Session{Term: g.term, ClockOK: true}
		if !n.started {
			n.started = true
			n.c.SessionStarted(s)
			g.publish()
		}
		data := n.c.Turn(s)
		if len(data) == 0 {
			return
		}
		if g.drop > 0 {
			g.drop--
			n.c.Proposed(raft.ErrProposalDropped)
			continue
		}
		n.c.Proposed(nil)
		for _, d := range data {
			e := fakeEntry{term: g.term, data: slices.Clone(d)}
			if g.hold {
				g.held = append(g.held, e)
			} else {
				g.entries = append(g.entries, e)
			}
		}
	}
}

func (n *fakeNode) catchUp() {
	if n.applied == len(n.g.entries) {
		return
	}
	for ; n.applied < len(n.g.entries); n.applied++ {
		n.c.apply(n.g.t, n.applied, n.g.entries[n.applied])
	}
	n.c.Applied(uint64(n.applied))
	n.g.publish()
}

func (c *Controller) apply(t *testing.T, i int, e fakeEntry) {
	if e.conf != nil {
		c.Apply(record.Meta{Index: uint64(i), Term: e.term, Conf: true}, nil)
		c.Conf(e.conf)
		return
	}
	k, ms, payload, err := record.OpenEnvelope(e.data)
	if err != nil {
		t.Error(err)
	}
	c.Apply(record.Meta{Index: uint64(i), Term: e.term, Kind: k, AppendMS: ms}, payload)
}

func (n *fakeNode) Wake() { n.g.jobs <- func() {} }
func (n *fakeNode) SetMembers(m map[uint64]int32) {
	n.g.mu.Lock()
	defer n.g.mu.Unlock()
	n.member = m
}
func (n *fakeNode) members() map[uint64]int32 {
	n.g.mu.Lock()
	defer n.g.mu.Unlock()
	return n.member
}
func (n *fakeNode) ReadIndex(done func(uint64, error)) {
	n.g.jobs <- func() {
		if n.g.leader != n.broker {
			done(0, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_NOT_LEADER, "no longer the leader"))
			return
		}
		done(uint64(n.applied), nil)
	}
}
func (n *fakeNode) Status() multiraft.Status {
	n.g.mu.Lock()
	defer n.g.mu.Unlock()
	return n.g.status[n.broker]
}

type fakeCaller struct {
	g    *fakeGroup
	from int32
}

func (f fakeCaller) Call(ctx context.Context, broker int32, method string, body []byte) ([]byte, error) {
	if f.g.agents != nil && ask.Handles(method) {
		return f.g.agents.call(ctx, broker, method, body)
	}
	var n *fakeNode
	f.g.job(func() { n = f.g.nodes[broker] })
	if n == nil || method != Method {
		return nil, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_UNAVAILABLE, "broker %d is not there", broker)
	}
	return n.c.Serve(ctx, body)
}

// cluster is a founded group of n registered brokers, all with a controller replica, the first five voting.
func cluster(t *testing.T, n int) (*fakeGroup, []*fakeNode) { return clusterOf(t, newFakeGroup(t), n) }

func clusterOf(t *testing.T, g *fakeGroup, n int) (*fakeGroup, []*fakeNode) {
	nodes := []*fakeNode{g.add(1)}
	do(t, nodes[0].c, FoundCluster{ClusterID: "c1", Broker: registration(1)})
	for i := 2; i <= n; i++ {
		r := do(t, nodes[0].c, RegisterBroker{Broker: registration(i)})
		if r.Broker != int32(i) {
			t.Fatalf("broker %d was registered as %d", i, r.Broker)
		}
		nodes = append(nodes, g.add(r.Broker))
	}
	// The membership loop proposes too; let it finish.
	g.await(func() bool {
		voters := 0
		for _, r := range nodes[0].c.State().Controller {
			if !r.Learner {
				voters++
			}
		}
		return voters == wantVoters(n)
	})
	return g, nodes
}

func registration(i int) placement.Registration {
	return placement.Registration{Incarnation: fmt.Sprintf("inc-%d", i), PeerAddr: fmt.Sprintf("b%d:7001", i), ClientAddr: fmt.Sprintf("b%d:7000", i)}
}

// do does a request that must succeed. The time limit only ends a test that hangs.
func do(t *testing.T, c *Controller, r Request) Response {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	resp, err := c.Do(ctx, r)
	if err != nil {
		t.Fatalf("%T: %v", r, err)
	}
	return resp
}

func wantReason(t *testing.T, err error, reason runnelv1.ErrorReason, kind runnelv1.ErrorKind) *runnelv1.Error {
	t.Helper()
	e := runnelv1.AsError(err)
	if e.GetReason() != reason || e.GetKind() != kind {
		t.Fatalf("got %v (%v, %v), want %v, %v", err, e.GetReason(), e.GetKind(), reason, kind)
	}
	return e
}
