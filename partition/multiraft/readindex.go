package multiraft

import (
	"encoding/binary"
	"time"

	"go.etcd.io/raft/v3"

	"github.com/runnel-io/runnel/partition/env/mutant"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// reads are a group's linearizable reads (RULES 17): at most one ReadIndex is in flight, and those who come later join the next.
// A read that came after a ReadIndex began must not use its answer, which may be older than what it was told of before.
type reads struct {
	waiting []func(uint64, error)
	flight  []func(uint64, error) // asked of raft as id
	id      uint64
	since   time.Time
	// confirmed reads wait for applied to reach index; they are few, since a leader applies what it commits at once.
	confirmed []confirmedRead
}

type confirmedRead struct {
	index uint64
	done  func(uint64, error)
}

// ReadIndex calls done on the worker with an index that covers everything acknowledged before the call, once that index is
// applied here. It works on the leader in session only; else, and when no quorum answers within a second, or
// leadership is lost, err is a retriable *runnelv1.Error. done must not block.
func (g *Group) ReadIndex(done func(index uint64, err error)) {
	g.in.read(done)
	g.task.Wake()
}

// startRead has raft confirm the leadership for all who wait, if nobody's read is in flight.
func (g *Group) startRead() {
	r := &g.reads
	if len(r.waiting) == 0 {
		return
	}
	if !g.session {
		dones := r.waiting
		r.waiting = nil
		for _, done := range dones {
			done(0, g.notLeader())
		}
		return
	}
	if r.flight != nil {
		return
	}
	r.flight, r.waiting = r.waiting, nil
	r.id++
	r.since = g.env.Now()
	if mutant.On(mutant.ReadIndexSkipped) {
		g.confirmed(raft.ReadState{Index: g.applied, RequestCtx: binary.LittleEndian.AppendUint64(nil, r.id)})
		return
	}
	g.rn.ReadIndex(binary.LittleEndian.AppendUint64(nil, r.id))
}

// confirmed takes raft's answer.
func (g *Group) confirmed(rs raft.ReadState) {
	r := &g.reads
	if r.flight == nil || len(rs.RequestCtx) != 8 || binary.LittleEndian.Uint64(rs.RequestCtx) != r.id {
		return // given up
	}
	for _, done := range r.flight {
		r.confirmed = append(r.confirmed, confirmedRead{rs.Index, done})
	}
	r.flight = nil
	g.completeReads()
}

// completeReads answers the confirmed reads that applied has reached.
func (g *Group) completeReads() {
	r := &g.reads
	if len(r.confirmed) == 0 {
		return
	}
	var ready []confirmedRead
	kept := r.confirmed[:0]
	for _, c := range r.confirmed {
		if c.index <= g.applied {
			ready = append(ready, c)
		} else {
			kept = append(kept, c)
		}
	}
	r.confirmed = kept
	for _, c := range ready {
		c.done(c.index, nil)
	}
}

// expireRead gives up on a read that no quorum confirmed.
func (g *Group) expireRead() {
	r := &g.reads
	if r.flight == nil || g.env.Now().Sub(r.since) < readTimeout {
		return
	}
	g.metrics.readTimeouts.Inc()
	dones := r.flight
	r.flight = nil
	err := runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_UNAVAILABLE,
		"no quorum of %s confirmed the read within %s; try again", g.name, readTimeout)
	for _, done := range dones {
		done(0, err)
	}
}

// failReads ends all reads: leadership is lost.
func (g *Group) failReads(err *runnelv1.Error) {
	r := &g.reads
	dones := append(r.flight, r.waiting...)
	for _, c := range r.confirmed {
		dones = append(dones, c.done)
	}
	r.flight, r.waiting, r.confirmed = nil, nil, nil
	for _, done := range dones {
		done(0, err)
	}
}
