package controller

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
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
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// realCluster is brokers that run nothing but the controller group: real logs, real raft, shipments in memory.
type realCluster struct {
	t     *testing.T
	env   *env.Env
	dir   string
	nonce atomic.Uint64
	made  int

	mu    sync.Mutex
	nodes map[int32]*realNode
}

type realNode struct {
	c      *realCluster
	id     int32
	dir    string
	reg    placement.Registration
	store  *raftlog.Store
	host   *multiraft.Host
	ctl    *Controller
	server *catchup.Server
}

func newRealCluster(t *testing.T) *realCluster {
	var log *slog.Logger
	if testing.Verbose() {
		log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	e, stop := env.NewReal(env.RealOptions{Log: log})
	c := &realCluster{t: t, env: e, dir: t.TempDir(), nodes: map[int32]*realNode{}}
	t.Cleanup(func() {
		for _, n := range c.all() {
			n.stop()
		}
		stop()
	})
	return c
}

func (c *realCluster) all() (out []*realNode) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, n := range c.nodes {
		out = append(out, n)
	}
	return out
}

func (c *realCluster) node(id int32) *realNode {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.nodes[id]
}

// leader waits for the node that leads.
func (c *realCluster) leader() (lead *realNode) {
	c.t.Helper()
	eventually(c.t, func() bool {
		for _, n := range c.all() {
			if n.ctl.attached() != nil && n.ctl.attached().Status().Session {
				lead = n
				return true
			}
		}
		return false
	})
	return lead
}

// ask asks the leader, whoever it is, until it answers.
func (c *realCluster) ask(r Request) (resp Response) {
	c.t.Helper()
	eventually(c.t, func() bool {
		ctx, cancel := context.WithTimeout(c.t.Context(), 5*time.Second)
		defer cancel()
		var err error
		resp, err = c.leader().ctl.Do(ctx, r)
		if runnelv1.AsError(err).GetKind() == runnelv1.ErrorKind_ERROR_KIND_DEFINITE {
			c.t.Fatalf("%T: %v", r, err)
		}
		return err == nil
	})
	return resp
}

// commit has commands committed by the leader.
func (c *realCluster) commit(cmd placement.Command) {
	c.t.Helper()
	eventually(c.t, func() bool {
		ctl := c.leader().ctl
		ctl.proposeAside(cmd)
		_, r, err := placement.Apply(ctl.State(), cmd)
		return err == nil && !r.Changed
	})
}

// join adds a broker: it is registered, installs its replica, and runs.
func (c *realCluster) join() *realNode {
	c.t.Helper()
	c.made++
	n := &realNode{c: c, dir: filepath.Join(c.dir, fmt.Sprint(c.made))}
	n.open()
	n.reg = placement.Registration{Incarnation: n.store.Identity().Incarnation, ClientAddr: "client", PeerAddr: "peer"}
	if c.made == 1 {
		n.id = 1
		n.must(n.store.Create(placement.ControllerGroup, 1, &raftpb.ConfState{Voters: []uint64{1}}))
		n.run(1, true)
		c.ask(FoundCluster{ClusterID: "c1", Broker: n.reg})
		n.reg.ID = 1
		return n
	}
	r := c.ask(RegisterBroker{Broker: n.reg})
	n.id, n.reg.ID = r.Broker, r.Broker
	n.install(r.ControllerReplica)
	n.run(r.ControllerReplica, false)
	return n
}

func (n *realNode) must(err error) {
	n.c.t.Helper()
	if err != nil {
		n.c.t.Fatalf("broker %d: %v", n.id, err)
	}
}

func (n *realNode) open() {
	var err error
	n.store, err = raftlog.Open(raftlog.Options{Dir: n.dir, Clock: n.c.env.Clock, Hooks: raftlog.Hooks{NoSync: true}})
	n.must(err)
}

// install gets a replica from whoever has one.
func (n *realNode) install(replica uint64) {
	n.c.t.Helper()
	in, err := n.store.Install(placement.ControllerGroup, replica)
	n.must(err)
	client := catchup.NewClient(catchup.ClientConfig{Env: n.c.env, Caller: realCaller{n}})
	eventually(n.c.t, func() bool {
		for _, from := range n.c.all() {
			if from == n {
				continue
			}
			if _, err = client.Run(n.c.t.Context(), in, from.id, placement.ControllerGroup, nil); err == nil {
				return true
			}
		}
		return false
	})
}

// smallOwnLog trims after some hundred kilobytes.
var smallOwnLog = raftlog.LogOptions{SegmentBytes: 16 << 10, KeepSegments: 2}

const realReplaceAfter = 300 * time.Millisecond

func (n *realNode) run(replica uint64, found bool) {
	n.host = multiraft.New(multiraft.Config{Env: n.c.env, BrokerID: n.id, BootNonce: n.c.nonce.Add(1), Store: n.store, Transport: realTransport{n}})
	n.ctl = New(Config{Env: n.c.env, BrokerID: n.id, Alive: n.host.Alive, Caller: realCaller{n}, ReplaceAfter: realReplaceAfter})
	n.server = catchup.NewServer(catchup.ServerConfig{Env: n.c.env, Source: func(uint64) catchup.Source { return n.ctl }})
	n.ctl.OnChange(func(s *placement.State) { n.host.SetBrokers(s.BrokerIDs()) })
	n.c.mu.Lock()
	n.c.nodes[n.id] = n
	n.c.mu.Unlock()
	n.host.Start()
	n.start(replica, found)
}

func (n *realNode) start(replica uint64, found bool) {
	g, err := n.host.StartGroup(multiraft.GroupConfig{
		Group: placement.ControllerGroup, Replica: replica, Members: map[uint64]int32{1: 1, replica: n.id}, Machine: n.ctl, Log: smallOwnLog, Name: "controller", Found: found,
	})
	n.must(err)
	n.ctl.Attach(g)
}

func (n *realNode) stop() {
	n.c.mu.Lock()
	delete(n.c.nodes, n.id)
	n.c.mu.Unlock()
	n.server.Stop()
	n.host.Stop()
	if err := n.store.Close(); err != nil {
		n.c.t.Error(err)
	}
}

func (n *realNode) restart() {
	n.open()
	var newest uint64
	for _, r := range n.store.Replicas() {
		newest = max(newest, r.Replica)
	}
	n.run(newest, false)
}

// replaceIfAsked does what a broker does from time to time: it says which replica it has, and installs the one it shall have.
func (n *realNode) replaceIfAsked(has uint64) uint64 {
	r := n.c.ask(RegisterBroker{Broker: n.reg, Replica: has})
	if r.ControllerReplica <= has {
		return has
	}
	n.install(r.ControllerReplica)
	n.must(n.host.StopGroup(placement.ControllerGroup))
	n.start(r.ControllerReplica, false)
	n.must(n.store.Delete(placement.ControllerGroup, has))
	return r.ControllerReplica
}

type realTransport struct{ n *realNode }

func (t realTransport) Send(to int32, _ multiraft.Lane, p *multiraft.Packet) bool {
	n := t.n.c.node(to)
	if n == nil || t.n.c.node(t.n.id) != t.n {
		return false
	}
	q := *p
	q.Messages = make([]multiraft.Message, len(p.Messages))
	for i, m := range p.Messages {
		q.Messages[i] = multiraft.Message{Group: m.Group, Raft: proto.Clone(m.Raft).(*raftpb.Message)}
	}
	n.host.Receive(t.n.id, &q)
	return true
}

type realCaller struct{ n *realNode }

func (r realCaller) Call(ctx context.Context, broker int32, method string, body []byte) ([]byte, error) {
	to := r.n.c.node(broker)
	if to == nil {
		return nil, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_UNAVAILABLE, "broker %d is down", broker)
	}
	if catchup.Handles(method) {
		out, err := to.server.Serve(ctx, r.n.id, method, body)
		if err != nil {
			return nil, runnelv1.AsError(err)
		}
		return slices.Clone(out), nil
	}
	return to.ctl.Serve(ctx, body)
}

// awaitVoters waits until so many vote, all on brokers that run and do not drain, and answers on which; raft and the state agree, and no
// other replica is left in the group.
func (c *realCluster) awaitVoters(n int) (voters []int32) {
	c.t.Helper()
	var why string
	defer func() {
		if c.t.Failed() {
			c.t.Log(why)
		}
	}()
	eventually(c.t, func() bool {
		lead := c.leader()
		s, conf := lead.ctl.State(), lead.ctl.attached().Status().Conf
		voters = voters[:0]
		var recorded []int32
		members := s.ControllerMembers()
		for _, id := range conf.GetVoters() {
			voters = append(voters, members[id])
		}
		for _, r := range s.Controller {
			if !r.Learner {
				recorded = append(recorded, r.Broker)
			}
		}
		slices.Sort(voters)
		slices.Sort(recorded)
		why = fmt.Sprintf("brokers %v vote, %v by the state, want %d; %v; of %v", voters, recorded, n, conf, s.Controller)
		for _, b := range voters {
			if c.node(b) == nil || s.Brokers[b] == nil || s.Brokers[b].Draining {
				return false
			}
		}
		return len(voters) == n && slices.Equal(voters, recorded) && len(conf.GetVotersOutgoing()) == 0 &&
			len(conf.GetVoters())+len(conf.GetLearners()) == len(s.Controller)
	})
	return voters
}

// load asks for producer ids all the time; stop answers that none was given twice.
func (c *realCluster) load() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var worker sync.WaitGroup
	given, twice := map[int64]bool{}, 0
	worker.Go(func() {
		for ctx.Err() == nil {
			for _, n := range c.all() {
				if n.ctl.attached() == nil {
					continue
				}
				call, done := context.WithTimeout(ctx, time.Second)
				r, err := n.ctl.Do(call, AllocateProducers{Broker: 1, Count: 1})
				done()
				if err == nil && given[r.FirstProducer] {
					twice++
				}
				if err == nil {
					given[r.FirstProducer] = true
					break
				}
			}
		}
	})
	return func() {
		c.t.Helper()
		cancel()
		worker.Wait()
		if twice > 0 || len(given) == 0 {
			c.t.Errorf("of %d blocks of ids %d were given twice", len(given), twice)
		}
	}
}

func TestGroupGrowsReplacesAndShrinks(t *testing.T) {
	if testing.Short() {
		t.Skip("runs real brokers")
	}
	c := newRealCluster(t)
	c.join()
	stop := c.load()
	for range 6 {
		c.join()
	}
	c.awaitVoters(5)
	lost := []int32{c.leader().id, 0}
	c.leader().stop() // for good: a learner takes its place
	voters := c.awaitVoters(5)
	lost[1] = voters[slices.IndexFunc(voters, func(b int32) bool { return b != c.leader().id })]
	c.node(lost[1]).stop()
	voters = c.awaitVoters(5)
	stop()

	stop = c.load()
	last := voters[slices.IndexFunc(voters, func(b int32) bool { return b != c.leader().id })]
	leaving := slices.DeleteFunc(slices.Clone(voters), func(b int32) bool { return b == last })
	for _, b := range leaving { // the leader among them
		c.commit(placement.SetDraining{Broker: b, Draining: true})
	}
	c.awaitVoters(1)
	for _, b := range append(leaving, lost[1]) {
		c.commit(placement.RemoveBroker{Broker: b})
	}
	c.awaitVoters(1)
	stop()
	if s := c.node(last).ctl.State(); len(s.Controller) != 2 { // lost[0] is still a member
		t.Errorf("replicas %v, want those of brokers %d and %d", s.Controller, last, lost[0])
	}
	for _, b := range leaving {
		c.node(b).stop()
	}
	c.ask(AllocateProducers{Broker: last, Count: 1}) // alone
	c.join()
	c.awaitVoters(2)
}

// RULES 19 with real logs: a member was away while the log was trimmed beyond its end.
func TestRule19MemberThatMissedTheTrimmedLogComesBackUnderANewID(t *testing.T) {
	if testing.Short() {
		t.Skip("runs real brokers")
	}
	c := newRealCluster(t)
	for range 3 {
		c.join()
	}
	c.awaitVoters(3)
	gone := c.node(3)
	old := c.leader().ctl.State().Brokers[3].ControllerReplica
	gone.stop()
	for _, b := range []int32{1, 2} { // a log that a replica was installed from keeps what followed for a minute
		n := c.node(b)
		n.stop()
		n.restart()
	}
	before := c.leader().ctl.attached().Status().Last
	reg := c.node(1).reg
	for i := 0; ; i++ {
		reg.Rack = fmt.Sprint(strings.Repeat("r", 4<<10), i)
		c.ask(RegisterBroker{Broker: reg})
		sh, err := c.leader().ctl.Ship(t.Context())
		if errors.Is(err, raftlog.ErrClosed) {
			continue
		}
		c.leader().must(err)
		m := sh.Manifest()
		c.leader().must(sh.Close())
		if len(m.Files) > 0 && m.Files[0].First > before+1 {
			break
		}
	}
	gone.restart()
	has := old
	eventually(t, func() bool { has = gone.replaceIfAsked(has); return has != old })
	if again := gone.replaceIfAsked(has); again != has {
		t.Fatalf("replica %d, just installed, is to be replaced by %d", has, again)
	}
	c.awaitVoters(3)
	eventually(t, func() bool { return gone.ctl.State().Revision == c.leader().ctl.State().Revision })
	if got := c.leader().ctl.State().Brokers[3].ControllerReplica; got != has {
		t.Errorf("broker 3 has replica %d, the state says %d", has, got)
	}
	// It is a full member: it takes requests, and the group goes on without the one that led.
	do(t, gone.ctl, AllocateProducers{Broker: 3, Count: 1})
	c.leader().stop()
	do(t, gone.ctl, AllocateProducers{Broker: 3, Count: 1})
}
