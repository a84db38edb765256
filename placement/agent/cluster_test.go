package agent

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/runnel-io/runnel/partition/catchup"
	"github.com/runnel-io/runnel/partition/env"
	"github.com/runnel-io/runnel/partition/multiraft"
	"github.com/runnel-io/runnel/partition/raftlog"
	"github.com/runnel-io/runnel/placement"
	"github.com/runnel-io/runnel/placement/ask"
	"github.com/runnel-io/runnel/placement/controller"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// testCluster is several brokers in one process: real logs, real raft, real controller and agent, and a transport in
// memory.
type testCluster struct {
	t     testing.TB
	env   *env.Env
	dir   string
	nonce atomic.Uint64
	// joined counts the brokers that ever were.
	joined atomic.Int32

	// desk stands in for the controller, if it is not nil: the test itself commits what a controller would.
	desk *desk

	mu    sync.Mutex
	nodes map[int32]*testNode
	gate  func(ctx context.Context, from, to int32, method string) error // asked before each call; may be nil
}

type testNode struct {
	c       *testCluster
	id      int32
	replica uint64
	dir     string
	store   *raftlog.Store
	host    *multiraft.Host
	ctrl    *controller.Controller
	group   *multiraft.Group // the controller's
	agent   *Agent
	ship    *catchup.Server
	hooks   raftlog.Hooks
}

func newCluster(t testing.TB, n int) *testCluster {
	c := emptyCluster(t)
	for range n {
		c.join()
	}
	return c
}

func emptyCluster(t testing.TB) *testCluster {
	var log *slog.Logger
	if testing.Verbose() {
		log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	e, stop := env.NewReal(env.RealOptions{Log: log, Serve: 9})                     // as many as three brokers have on two cores
	c := &testCluster{t: t, env: e, dir: t.TempDir(), nodes: map[int32]*testNode{}} // the folder goes after the brokers stopped
	t.Cleanup(func() {
		for _, n := range c.all() {
			n.stop()
		}
		stop()
	})
	return c
}

func (c *testCluster) all() []*testNode {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []*testNode
	for _, n := range c.nodes {
		out = append(out, n)
	}
	return out
}

func (c *testCluster) node(id int32) *testNode {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.nodes[id]
}

// join adds a broker with an empty disk; the first one founds the cluster.
func (c *testCluster) join() *testNode {
	c.t.Helper()
	n := &testNode{c: c, dir: filepath.Join(c.dir, fmt.Sprint(c.joined.Add(1)))}
	n.open()
	reg := placement.Registration{Incarnation: n.store.Identity().Incarnation, ClientAddr: "client", PeerAddr: "peer"}
	first := len(c.all()) == 0
	members := []int32{1}
	if first {
		n.id, n.replica = 1, 1
	} else {
		r := c.do(c.all()[0], controller.RegisterBroker{Broker: reg})
		n.id, n.replica = r.Broker, r.ControllerReplica
		for _, b := range r.Brokers {
			members = append(members, b.ID)
		}
	}
	if err := n.store.Create(placement.ControllerGroup, n.replica, &raftpb.ConfState{Voters: []uint64{1}}); err != nil {
		c.t.Fatal(err)
	}
	if err := n.store.SetIdentity(raftlog.Identity{ClusterID: "c1", BrokerID: n.id}); err != nil {
		c.t.Fatal(err)
	}
	n.run(first, members)
	if first {
		c.do(n, controller.FoundCluster{ClusterID: "c1", Broker: reg})
	}
	return n
}

func (n *testNode) open() {
	s, err := raftlog.Open(raftlog.Options{Dir: n.dir, Clock: n.c.env.Clock, SegmentBytes: 1 << 20, Hooks: n.hooks})
	if err != nil {
		n.c.t.Fatal(err)
	}
	n.store = s
}

// run starts everything on an open store.
func (n *testNode) run(found bool, members []int32) {
	n.host = multiraft.New(multiraft.Config{
		Env: n.c.env, BrokerID: n.id, BootNonce: n.c.nonce.Add(1), Store: n.store, Transport: transport{n},
	})
	n.ship = catchup.NewServer(catchup.ServerConfig{Env: n.c.env, Source: func(g uint64) catchup.Source { return n.agent.Source(g) }})
	if n.c.desk != nil {
		n.runAtDesk()
		return
	}
	n.ctrl = controller.New(controller.Config{Env: n.c.env, BrokerID: n.id, Alive: n.host.Alive, Caller: caller{n}})
	n.agent = New(Config{
		Env: n.c.env, BrokerID: n.id, Host: n.host, Store: n.store, StateCurrent: n.ctrl.CaughtUp,
		Catchup: catchup.NewClient(catchup.ClientConfig{Env: n.c.env, Caller: caller{n}}), Boot: n.c.nonce.Load(),
		Forget: func(ctx context.Context, ids []uint64) error {
			_, err := n.ctrl.Do(ctx, controller.ForgetReplicas{Broker: n.id, Replicas: ids})
			return err
		},
	})
	n.c.mu.Lock()
	n.c.nodes[n.id] = n
	n.c.mu.Unlock()
	n.ctrl.OnChange(func(s *placement.State) { n.host.SetBrokers(s.BrokerIDs()) })
	n.ctrl.OnChange(n.agent.Update)
	n.agent.Start()
	n.host.Start()
	if members != nil {
		n.host.SetBrokers(members) // a new broker has no state yet, and knows what the answer to joining told
	}
	g, err := n.host.StartGroup(multiraft.GroupConfig{
		Group: placement.ControllerGroup, Replica: n.replica, Members: map[uint64]int32{1: 1, n.replica: n.id},
		Machine: n.ctrl, Name: "controller", Found: found,
	})
	if err != nil {
		n.c.t.Fatal(err)
	}
	n.group = g
	n.ctrl.Attach(g)
}

func (n *testNode) stop() {
	n.c.mu.Lock()
	delete(n.c.nodes, n.id)
	n.c.mu.Unlock()
	n.agent.Stop()
	n.ship.Stop()
	n.host.Stop()
	if err := n.store.Close(); err != nil {
		n.c.t.Error(err)
	}
}

type transport struct{ n *testNode }

func (t transport) Send(to int32, _ multiraft.Lane, p *multiraft.Packet) bool {
	t.n.c.mu.Lock()
	var host *multiraft.Host
	if n := t.n.c.nodes[to]; n != nil && t.n.c.nodes[t.n.id] == t.n {
		host = n.host // read with the lock: a broker that restarts gets another one
	}
	t.n.c.mu.Unlock()
	if host == nil {
		return false
	}
	q := *p
	q.Messages = make([]multiraft.Message, len(p.Messages))
	for i, m := range p.Messages {
		q.Messages[i] = multiraft.Message{Group: m.Group, Raft: proto.Clone(m.Raft).(*raftpb.Message)}
	}
	host.Receive(t.n.id, &q)
	return true
}

type caller struct{ n *testNode }

func (c caller) Call(ctx context.Context, broker int32, method string, body []byte) ([]byte, error) {
	c.n.c.mu.Lock()
	gate := c.n.c.gate
	c.n.c.mu.Unlock()
	if gate != nil {
		if err := gate(ctx, c.n.id, broker, method); err != nil {
			return nil, err
		}
	}
	n := c.n.c.node(broker)
	switch {
	case n == nil:
		return nil, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_UNAVAILABLE, "broker %d is down", broker)
	case catchup.Handles(method):
		return n.ship.Serve(ctx, c.n.id, method, body)
	case ask.Handles(method):
		return n.agent.Serve(ctx, method, body)
	}
	return n.ctrl.Serve(ctx, body)
}

// patience ends a test that hangs; nothing is measured by it.
const patience = 60 * time.Second

func (c *testCluster) do(n *testNode, r controller.Request) controller.Response {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	resp, err := n.ctrl.Do(ctx, r)
	if err != nil {
		c.t.Fatalf("%T on broker %d: %v", r, n.id, err)
	}
	return resp
}

// await looks again every few milliseconds until the condition holds; why says what was missing.
func (c *testCluster) await(what string, cond func() (bool, string)) {
	c.t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	end := time.NewTimer(patience)
	defer end.Stop()
	for {
		ok, why := cond()
		if ok {
			return
		}
		select {
		case <-tick.C:
		case <-end.C:
			for _, n := range c.all() {
				if n.group == nil {
					continue
				}
				st := n.group.Status()
				c.t.Logf("broker %d: hears %v %v %v; controller %+v", n.id, n.host.Alive(1), n.host.Alive(2), n.host.Alive(3), st)
			}
			c.t.Fatalf("%s: %s", what, why)
		}
	}
}

// led tells whether every partition of the topic has exactly one leader among the brokers that run.
func (c *testCluster) led(topic string, partitions int) (bool, string) {
	for p := range partitions {
		leaders := 0
		for _, n := range c.all() {
			part, err := n.agent.Partition(topic, int32(p))
			if err == nil && part.Status().Leader {
				leaders++
			}
		}
		if leaders != 1 {
			return false, fmt.Sprintf("%s/%d has %d leaders", topic, p, leaders)
		}
	}
	return true, ""
}

// voters waits until the controller group has that many voters.
func (c *testCluster) voters(n int) {
	c.t.Helper()
	c.await("controller voters", func() (bool, string) {
		for _, node := range c.all() {
			got := 0
			for _, r := range node.ctrl.State().Controller {
				if !r.Learner {
					got++
				}
			}
			if got != n {
				return false, fmt.Sprintf("broker %d sees %d voters: %v", node.id, got, node.ctrl.State().Controller)
			}
		}
		return true, ""
	})
}
