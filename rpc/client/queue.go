package client

import (
	"time"

	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// maxInFlight is how many batches of a partition may be unanswered. Brokers remember a producer's five newest batches,
// so a sixth could push the first one out of their memory before its answer came.
const maxInFlight = 5

// sequenceEnd is where a producer id is used up: the protocol's sequences are 31 bits.
const sequenceEnd = 1<<31 - 1

// queue is one partition's line of batches. Guarded by producer.mu.
type queue struct {
	topic  string
	num    int32
	leader leader

	// idGen and id tell under which producer id the partition writes, nextSeq its next sequence. needID: the id is used
	// up or broken, so the next batch starts with a new one at sequence 0.
	idGen   uint64
	id      int64
	nextSeq int32
	needID  bool

	// taken have sequences, in order; they leave from the front once their fate is known. At most maxInFlight, since one
	// that is acknowledged before an earlier one counts too.
	taken []*batch
	// full and open have no sequences yet.
	full []*batch
	open *batch

	// inFlight counts attempts that have no end yet. rewind: one of them ended without an acknowledgement, so nothing is
	// sent until all have ended; then all go again, in order.
	inFlight int
	rewind   bool
	// failures counts rewinds since the last acknowledgement, and sets the pause before notBefore.
	failures  int
	notBefore time.Time
	// lost: its leader's broker could not be reached, or the stream to it broke. So it waits for another leader, or for that one.
	lost bool
	// lastErr is the newest reason why something is sent again, for the message of a time-out.
	lastErr *Error

	// ready: stands in its leader's sink's list, and in no other.
	ready   bool
	timer   *time.Timer
	timerAt time.Time // zero: not set
}

func (q *queue) empty() bool { return len(q.taken) == 0 && len(q.full) == 0 && q.open == nil }

// nextTaken is the first batch that has a sequence and is to be sent. blocked: nothing behind it may be sent.
func (q *queue) nextTaken() (b *batch, alone, blocked bool) {
	alone = true
	for _, b := range q.taken {
		switch {
		case b.state == stateWaiting:
			return b, alone, false
		case b.state == stateFailed && b.gap:
			return nil, false, true
		case b.state == stateInFlight:
			alone = false
		}
	}
	return nil, alone, false
}

// nextNew is the first batch without a sequence, or nil.
func (q *queue) nextNew() *batch {
	if len(q.full) > 0 {
		return q.full[0]
	}
	return q.open
}

// spent tells whether the producer id has too few sequences left for b.
func (q *queue) spent(b *batch) bool { return int(q.nextSeq)+len(b.items) > sequenceEnd }

// sendableLocked tells whether a batch may be sent now, or else from when on (zero: something else has to happen first).
func (p *producer) sendableLocked(q *queue, now time.Time) (bool, time.Time) {
	if q.rewind || q.leader.id == noLeader {
		return false, time.Time{}
	}
	if q.notBefore.After(now) {
		return false, q.notBefore
	}
	b, _, blocked := q.nextTaken()
	next := q.nextNew()
	switch {
	case b != nil:
		return true, time.Time{}
	case blocked || len(q.taken) >= maxInFlight || next == nil:
		return false, time.Time{}
	case len(q.taken) > 0 && q.spent(next):
		return false, time.Time{} // the next producer id comes when these are answered
	case len(q.full) > 0 || len(q.taken) == 0 || p.flushing > 0:
		return true, time.Time{}
	}
	if at := q.open.born.Add(p.cfg.linger); at.After(now) {
		return false, at
	}
	return true, time.Time{}
}

// readyLocked hands the queue to its leader's sink if it has something to send, or sets a timer for when it will.
func (p *producer) readyLocked(q *queue) {
	if q.ready || p.closed || q.empty() {
		return
	}
	now := time.Now()
	ok, at := p.sendableLocked(q, now)
	if !ok {
		if !at.IsZero() && (q.timerAt.IsZero() || at.Before(q.timerAt)) {
			p.setTimerLocked(q, at, at.Sub(now))
		}
		return
	}
	if !p.haveIDLocked(q) {
		return
	}
	q.ready = true
	p.sinkLocked(q.leader.id).pushLocked(q)
}

// followLocked gives the queue another leader. It leaves the old one's sink, which may hang while its broker reads nothing.
func (p *producer) followLocked(q *queue, l leader) {
	if q.ready && l.id != q.leader.id {
		p.sinks[q.leader.id].dropLocked(q)
		q.ready = false
	}
	q.leader = l
}

// dropQueueLocked finishes all that a partition has, in order, for good; what was acknowledged stays so.
func (p *producer) dropQueueLocked(q *queue, err *Error) {
	for _, b := range q.taken {
		if b.state == stateInFlight {
			b.maybe = b.maybe || b.sent
			b.attempt, b.sent = 0, false
		}
		if b.state != stateDone && b.state != stateFailed {
			b.fail(err)
		}
		p.finishLocked(b)
	}
	for _, b := range q.full {
		b.fail(err)
		p.finishLocked(b)
	}
	if q.open != nil {
		q.open.fail(err)
		p.finishLocked(q.open)
	}
	q.taken, q.full, q.open, q.inFlight = nil, nil, nil, 0
	p.followLocked(q, leader{id: noLeader})
	if q.timer != nil {
		q.timer.Stop()
	}
	p.ids.used = max(p.ids.used, q.idGen)
}

func (p *producer) setTimerLocked(q *queue, at time.Time, in time.Duration) {
	q.timerAt = at
	if q.timer != nil {
		q.timer.Reset(in)
		return
	}
	q.timer = time.AfterFunc(in, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		q.timerAt = time.Time{}
		p.readyLocked(q)
	})
}

// takeLocked gives the next batch to send, now in flight to broker, or nil.
func (p *producer) takeLocked(q *queue, broker int32, now time.Time) *batch {
	if ok, _ := p.sendableLocked(q, now); !ok || !p.haveIDLocked(q) {
		return nil
	}
	b, alone, _ := q.nextTaken()
	if b == nil {
		b = q.nextNew()
		if q.spent(b) { // nothing is taken, or it would not be sendable
			q.needID = true
			if !p.haveIDLocked(q) {
				return nil
			}
		}
		if b == q.open {
			q.open = nil
		} else {
			q.full = q.full[1:]
		}
		b.producer, b.seq = q.id, q.nextSeq
		q.nextSeq += int32(len(b.items))
		q.taken = append(q.taken, b)
	}
	p.attempts++
	b.state, b.attempt, b.alone = stateInFlight, p.attempts, alone
	b.holds++
	b.sent, b.sentTo, b.sentAt = false, broker, now
	q.inFlight++
	return b
}

// haveIDLocked sees to a producer id. While it has to wait for one it answers false, and the arrival wakes the queue.
func (p *producer) haveIDLocked(q *queue) bool {
	if q.idGen != 0 && !q.needID {
		return true
	}
	if q.inFlight > 0 {
		return false
	}
	if p.ids.gen <= q.idGen {
		p.wantIDLocked(q.idGen + 1)
		return false
	}
	q.idGen, q.id, q.nextSeq, q.needID = p.ids.gen, p.ids.id, 0, false
	for _, b := range q.taken {
		if b.state == stateWaiting {
			b.resequence(q.id, q.nextSeq)
			q.nextSeq += int32(len(b.items))
		}
	}
	return true
}

// endAttemptLocked ends an attempt without an acknowledgement; the batch is sent again, or fail was called before. All
// attempts of the partition have to end before any of its batches is sent again, which keeps their order.
func (p *producer) endAttemptLocked(b *batch, pause bool) {
	q := b.q
	b.attempt, b.sent = 0, false
	if b.state == stateInFlight {
		b.state = stateWaiting
	}
	q.inFlight--
	if !q.rewind {
		q.rewind = true
		q.failures++
		if pause {
			q.notBefore = time.Now().Add(min(pollMin<<min(q.failures-1, 4), pollMax))
		}
	}
	p.settleLocked(q)
}

// settleLocked finishes what can be finished, in order, and goes on when nothing is in flight any more.
func (p *producer) settleLocked(q *queue) {
	p.popLocked(q)
	if q.inFlight == 0 {
		q.rewind = false
		// needID is set only once nothing before the gap is left, so all that is taken stands behind it.
		if q.needID {
			p.breakLocked(q)
			p.popLocked(q)
		}
	}
	p.readyLocked(q)
}

// popLocked finishes the batches at the front whose fate is known.
func (p *producer) popLocked(q *queue) {
	n := 0
	for ; n < len(q.taken); n++ {
		b := q.taken[n]
		if b.state != stateDone && b.state != stateFailed {
			break
		}
		if b.gap {
			q.needID, q.rewind = true, true
		}
		p.finishLocked(b)
	}
	rest := copy(q.taken, q.taken[n:])
	clear(q.taken[rest:])
	q.taken = q.taken[:rest]
}

// breakLocked gives up the sequences of the current producer id: what may have been appended under them is reported
// as such, because under another id brokers could not recognise it; the rest is sent under the next id. Failed batches
// keep their place so that promises keep their order.
func (p *producer) breakLocked(q *queue) {
	for _, b := range q.taken {
		switch {
		case b.state == stateWaiting && b.maybe:
			b.fail(runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_LOST_LEADERSHIP,
				"an earlier batch of partition %s/%d failed before the fate of this one was known: read the partition to see whether it was written",
				q.topic, q.num))
		case b.state == stateFailed:
		default:
			continue
		}
		b.gap = false
	}
}
