package multiraft

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"testing/cryptotest"
	"time"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/runnel-io/runnel/partition/env/sim"
	"github.com/runnel-io/runnel/partition/raftlog"
	"github.com/runnel-io/runnel/partition/record"
)

// cluster is a simulated one: hosts with real logs in temporary folders, on one goroutine.
type cluster struct {
	t     *testing.T
	w     *sim.World
	net   *sim.Network
	dir   string
	nodes map[int32]*node
	ids   []int32
	// groups to run: group -> replica -> broker.
	groups  map[uint64]map[uint64]int32
	leaders map[[2]uint64]string // (group, term) -> who led: at most one
	acked   map[uint64]map[int64]string
	nonce   uint64
	held    bool // replicas that are started: see GroupConfig.Held
	// tap sees every packet; false drops it.
	tap func(from, to int32, lane Lane, p *Packet) bool
	// refuse has the transport refuse a packet.
	refuse func(from, to int32, p *Packet) bool
	hooks  raftlog.Hooks
	// found names the broker that founds; 0 for none.
	found int32
	log   raftlog.LogOptions
	// tail is the store's TailBytes; limits changes a host's limits.
	tail   int64
	limits func(*limits)
	tick   time.Duration // Config.TickInterval
	gone   []uint64      // GroupConfig.Gone
	leaves int32         // the broker that said that it is about to stop
}

// node is one broker of a cluster.
type node struct {
	c       *cluster
	id      int32
	proc    *sim.Process
	store   *raftlog.Store
	host    *Host
	ledgers map[uint64]*ledger
	groups  map[uint64]*Group
	linked  map[int32]*node // which boot of a peer the transport is connected to
}

// newCluster makes a cluster of n brokers; none runs yet.
func newCluster(t *testing.T, seed uint64, n int) *cluster {
	t.Helper()
	cryptotest.SetGlobalRandom(t, seed) // raft's election jitter
	c := &cluster{
		t: t, w: sim.New(seed), dir: t.TempDir(), nodes: make(map[int32]*node),
		groups: make(map[uint64]map[uint64]int32), leaders: make(map[[2]uint64]string), acked: make(map[uint64]map[int64]string),
	}
	c.net = c.w.NewNetwork()
	c.hooks.NoSync = true // brokers die here, the machine does not; what needs syncs is raftlog's to test
	for id := int32(1); id <= int32(n); id++ {
		c.ids = append(c.ids, id)
	}
	if testing.Verbose() && os.Getenv("RUNNEL_TRACE") != "" {
		c.w.Log(os.Stderr)
	}
	t.Cleanup(c.stopAll)
	return c
}

// slowCluster is one of three brokers that run a group, with an entry in it. Raft ticks so slowly that nothing comes about by that.
func slowCluster(t *testing.T, seed uint64) *cluster {
	t.Helper()
	c := newCluster(t, seed, 3)
	c.tick = time.Minute
	c.addGroup(1, 3)
	c.startAll()
	c.put(1, "before")
	return c
}

// addGroup has the first n brokers run a replica each; replica ids are group*100 + broker.
func (c *cluster) addGroup(group uint64, n int) {
	m := make(map[uint64]int32)
	for _, id := range c.ids[:n] {
		m[group*100+uint64(id)] = id
	}
	c.groups[group] = m
}

func (c *cluster) founders(group uint64) *raftpb.ConfState {
	cs := &raftpb.ConfState{}
	for _, id := range c.ids {
		if _, ok := c.groups[group][group*100+uint64(id)]; ok {
			cs.Voters = append(cs.Voters, group*100+uint64(id))
		}
	}
	return cs
}

func (c *cluster) startAll() {
	for _, id := range c.ids {
		c.start(id)
	}
}

func (c *cluster) start(id int32) *node {
	c.t.Helper()
	c.nonce++
	n := &node{c: c, id: id, proc: c.w.Process(fmt.Sprintf("b%d", id)), ledgers: make(map[uint64]*ledger), groups: make(map[uint64]*Group), linked: make(map[int32]*node)}
	if testing.Verbose() && os.Getenv("RUNNEL_LOG") != "" {
		n.proc.Env().Log = slog.New(slog.NewTextHandler(&stamped{c.w}, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	store, err := raftlog.Open(raftlog.Options{Dir: filepath.Join(c.dir, fmt.Sprint(id)), Clock: n.proc.Env().Clock, Log: n.proc.Env().Log, Hooks: c.hooks, TailBytes: c.tail})
	if err != nil {
		c.t.Fatal(err)
	}
	n.store = store
	c.net.Down(id, false)
	n.host = New(Config{Env: n.proc.Env(), BrokerID: id, BootNonce: c.nonce, Store: store, Transport: &wire{c: c, from: id}, TickInterval: c.tick,
		Leaving: func(broker int32) bool { return broker == c.leaves }})
	if c.limits != nil {
		c.limits(&n.host.limits)
	}
	c.nodes[id] = n
	n.host.SetBrokers(c.ids)
	n.host.Start()
	for group := uint64(1); group < 100; group++ {
		if _, ok := c.groups[group][group*100+uint64(id)]; ok {
			n.startGroup(group)
		}
	}
	return n
}

func (n *node) startGroup(group uint64) *Group {
	c := n.c
	c.t.Helper()
	replica := group*100 + uint64(n.id)
	if err := n.store.Create(group, replica, c.founders(group)); err != nil {
		c.t.Fatal(err)
	}
	g, err := n.tryStart(group)
	if err != nil {
		c.t.Fatal(err)
	}
	return g
}

func (n *node) tryStart(group uint64) (*Group, error) {
	c := n.c
	replica := group*100 + uint64(n.id)
	l := &ledger{name: fmt.Sprintf("b%d/g%d", n.id, group)}
	l.nowMS = func() int64 { return n.proc.Env().Now().UnixMilli() }
	l.onAck = func(value string, base int64, term uint64) {
		c.w.Trace("%s acks %q at %d in term %d", l.name, value, base, term)
		if c.acked[group] == nil {
			c.acked[group] = make(map[int64]string)
		}
		if was, ok := c.acked[group][base]; ok {
			c.t.Errorf("offset %d of group %d acked twice: %q, then %q", base, group, was, value)
		}
		c.acked[group][base] = value
	}
	l.onSession = func(term uint64) {
		c.w.Trace("%s leads in term %d", l.name, term)
		key := [2]uint64{group, term}
		if was, ok := c.leaders[key]; ok {
			c.t.Errorf("two leaders in term %d of group %d: %s and %s", term, group, was, l.name)
		}
		c.leaders[key] = l.name
	}
	l.applyFn = func(m record.Meta) { c.w.Trace("%s applies %d/%d", l.name, m.Index, m.Term) }
	g, err := n.host.StartGroup(GroupConfig{Group: group, Replica: replica, Members: c.groups[group], Machine: l,
		Name: l.name, Found: c.found == n.id, Held: c.held, Log: c.log, Gone: c.gone})
	if err != nil {
		return nil, err
	}
	l.g = g
	n.ledgers[group], n.groups[group] = l, g
	return g, nil
}

// kill ends a broker as SIGKILL does. Peers find its port closed at their next connection.
func (c *cluster) kill(id int32) {
	n := c.nodes[id]
	c.w.Trace("kill b%d", id)
	n.proc.Kill()
	n.host.stopped.Store(true)
	delete(c.nodes, id)
	c.net.Down(id, true)
	if err := n.store.Close(); err != nil && !errors.Is(err, errInjected) {
		c.t.Error(err)
	}
}

// refused has all others notice at once, as a transport does whose reconnect is refused.
func (c *cluster) refused(id int32) {
	for _, o := range c.ids {
		if n := c.nodes[o]; n != nil {
			n.host.Refused(id)
		}
	}
}

var errInjected = errors.New("injected")

func (c *cluster) stopAll() {
	for _, id := range c.ids {
		if n := c.nodes[id]; n != nil {
			n.host.Stop()
			if err := n.store.Close(); err != nil {
				c.t.Log(err)
			}
			delete(c.nodes, id)
		}
	}
}

// leader gives the node that leads a group in session; nil if none does.
func (c *cluster) leader(group uint64) *node {
	var best *node
	for _, id := range c.ids {
		n := c.nodes[id]
		if n == nil || n.ledgers[group] == nil || n.ledgers[group].session == nil {
			continue
		}
		if best == nil || n.ledgers[group].session.Term > best.ledgers[group].session.Term {
			best = n
		}
	}
	return best
}

// until runs the world until cond holds, and fails after limit of virtual time.
func (c *cluster) until(what string, limit time.Duration, cond func() bool) {
	c.t.Helper()
	if !c.w.RunUntil(cond, limit) {
		for _, id := range c.ids {
			if n := c.nodes[id]; n != nil {
				for g := uint64(1); g <= 3; g++ {
					if n.groups[g] != nil {
						s := n.groups[g].Status()
						c.t.Logf("b%d g%d: %s term %d lead %d session %t commit %d applied %d last %d healthy %v peers %v", id, g, s.Role, s.Term, s.Lead,
							s.Session, s.Commit, s.Applied, s.Last, n.groups[g].Healthy(), s.Peers)
					}
				}
			}
		}
		c.t.Fatalf("after %s: not within %s: %s", c.w.Now(), limit, what)
	}
}

func (c *cluster) awaitLeader(group uint64) *node {
	c.t.Helper()
	c.until(fmt.Sprintf("a leader of group %d", group), 10*time.Second, func() bool { return c.leader(group) != nil })
	return c.leader(group)
}

// put proposes a value at the leader and waits for its ack.
func (c *cluster) put(group uint64, value string) {
	c.t.Helper()
	c.awaitLeader(group).ledgers[group].propose(value)
	c.until("an ack of "+value, 5*time.Second, func() bool { return c.isAcked(group, value) })
}

func (c *cluster) isAcked(group uint64, value string) bool {
	for _, v := range c.acked[group] {
		if v == value {
			return true
		}
	}
	return false
}

// settled waits until all running replicas applied the same, and checks it against what was acked.
func (c *cluster) settled(group uint64) {
	c.t.Helper()
	var ls []*ledger
	for _, id := range c.ids {
		if n := c.nodes[id]; n != nil && n.ledgers[group] != nil {
			ls = append(ls, n.ledgers[group])
		}
	}
	c.until("all replicas applied the same", 30*time.Second, func() bool {
		if c.leader(group) == nil {
			return false
		}
		for _, l := range ls {
			if l.index != ls[0].index || l.index != l.g.Status().Last {
				return false
			}
		}
		return true
	})
	values := make(map[int64]string)
	terms := make(map[uint64]uint64)
	for _, id := range c.ids {
		if n := c.nodes[id]; n != nil && n.ledgers[group] != nil {
			for base, v := range n.ledgers[group].stored(c.t) {
				if was, ok := values[base]; ok && was != v {
					c.t.Errorf("b%d: offset %d is %q, elsewhere %q", id, base, v, was)
				}
				values[base] = v
			}
		}
	}
	for _, l := range ls {
		if l.void > 0 {
			c.t.Errorf("%s has %d void entries", l.name, l.void)
		}
		for _, e := range l.log {
			if was, ok := terms[e.index]; ok && was != e.term {
				c.t.Errorf("%s: entry %d has term %d, elsewhere %d", l.name, e.index, e.term, was)
			}
			terms[e.index] = e.term
			if e.value == "" || e.value == "?" {
				continue
			}
			if was, ok := values[e.base]; ok && was != e.value {
				c.t.Errorf("%s: offset %d is %q, elsewhere %q", l.name, e.base, e.value, was)
			}
			values[e.base] = e.value
		}
	}
	for base, v := range c.acked[group] {
		if values[base] != v {
			c.t.Fatalf("acked %q at offset %d of group %d is lost: there is %q", v, base, group, values[base])
		}
	}
}

// wire is the transport of a simulated broker. It copies messages, as a socket would.
type wire struct {
	c    *cluster
	from int32
}

func (x *wire) Send(to int32, lane Lane, p *Packet) bool {
	if x.c.refuse != nil && x.c.refuse(x.from, to, p) {
		return false
	}
	if x.c.tap != nil && !x.c.tap(x.from, to, lane, p) {
		return true
	}
	cp := *p
	cp.Messages = nil
	for _, m := range p.Messages {
		cp.Messages = append(cp.Messages, Message{Group: m.Group, Raft: proto.Clone(m.Raft).(*raftpb.Message)})
	}
	ok := x.c.net.Send(x.from, to, int(lane), func() {
		if n := x.c.nodes[to]; n != nil {
			n.host.Receive(x.from, &cp)
		}
	})
	if from, peer := x.c.nodes[x.from], x.c.nodes[to]; ok && from != nil && from.linked[to] != peer {
		from.linked[to] = peer // a connection to this boot, made for this packet
		x.c.w.After(0, func() { from.host.Reached(to) })
	}
	return ok
}

type stamped struct{ w *sim.World }

func (s *stamped) Write(b []byte) (int, error) {
	return fmt.Fprintf(os.Stderr, "%12s %s", s.w.Now(), b)
}
