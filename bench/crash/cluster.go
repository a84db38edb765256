package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/runnel-io/runnel/partition/env"
	"github.com/runnel-io/runnel/partition/multiraft"
	"github.com/runnel-io/runnel/partition/raftlog"
	"github.com/runnel-io/runnel/partition/record"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// The last life is of three brokers in one process, each with a disk of its own, that run real replicas of one group. What they
// promise is in the messages that they send: an answer to an append, a vote, a commit index.

const (
	raftGroup  = 77
	raftRounds = 5
	raftBatch  = 24 // entries a round
)

func raftReplica(broker int32) uint64 { return raftGroup*100 + uint64(broker) }

// wire carries packets between the hosts, and writes down what is promised in them.
type wire struct {
	book *book
	mu   sync.RWMutex
	host map[int32]*multiraft.Host
	cut  int32 // this broker is alone; 0 = none
	err  error // the first failure of writing down
}

type wireFrom struct {
	w    *wire
	from int32
}

func (x wireFrom) Send(to int32, _ multiraft.Lane, p *multiraft.Packet) bool {
	for i := range p.Messages {
		if m := promised(p.Messages[i].Raft); m != nil {
			if err := x.w.book.put(m); err != nil {
				x.w.fail(err)
			}
		}
	}
	x.w.mu.RLock()
	h, cut := x.w.host[to], x.w.cut
	x.w.mu.RUnlock()
	if h == nil || cut == to || cut == x.from {
		return false
	}
	h.Receive(x.from, p)
	return true
}

func (w *wire) fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.err = errors.Join(w.err, err)
}

func (w *wire) alone(broker int32) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut = broker
}

// promised is what its sender promises with a message; nil if nothing.
func promised(r *raftpb.Message) *mark {
	m := &mark{Op: "sent", Done: true, Group: raftGroup, Replica: r.GetFrom(), Term: r.GetTerm()}
	switch {
	case r.GetType() == raftpb.MsgAppResp && !r.GetReject() && r.GetIndex() > 0:
		m.Last = r.GetIndex()
	case r.GetType() == raftpb.MsgVoteResp && !r.GetReject():
		m.Vote = r.GetTo()
	case r.GetType() == raftpb.MsgApp:
		// No promise of the leader's term: that is durable before others vote, which is seen in their answers.
		m.Term, m.Commit = 0, r.GetCommit()
		for _, e := range r.GetEntries() {
			if m.First == 0 {
				m.First = e.GetIndex()
			}
			m.Entries = append(m.Entries, sum{Term: e.GetTerm(), Data: hashEntry(e)})
		}
	default:
		return nil
	}
	return m
}

// pump is a machine that proposes batches while it leads.
type pump struct {
	left     *atomic.Int64 // still to propose, by whoever leads
	leads    *atomic.Uint64
	replica  uint64
	next     int64
	inflight int
	session  uint64 // its term
	asked    int
}

func (p *pump) Restore(cp raftlog.Checkpoint) error { p.next = cp.Next; return nil }

func (p *pump) Apply(m record.Meta, _ []byte) {
	p.next = m.Next
	if m.Kind == record.KindBatch && m.Term == p.session && p.inflight > 0 {
		p.inflight--
	}
}

func (p *pump) Turn(s multiraft.Session) (data [][]byte) {
	for p.inflight+len(data) < 4 && p.left.Add(-1) >= 0 {
		base := p.next + int64(p.inflight+len(data))
		value := make([]byte, []int{10, 700, 5000}[base%3])
		for i := range value {
			value[i] = byte(base) + byte(i)
		}
		d := make([]byte, record.EnvelopeLen)
		record.PutEnvelope(d, record.KindBatch, startMS)
		d, err := record.Encode(d, []record.Record{{Value: value, TimestampMS: startMS}}, record.EncodeOptions{ProducerID: -1})
		if err != nil {
			panic(err) // one record of a few bytes
		}
		record.Stamp(d[record.EnvelopeLen:], base, int32(s.Term))
		data = append(data, d)
	}
	p.asked = len(data)
	return data
}

func (p *pump) Proposed(err error) {
	if err == nil {
		p.inflight += p.asked
	}
}

func (p *pump) SessionStarted(s multiraft.Session) {
	p.session, p.inflight = s.Term, 0
	p.leads.Store(p.replica)
}

func (p *pump) SessionEnded(*runnelv1.Error) {
	p.session, p.inflight = 0, 0
	p.leads.CompareAndSwap(p.replica, 0)
}

func (p *pump) Applied(uint64)                     {}
func (p *pump) Conf(*raftpb.ConfState)             {}
func (p *pump) Checkpoint() (int64, int64, []byte) { return p.next, 0, nil }
func (p *pump) Stopped()                           {}

// cluster is the three brokers.
func (v *life) cluster() (failed error) {
	w := &wire{book: v.book, host: map[int32]*multiraft.Host{}}
	var left atomic.Int64
	var leads atomic.Uint64
	groups := map[uint64]*multiraft.Group{}
	members, voters := map[uint64]int32{}, []uint64{}
	for b := int32(1); b <= 3; b++ {
		members[raftReplica(b)] = b
		voters = append(voters, raftReplica(b))
	}
	for b := int32(1); b <= 3; b++ {
		e, stop := env.NewReal(env.RealOptions{Append: 2})
		o := options(filepath.Join(v.dir, brokerFolder(b)))
		o.Clock = e.Clock
		store, err := raftlog.Open(o)
		if err != nil {
			return err
		}
		h := multiraft.New(multiraft.Config{
			Env: e, BrokerID: b, BootNonce: uint64(b), Store: store, Transport: wireFrom{w, b},
			TickInterval: 50 * time.Millisecond, HeartbeatInterval: 20 * time.Millisecond,
		})
		w.mu.Lock()
		w.host[b] = h
		w.mu.Unlock()
		defer func() {
			h.Stop()
			failed = errors.Join(failed, store.Close())
			stop()
		}()
		if err := store.Create(raftGroup, raftReplica(b), &raftpb.ConfState{Voters: voters}); err != nil {
			return err
		}
		h.SetBrokers([]int32{1, 2, 3})
	}
	for b := int32(1); b <= 3; b++ {
		h := w.host[b]
		h.Start()
		g, err := h.StartGroup(multiraft.GroupConfig{
			Group: raftGroup, Replica: raftReplica(b), Members: members, Found: b == 1, Log: raftlog.LogOptions{SegmentBytes: segmentBytes},
			Machine: &pump{left: &left, leads: &leads, replica: raftReplica(b)},
		})
		if err != nil {
			return err
		}
		groups[raftReplica(b)] = g
	}
	for round := range raftRounds {
		if err := v.round(w, groups, &left, &leads, round); err != nil {
			return fmt.Errorf("round %d of the cluster: %w", round, err)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// round has entries go through the group; then the leader hands over, or is cut off with entries that the others never get.
func (v *life) round(w *wire, groups map[uint64]*multiraft.Group, left *atomic.Int64, leads *atomic.Uint64, round int) error {
	leader := uint64(0)
	if err := until("a leader", func() bool { leader = leads.Load(); return leader != 0 }); err != nil {
		return err
	}
	left.Store(raftBatch)
	groups[leader].Wake()
	if err := until("the entries", func() bool {
		if now := leads.Load(); now != 0 {
			groups[now].Wake()
		}
		return left.Load() <= 0
	}); err != nil {
		return err
	}
	if round%2 == 0 {
		to := raftReplica(int32((leader%100)%3 + 1))
		asked := 0
		return until("the next leader", func() bool {
			if asked++; asked%200 == 1 { // it may lag just now
				groups[leader].TransferLeader(to)
			}
			now := leads.Load()
			return now != 0 && now != leader
		})
	}
	w.alone(int32(leader % 100))
	left.Store(3) // which only this one gets
	groups[leader].Wake()
	err := until("another leader", func() bool { now := leads.Load(); return now != 0 && now != leader })
	w.alone(0)
	return err
}

// until looks again and again, for a bounded time.
func until(what string, ok func() bool) error {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for range 10_000 {
		if ok() {
			return nil
		}
		<-tick.C
	}
	return fmt.Errorf("waited in vain for %s", what)
}

func brokerFolder(b int32) string { return fmt.Sprintf("broker-%d", b) }
