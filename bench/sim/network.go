package sim

import (
	"time"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/runnel-io/runnel/partition/multiraft"
)

// Lanes of the virtual network beyond multiraft's own: calls between brokers, and clients.
const (
	laneCall   = multiraft.NumLanes
	laneClient = multiraft.NumLanes + 1
)

// transport is multiraft's way out of a boot.
type transport struct{ b *boot }

func (t transport) Send(to int32, lane multiraft.Lane, p *multiraft.Packet) bool {
	b := t.b
	c := b.m.c
	m := c.byBroker[to]
	if m == nil || b.over || m.up != nil && m.up.id != to { // whose handshake fails: another broker is there now
		return false
	}
	cp := *p
	cp.Messages = make([]multiraft.Message, 0, len(p.Messages))
	for _, x := range p.Messages {
		c.elections.sent(x.Group, x.Raft)
		cp.Messages = append(cp.Messages, multiraft.Message{Group: x.Group, Raft: proto.Clone(x.Raft).(*raftpb.Message)})
	}
	from := b.id
	delivered := false
	sent := c.w.Now()
	ok := c.net.Send(b.m.n, m.n, int(lane), func() {
		c.faulter.arrived(sent)
		if m.up == nil || m.up.host == nil || m.up.id != to {
			return
		}
		mine := &cp
		if delivered { // a packet belongs to who received it
			again := cp
			again.Messages = nil
			for _, x := range cp.Messages {
				again.Messages = append(again.Messages, multiraft.Message{Group: x.Group, Raft: proto.Clone(x.Raft).(*raftpb.Message)})
			}
			mine = &again
		}
		delivered = true
		m.up.host.Receive(from, mine)
	})
	if ok && b.linked[to] != m.up { // a connection to this boot, made for this packet
		b.linked[to] = m.up
		c.w.After(0, func() {
			if b.alive() {
				b.host.Reached(to)
			}
		})
	}
	if !ok && m.refuses && !b.asking[to] {
		// The machine lives and says that nothing listens.
		b.asking[to] = true
		c.w.After(time.Duration(1+c.w.Rand().Int64N(20))*time.Millisecond, func() {
			b.asking[to] = false
			if b.alive() && m.up == nil {
				b.host.Refused(to)
			}
		})
	}
	return ok
}
