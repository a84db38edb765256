package partition

import (
	"errors"
	"math"

	"go.etcd.io/raft/v3"

	"github.com/runnel-io/runnel/partition/env/mutant"
	"github.com/runnel-io/runnel/partition/multiraft"
	"github.com/runnel-io/runnel/partition/record"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// maxTurnBytes is how much a turn proposes at most; the rest of the queue waits for the next.
const maxTurnBytes = 4 << 20

// session is the worker's view of its leader session.
type session struct {
	active bool
	term   uint64
	// next is the offset that the next proposed record gets.
	next int64
	// lastMS is the append time of the newest proposed entry.
	lastMS int64
	// trimming and expiring: such a command is in flight.
	trimming, expiring bool
}

// turn is what Turn proposed and Proposed has not yet settled. Its slices are kept for the next turn.
type turn struct {
	taken  []*pending
	items  []*pending
	data   [][]byte
	next   int64
	wishes wishes // proposed as commands
	// doubtful is nil unless there is one.
	doubtful *doubtful
}

// Turn implements multiraft.Machine: it checks and stamps what is queued, against the state that includes the batches
// before it in the same turn (RULES 9). What it assumes is undone in Proposed if raft does not take the turn.
func (p *Partition) Turn(s multiraft.Session) [][]byte {
	t := &p.turn
	t.taken, t.items, t.data, t.wishes = t.taken[:0], t.items[:0], t.data[:0], wishes{}
	if !p.sess.active || s.Term != p.sess.term {
		return nil
	}
	p.mu.Lock()
	t.taken = p.takeLocked(t.taken, maxTurnBytes)
	wish := p.wishes
	p.wishes = wishes{}
	p.mu.Unlock()
	if len(t.taken) == 0 && wish == (wishes{}) {
		return nil
	}
	if s.Term > math.MaxInt32 { // a batch's leader epoch has 31 bits (RULES 12)
		p.log.Error("term is above 2^31-1: this partition takes no more records", "term", s.Term)
		p.failAll(t.taken, runnelv1.Errorf(reasonUnavailable, "the term of %s is above 2^31-1", p.name))
		return nil
	}
	// Append times never go back, so one leader with a clock that is ahead would move all later ones: where its clock disagrees with its peers'
	// theirs counts (RULES 15). To stand still until it is set right would make records look old that are not.
	now := max(p.sess.lastMS, s.NowMS)
	p.sess.lastMS = now
	t.next = p.sess.next
	for _, it := range t.taken {
		p.place(it, s.Term, now)
	}
	clear(t.taken)
	p.prove()
	p.decide(wish, s.ClockOK, now)
	if len(t.data) == 0 {
		return nil
	}
	return t.data
}

// place gives a batch its place in the turn, or its answer.
func (p *Partition) place(it *pending, term uint64, now int64) {
	t := &p.turn
	v := p.judge(it)
	switch {
	case v.refuse != nil && needsProof(v.refuse):
		t.doubt(it, v.refuse)
	case v.refuse != nil:
		p.metrics.refuse(v.refuse)
		it.finish(ProduceResult{Err: v.refuse, Base: -1})
	case v.join != nil:
		p.metrics.duplicates.Inc()
		v.join.joined = append(v.join.joined, it.done)
	case v.duplicate:
		p.metrics.duplicates.Inc()
		it.finish(ProduceResult{Base: v.base, LogStart: p.folded.logStart, Duplicate: true})
	default:
		it.base = t.next
		t.next += int64(it.count)
		record.PutEnvelope(it.buf, record.KindBatch, now)
		record.Stamp(it.buf[record.EnvelopeLen:], it.base, int32(term))
		if mutant.On(mutant.BatchHalfApplied) {
			it.buf = it.buf[:record.EnvelopeLen+len(mutant.Half(it.buf[record.EnvelopeLen:]))]
		}
		p.inflight.push(it, v.known)
		t.items = append(t.items, it)
		t.data = append(t.data, it.buf)
	}
}

// Proposed implements multiraft.Machine. A turn that raft did not take goes back to the head of the queue as it was, in
// order; the queue's wait bounds how long it is tried again.
func (p *Partition) Proposed(err error) {
	t := &p.turn
	if err == nil {
		p.sess.next = t.next
		for _, it := range t.items {
			it.buf = nil // raft has its own copy
		}
		p.sess.trimming = p.sess.trimming || t.wishes.trim > 0
		p.sess.expiring = p.sess.expiring || t.wishes.expire > 0
		p.mu.Lock()
		more := len(p.queue) > 0
		p.mu.Unlock()
		if more {
			p.wake()
		}
	} else {
		p.metrics.proposalsDropped.Inc()
		if !errors.Is(err, raft.ErrProposalDropped) {
			p.log.Error("raft refused a proposal", "term", p.sess.term, "error", err)
		}
		p.inflight.dropLast(len(t.items))
		p.mu.Lock()
		p.putBackLocked(t.items)
		p.mu.Unlock()
	}
	clear(t.items)
	clear(t.data)
}

// SessionStarted implements multiraft.Machine. Everything before this term is applied, so offsets, sequences and append
// times go on from the folded state.
func (p *Partition) SessionStarted(s multiraft.Session) {
	p.metrics.sessions.Inc()
	if mutant.On(mutant.DedupeLostOnFailover) {
		p.folded.producers = producers{}
	}
	p.sess = session{active: true, term: s.Term, next: p.folded.next, lastMS: p.folded.lastMS}
	p.inflight.clear()
	p.mu.Lock()
	p.inSession, p.wishes = true, wishes{}
	p.leading.Store(true)
	p.mu.Unlock()
	p.wake()
}

// SessionEnded implements multiraft.Machine. What is in flight may yet be committed by the next leader; what is queued
// never left this broker.
func (p *Partition) SessionEnded(reason *runnelv1.Error) {
	if mutant.On(mutant.SessionOutlivesTerm) {
		return
	}
	p.sess = session{}
	flying := p.inflight.clear()
	p.mu.Lock()
	p.inSession, p.wishes = false, wishes{}
	p.leading.Store(false)
	p.refire.Store(refireTicks)
	queued := p.takeQueueLocked()
	p.mu.Unlock()
	p.failAll(flying, p.indeterminate(reason))
	p.dropDoubted()
	if len(queued) > 0 {
		p.failAll(queued, p.notLeader(p.status()))
	}
	p.beyond.clear()
	p.waiters.fireAll()
}
