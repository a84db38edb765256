package sim

import (
	"context"
	"fmt"
	"time"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/runnel-io/runnel/partition/multiraft"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
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
	if m == nil {
		return false
	}
	cp := *p
	cp.Messages = make([]multiraft.Message, 0, len(p.Messages))
	for _, x := range p.Messages {
		c.elections.sent(x.Group, x.Raft)
		cp.Messages = append(cp.Messages, multiraft.Message{Group: x.Group, Raft: proto.Clone(x.Raft).(*raftpb.Message)})
	}
	from := b.host0()
	ok := c.net.Send(b.m.n, m.n, int(lane), func() {
		if m.up != nil && m.up.host != nil {
			m.up.host.Receive(from, &cp)
		}
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

// elections watches raft's messages for I15.
type elections struct {
	c       *Cluster
	leaders map[groupTerm]uint64    // who sent as leader
	votes   map[voterTerm]uint64    // whom a replica voted for
	durable map[groupReplica]uint64 // highest term that a replica promised by a message which follows a write
	told    map[groupTerm]bool      // two leaders were reported
	booted  map[groupReplica]uint64 // durable as of the replica's newest start
}

type (
	groupTerm    struct{ group, term uint64 }
	groupReplica struct{ group, replica uint64 }
	voterTerm    struct{ group, replica, term uint64 }
)

func newElections(c *Cluster) *elections {
	return &elections{c: c, told: map[groupTerm]bool{}, leaders: map[groupTerm]uint64{}, votes: map[voterTerm]uint64{}, durable: map[groupReplica]uint64{}, booted: map[groupReplica]uint64{}}
}

func (e *elections) sent(group uint64, m *raftpb.Message) {
	from, term := m.GetFrom(), m.GetTerm()
	switch m.GetType() {
	case raftpb.MsgApp, raftpb.MsgHeartbeat, raftpb.MsgTimeoutNow:
		k := groupTerm{group, term}
		if was, ok := e.leaders[k]; ok && was != from && !e.told[k] {
			e.told[k] = true
			e.c.violate("I15", "group %d: replicas %d and %d both lead in term %d", group, was, from, term)
		} else if !ok {
			e.leaders[k] = from
			e.c.w.Trace("group %d: replica %d leads in term %d", group, from, term)
		}
	case raftpb.MsgVoteResp:
		if m.GetReject() {
			return
		}
		k := voterTerm{group, from, term}
		if was, ok := e.votes[k]; ok && was != m.GetTo() {
			e.c.violate("I15", "group %d: replica %d voted in term %d for %d and for %d", group, from, term, was, m.GetTo())
		}
		e.votes[k] = m.GetTo()
	case raftpb.MsgAppResp:
		if m.GetReject() {
			return
		}
	default:
		return
	}
	if m.GetType() != raftpb.MsgVoteResp && m.GetType() != raftpb.MsgAppResp {
		return
	}
	r := groupReplica{group, from}
	if term < e.booted[r] {
		e.c.violate("I15", "group %d: replica %d answers in term %d after a restart, before which it had promised %d", group, from, term, e.booted[r])
	}
	e.durable[r] = max(e.durable[r], term)
}

// restarted notes that what replicas promised so far must have survived.
func (e *elections) restarted(replicas []groupReplica) {
	for _, r := range replicas {
		e.booted[r] = e.durable[r]
	}
}

// rpc has serve called on another machine's boot, on a goroutine that may block, and answer called on the world, once. An
// unreachable machine is a retriable error at once, a lost message a time-out.
func (c *Cluster) rpc(from, to *machine, timeout time.Duration, serve func(ctx context.Context, t *boot) ([]byte, error), answer func([]byte, error)) {
	over := false
	once := func(b []byte, err error) {
		if !over {
			over = true
			answer(b, err)
		}
	}
	refused := func() {
		once(nil, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_UNAVAILABLE, "machine %d does not answer: try again", to.n))
	}
	ok := c.net.Send(from.n, to.n, laneCall, func() {
		t := to.up
		if t == nil || t.ctl == nil {
			refused()
			return
		}
		ctx, cancel := context.WithCancel(t.ctx)
		c.w.After(timeout, cancel)
		c.calls.start(true, func() func() {
			b, err := serve(ctx, t)
			return func() {
				cancel()
				if t.alive() {
					c.net.Send(to.n, from.n, laneCall, func() { once(b, err) })
				}
			}
		})
	})
	if !ok {
		refused()
		return
	}
	c.w.After(timeout, func() {
		once(nil, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_TIMEOUT, "machine %d did not answer within %s", to.n, timeout))
	})
}

// caller is the controller's way to other brokers. Call runs on the controller's goroutine while the world stands still.
type caller struct{ b *boot }

func (x caller) Call(ctx context.Context, broker int32, method string, body []byte) ([]byte, error) {
	c := x.b.m.c
	to := c.byBroker[broker]
	if to == nil || !x.b.alive() {
		return nil, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_UNAVAILABLE, "broker %d is not known", broker)
	}
	type answer struct {
		b   []byte
		err error
	}
	got := make(chan answer, 1)
	leave := c.calls.enter()
	c.rpc(x.b.m, to, 5*time.Second, func(ctx context.Context, t *boot) ([]byte, error) { return t.ctl.Serve(ctx, body) },
		func(b []byte, err error) { got <- answer{b, err} })
	leave()
	select {
	case a := <-got:
		return a.b, a.err
	case <-ctx.Done():
		return nil, fmt.Errorf("call %s: %w", method, ctx.Err())
	}
}
