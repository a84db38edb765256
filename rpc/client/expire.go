package client

import (
	"fmt"
	"time"

	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

const (
	// expiryInterval is how exact time-outs are.
	expiryInterval = 100 * time.Millisecond
	// doubtAfter is how long a request may be unanswered before the client asks who leads, and gives up waiting for a broker
	// that does not lead any more.
	doubtAfter = 500 * time.Millisecond
	// requestTimeout is how long a request may be unanswered before its stream is given up.
	requestTimeout = 30 * time.Second
)

// runExpiry is the goroutine that looks after what takes too long.
func (p *producer) runExpiry() {
	t := time.NewTicker(expiryInterval)
	defer t.Stop()
	for {
		select {
		case <-p.ctx.Done():
			return
		case <-t.C:
			p.expire(time.Now())
		}
	}
}

func (p *producer) expire(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.unfinished == 0 {
		return
	}
	for _, s := range p.sinks {
		if s.stream == nil {
			continue
		}
		for _, r := range s.stream.requests {
			switch age := now.Sub(r.sentAt); {
			case age > requestTimeout:
				s.stream.cancel() // its receiver ends the attempts
			case age > doubtAfter:
				p.refresh.trigger()
			}
		}
	}
	for _, t := range p.topics {
		for _, q := range t.parts {
			if !q.empty() {
				p.abandonLocked(q, now)
				p.expireQueueLocked(q, now)
			}
		}
		p.expirePendingLocked(t, now)
	}
}

// abandonLocked stops waiting for a broker that has not answered for a while and does not lead any more.
func (p *producer) abandonLocked(q *queue, now time.Time) {
	if q.leader.id == noLeader {
		return
	}
	for i := 0; i < len(q.taken); i++ { // ending an attempt may change q.taken, but finishes nothing here
		b := q.taken[i]
		if b.state == stateInFlight && b.sent && b.sentTo != q.leader.id && now.Sub(b.sentAt) > doubtAfter {
			p.unansweredLocked(b, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_LOST_LEADERSHIP,
				"broker %d did not answer and broker %d leads now", b.sentTo, q.leader.id))
		}
	}
}

// expireQueueLocked fails batches whose time is over. Deadlines rise along a queue, so the first one in time ends it.
func (p *producer) expireQueueLocked(q *queue, now time.Time) {
	over := func(b *batch) bool { return now.Sub(b.born) >= p.cfg.deliveryTimeout }
	for _, b := range append([]*batch(nil), q.taken...) {
		if !over(b) {
			break
		}
		switch b.state {
		case stateInFlight:
			b.maybe = b.maybe || b.sent
			b.fail(p.timeout(q))
			b.gap = true
			p.endAttemptLocked(b, false)
		case stateWaiting:
			b.fail(p.timeout(q))
			b.gap = true
			p.settleLocked(q)
		}
	}
	for len(q.taken) == 0 && len(q.full) > 0 && over(q.full[0]) {
		b := q.full[0]
		q.full = q.full[1:]
		b.fail(p.timeout(q))
		p.finishLocked(b)
	}
	if b := q.open; len(q.taken) == 0 && len(q.full) == 0 && b != nil && over(b) {
		q.open = nil
		b.fail(p.timeout(q))
		p.finishLocked(b)
	}
}

func (p *producer) expirePendingLocked(t *topicQueues, now time.Time) {
	for len(t.pending) > 0 && now.Sub(t.pending[0].born) >= p.cfg.deliveryTimeout {
		r := t.pending[0]
		t.pending = t.pending[1:]
		p.finishLocked(&batch{items: []item{r.item}, state: stateFailed, room: r.room, err: notWritten(
			runnelv1.ErrorReason_ERROR_REASON_TIMEOUT, fmt.Sprintf("no broker told who leads topic %q within %v", t.name, p.cfg.deliveryTimeout))})
	}
}

func (p *producer) timeout(q *queue) *Error {
	msg := fmt.Sprintf("partition %s/%d did not acknowledge within %v", q.topic, q.num, p.cfg.deliveryTimeout)
	switch {
	case q.lastErr != nil:
		msg += ": " + q.lastErr.Error()
	case q.leader.id == noLeader:
		msg += ": it has no leader"
	}
	return notWritten(runnelv1.ErrorReason_ERROR_REASON_TIMEOUT, msg)
}
