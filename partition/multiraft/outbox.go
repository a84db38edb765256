package multiraft

import (
	"slices"
	"sync"
	"time"

	"go.etcd.io/raft/v3/raftpb"
)

// maxHeld bounds the raft heartbeats that wait for the next heartbeat to one broker; beyond it they go out at once.
const maxHeld = 1 << 14

// outbox sends packets. Raft's own heartbeats have time: they wait for the next heartbeat between the two brokers, so
// that those of all groups travel as one message.
type outbox struct {
	nonce     uint64
	transport Transport
	metrics   *metrics

	mu sync.Mutex
	// held is by broker, and has an entry for each that gets heartbeats, empty or not: nobody would fetch what waits for another.
	held map[int32][]Message
	// owed are the last words of leaders, which go with each heartbeat for a while: a broker that did not hear them takes a replica for the
	// leader that is none, and nothing else tells it. That the transport took them does not say that they arrived.
	owed map[int32][]lastWord
}

// lastWord is to be repeated until a heartbeat went out at or after a time.
type lastWord struct {
	NoLead
	until time.Time
}

func newOutbox(nonce uint64, t Transport, m *metrics) *outbox {
	return &outbox{nonce: nonce, transport: t, metrics: m, held: make(map[int32][]Message), owed: make(map[int32][]lastWord)}
}

// packet sends p now and tells whether the transport took it.
func (o *outbox) packet(to int32, lane Lane, p *Packet) bool {
	p.Nonce = o.nonce
	if o.transport.Send(to, lane, p) {
		return true
	}
	o.metrics.dropped.WithLabelValues(dropLane).Inc()
	return false
}

// setBrokers tells who gets heartbeats. What waits for anyone else is dropped.
func (o *outbox) setBrokers(ids []int32) {
	o.mu.Lock()
	defer o.mu.Unlock()
	held := make(map[int32][]Message, len(ids))
	for _, id := range ids {
		held[id] = o.held[id]
	}
	o.held = held
	for id := range o.owed {
		if !slices.Contains(ids, id) {
			delete(o.owed, id)
		}
	}
}

// owe keeps what a broker has to be told until then, of the last maxHeld groups. One that gets no heartbeats is not told again.
func (o *outbox) owe(to int32, n NoLead, until time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if _, listed := o.held[to]; !listed {
		return
	}
	all := append(o.owed[to], lastWord{n, until})
	o.owed[to] = all[max(len(all)-maxHeld, 0):]
}

// owedTo is what a heartbeat to a broker has to tell.
func (o *outbox) owedTo(to int32) []NoLead {
	o.mu.Lock()
	defer o.mu.Unlock()
	var ns []NoLead
	for _, w := range o.owed[to] {
		ns = append(ns, w.NoLead)
	}
	return ns
}

// told notes that a heartbeat to a broker went out.
func (o *outbox) told(to int32, now time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.owed[to]) == 0 {
		return
	}
	if o.owed[to] = slices.DeleteFunc(o.owed[to], func(w lastWord) bool { return !now.Before(w.until) }); len(o.owed[to]) == 0 {
		delete(o.owed, to)
	}
}

// hold keeps a message for the next heartbeat to the broker and tells whether there will be one and there was room.
func (o *outbox) hold(to int32, m Message) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	ms, listed := o.held[to]
	if !listed || len(ms) >= maxHeld {
		return false
	}
	o.held[to] = append(ms, m)
	return true
}

func (o *outbox) takeHeld(to int32) []Message {
	o.mu.Lock()
	defer o.mu.Unlock()
	ms := o.held[to]
	if len(ms) > 0 {
		o.held[to] = nil
	}
	return ms
}

// batch collects one run's messages by broker and lane. It is reused: its owner is one task.
type batch struct {
	parts []part
}

type part struct {
	to   int32
	lane Lane
	msgs []Message
}

func (b *batch) add(to int32, lane Lane, m Message) {
	for i := range b.parts {
		if p := &b.parts[i]; p.to == to && p.lane == lane {
			p.msgs = append(p.msgs, m)
			return
		}
	}
	b.parts = append(b.parts, part{to: to, lane: lane, msgs: []Message{m}})
}

// send sends all and calls lost for each MsgApp that the transport dropped.
func (b *batch) send(o *outbox, lost func(replica uint64)) {
	for i := range b.parts {
		p := &b.parts[i]
		if !o.packet(p.to, p.lane, &Packet{Messages: p.msgs}) && lost != nil {
			for _, m := range p.msgs {
				if m.Raft.GetType() == raftpb.MsgApp {
					lost(m.Raft.GetTo())
				}
			}
		}
		p.msgs = nil // the packet's now
	}
	b.parts = b.parts[:0]
}

// laneOf says how a raft message travels.
func laneOf(t raftpb.MessageType) Lane {
	if t == raftpb.MsgApp || t == raftpb.MsgAppResp {
		return LaneAppend
	}
	return LaneControl
}

// idleHeartbeat tells whether a message is one of raft's heartbeats that nobody waits for.
func idleHeartbeat(m *raftpb.Message) bool {
	t := m.GetType()
	return (t == raftpb.MsgHeartbeat || t == raftpb.MsgHeartbeatResp) && len(m.GetContext()) == 0
}
