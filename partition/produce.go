package partition

import (
	"time"

	"github.com/runnel-io/runnel/partition/env"
	"github.com/runnel-io/runnel/partition/multiraft"
	"github.com/runnel-io/runnel/partition/record"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

const (
	// maxAhead is how far ahead of the broker's clock a record's timestamp may be (RULES 15).
	maxAhead = time.Hour
	// queueWait is how long a batch waits while no turn takes anything: during a leader transfer, between election
	// and session, or when raft takes no more.
	queueWait = time.Second
)

// Produce queues a batch that record.Validate accepted with Limits; h is what it returned. The batch is copied. done is
// called exactly once, on whichever goroutine, perhaps before Produce returns; it must not block. Batches are appended in
// the order of the calls.
//
// The caller holds the batch's bytes of the broker's Budget until done.
func (p *Partition) Produce(batch []byte, h record.Header, done func(ProduceResult)) {
	buf := make([]byte, record.EnvelopeLen+len(batch))
	copy(buf[record.EnvelopeLen:], batch)
	p.ProduceOwned(buf, h, done)
}

// ProduceOwned is Produce without its copy: the batch is buf[record.EnvelopeLen:], the bytes before it are the
// partition's to write, and all of buf belongs to the partition from now on.
func (p *Partition) ProduceOwned(buf []byte, h record.Header, done func(ProduceResult)) {
	now := p.cfg.Env.Wall().UnixMilli()
	if e := p.admit(buf, h, now); e != nil {
		p.refuse(done, e)
		return
	}
	it := newPending(buf, h, done)
	p.mu.Lock()
	// A leader whose session has not started yet will have one in a moment: wait for it. If Status still shows one that leads no longer,
	// SessionEnded has yet to take the lock, and finds the batch.
	var st multiraft.Status
	soon := false
	if !p.inSession {
		st = p.status()
		soon = st.Role == multiraft.RoleLeader
	}
	var e *runnelv1.Error
	switch {
	case p.stopping.Load():
		e = p.stoppingError()
	case !p.inSession && !soon:
		e = p.notLeader(st)
	case p.diskFull(): // of one that leads: from any other the client must hear who does
		e = runnelv1.Errorf(reasonDiskFull, "the disk of the leader of %s is nearly full: free space or lower the retention", p.name)
	case p.queuedBytes > 0 && p.queuedBytes+it.size > p.queueLimit():
		e = runnelv1.Errorf(reasonOverloaded, "%s has %d bytes waiting to be written: slow down", p.name, p.queuedBytes)
	default:
		p.queue = append(p.queue, it)
		p.queuedBytes += it.size
		p.overdue.armLocked(p)
	}
	p.mu.Unlock()
	if e != nil {
		p.refuse(done, e)
		return
	}
	p.wake()
}

// admit checks what needs no lock.
func (p *Partition) admit(buf []byte, h record.Header, nowMS int64) *runnelv1.Error {
	if len(buf) < record.EnvelopeLen+record.HeaderLen || h.Size != len(buf)-record.EnvelopeLen || h.Count < 1 {
		return runnelv1.Errorf(reasonInvalid, "the batch for %s was not validated", p.name)
	}
	if limit := p.settings.Load().batchBytes(); h.Size > limit {
		return runnelv1.Errorf(reasonTooLarge, "the batch for %s has %d bytes, its max.message.bytes is %d: send fewer records at once", p.name, h.Size, limit)
	}
	if h.MaxTimestamp > nowMS+maxAhead.Milliseconds() {
		return runnelv1.Errorf(reasonTimestamp, "a record for %s has the timestamp %d, more than an hour ahead of the broker's clock at %d: check the producer's clock", p.name, h.MaxTimestamp, nowMS)
	}
	_, e := p.serving()
	return e
}

func (p *Partition) refuse(done func(ProduceResult), e *runnelv1.Error) {
	p.metrics.refuse(e)
	done(ProduceResult{Err: e, Base: -1})
}

func (p *Partition) failAll(items []*pending, e *runnelv1.Error) {
	for _, it := range items {
		p.metrics.refuse(e)
		it.finish(ProduceResult{Err: e, Base: -1})
	}
}

func (p *Partition) takeQueueLocked() []*pending {
	q := p.queue
	p.queue, p.queuedBytes = nil, 0
	return q
}

// takeLocked takes the first batches of the queue, up to a number of bytes but at least one, onto dst.
func (p *Partition) takeLocked(dst []*pending, maxBytes int64) []*pending {
	n := 0
	for bytes := int64(0); n < len(p.queue) && (n == 0 || bytes+p.queue[n].size <= maxBytes); n++ {
		bytes += p.queue[n].size
		p.queuedBytes -= p.queue[n].size
	}
	dst = append(dst, p.queue[:n]...)
	clear(p.queue[:n])
	if p.queue = p.queue[n:]; len(p.queue) == 0 {
		p.queue = nil
	}
	return dst
}

// putBackLocked returns batches that raft did not take to the head of the queue.
func (p *Partition) putBackLocked(items []*pending) {
	for _, it := range items {
		p.queuedBytes += it.size
	}
	p.queue = append(append(make([]*pending, 0, len(items)+len(p.queue)), items...), p.queue...)
	p.overdue.armLocked(p)
}

// overdue fails the queue when its head has waited for queueWait, or a little more: at each of the timer's rounds, the head
// must be another than the round before. It asks no clock, which may be set back. One timer runs while there is a queue;
// it is not reset for each batch.
type overdue struct {
	timer env.Timer
	armed bool
	head  *pending // at the last round
}

func (o *overdue) armLocked(p *Partition) {
	if o.armed || len(p.queue) == 0 {
		return
	}
	o.armed, o.head = true, p.queue[0]
	o.startLocked(p)
}

func (o *overdue) startLocked(p *Partition) {
	if o.timer == nil {
		o.timer = p.cfg.Env.AfterFunc(queueWait, p.checkOverdue)
		return
	}
	o.timer.Reset(queueWait)
}

func (p *Partition) checkOverdue() {
	p.mu.Lock()
	o := &p.overdue
	switch {
	case len(p.queue) == 0:
		o.armed, o.head = false, nil
		p.mu.Unlock()
		return
	case p.queue[0] != o.head:
		o.head = p.queue[0]
		o.startLocked(p)
		p.mu.Unlock()
		return
	}
	o.armed, o.head = false, nil
	items := p.takeQueueLocked()
	p.mu.Unlock()

	st := p.status()
	e := p.notLeader(st)
	if st.Role == multiraft.RoleLeader || st.Lead == 0 {
		e = runnelv1.Errorf(reasonUnavailable, "%s took no batch for %s, its leadership is changing or its disk is slow: try again", p.name, queueWait)
		e.LeaderTerm = int64(st.Term)
	}
	p.failAll(items, e)
}

// queueLimit bounds queuedBytes. The budget may change while the partition runs.
func (p *Partition) queueLimit() int64 {
	if p.cfg.Budget == nil {
		return defaultQueueLimit
	}
	return p.cfg.Budget.Limit()
}
