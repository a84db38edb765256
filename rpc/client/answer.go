package client

import (
	"fmt"

	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// receive is a stream's goroutine: it takes answers until the stream ends.
func (st *produceStream) receive() {
	defer st.cancel()
	foreign := false // gRPC hands out what it has received already after the connection is closed
	for first := true; ; first = false {
		resp, err := st.rpc.Recv()
		if err != nil {
			st.sink.p.streamBroke(st, err)
			return
		}
		p := st.sink.p
		if first {
			foreign = p.conns.leaveStranger(p.log, st.rpc, p.meta.cluster(), st.sink.broker, st.addr, st.cc)
		}
		if foreign {
			continue // the stream breaks, and what was sent there is sent to ours
		}
		p.answer(st, resp)
	}
}

// streamBroke ends the attempts of all requests without an answer: what they did is unknown.
func (p *producer) streamBroke(st *produceStream, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	st.broken = true
	if st.sink.stream == st {
		st.sink.stream = nil
	}
	if p.ctx.Err() == nil {
		p.log.Warn("produce stream broke, sending unanswered batches again", "component", "client",
			"broker", st.sink.broker, "requests", len(st.requests), "error", err)
	}
	e := runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_UNAVAILABLE, "the stream to broker %d broke: %v", st.sink.broker, err)
	for _, r := range st.requests {
		for i, b := range r.batches {
			if b.attempt == r.attempts[i] {
				b.q.lost = true
				p.unansweredLocked(b, e)
			}
		}
	}
	st.requests = nil
	p.refresh.trigger()
}

// unansweredLocked ends an attempt of unknown outcome.
func (p *producer) unansweredLocked(b *batch, e *Error) {
	b.maybe = b.maybe || b.sent
	b.q.lastErr = e
	p.endAttemptLocked(b, true)
}

// answer takes in one response.
func (p *producer) answer(st *produceStream, resp *runnelv1.ProduceResponse) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := st.requests[resp.GetCorrelationId()]
	if r == nil {
		return
	}
	delete(st.requests, resp.GetCorrelationId())
	for i, b := range r.batches {
		if b.attempt != r.attempts[i] {
			continue // it was given up meanwhile
		}
		if i >= len(resp.GetResults()) {
			p.unansweredLocked(b, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_INTERNAL,
				"broker %d answered %d of %d partitions", st.sink.broker, len(resp.GetResults()), len(r.batches)))
			continue
		}
		p.resultLocked(b, resp.GetResults()[i])
	}
}

// resultLocked takes in the answer to a batch's attempt.
func (p *producer) resultLocked(b *batch, res *runnelv1.ProducePartitionResult) {
	q, e := b.q, res.GetError()
	q.lost = false // whatever it says, the broker was reached
	if e == nil {
		b.state, b.base, b.attempt = stateDone, res.GetBaseOffset(), 0
		q.inFlight--
		q.failures, q.lastErr = 0, nil
		p.settleLocked(q)
		return
	}
	q.lastErr = e
	kind := e.GetKind()
	if kind == runnelv1.ErrorKind_ERROR_KIND_UNSPECIFIED {
		kind = runnelv1.KindOf(e.GetReason())
	}
	switch e.GetReason() {
	case runnelv1.ErrorReason_ERROR_REASON_OUT_OF_ORDER_SEQUENCE, runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_PRODUCER:
		p.sequenceRefusedLocked(b, e)
		return
	case runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_TOPIC, runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_PARTITION:
		// Perhaps the broker has just started, or the topic is gone: metadata decides.
		p.refresh.trigger()
		p.endAttemptLocked(b, true)
		return
	}
	switch kind {
	case runnelv1.ErrorKind_ERROR_KIND_RETRIABLE:
		p.retryLocked(b, e)
	case runnelv1.ErrorKind_ERROR_KIND_DEFINITE:
		b.fail(e)
		b.gap = true
		p.endAttemptLocked(b, false)
	default:
		p.refresh.trigger()
		p.unansweredLocked(b, e)
	}
}

// retryLocked sends a batch again that an answer said had no effect, elsewhere if the answer tells where.
func (p *producer) retryLocked(b *batch, e *Error) {
	q, from := b.q, b.sentTo
	pause := true
	switch e.GetReason() {
	case runnelv1.ErrorReason_ERROR_REASON_OVERLOADED, runnelv1.ErrorReason_ERROR_REASON_TOO_MANY_PRODUCERS:
	case runnelv1.ErrorReason_ERROR_REASON_DISK_FULL:
		p.refresh.trigger() // others are to lead soon
	default:
		// At once only the first time: two brokers may each name the other for a while.
		if p.meta.hint(q.topic, q.num, from, e) && q.failures == 0 {
			pause = false
		}
		if v := p.meta.topic(q.topic); int(q.num) < len(v.leaders) {
			p.followLocked(q, v.leaders[q.num])
		}
		p.refresh.trigger()
	}
	p.endAttemptLocked(b, pause)
}

// sequenceRefusedLocked judges a broker's complaint about a gap before the batch, or about a producer that it does not
// know (which with a sequence above 0 is a gap too).
func (p *producer) sequenceRefusedLocked(b *batch, e *Error) {
	q := b.q
	switch {
	case !b.alone:
		// An earlier batch of the pipeline was refused, so this one had to be. It goes again behind that one.
		p.endAttemptLocked(b, false)
	case e.GetReason() == runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_PRODUCER && !b.maybe:
		// Brokers forget a producer that was silent for long. The batch was surely never appended, so it may start a new
		// sequence.
		q.needID = true
		p.endAttemptLocked(b, q.failures > 0)
	default:
		// All before it is acknowledged: the broker has lost acknowledged records, or this batch's fate is unknown.
		p.log.Error("broker refuses a sequence although all before it was acknowledged", "component", "client",
			"topic", q.topic, "partition", q.num, "broker", b.sentTo, "error", e)
		lost := &Error{Kind: e.GetKind(), Reason: e.GetReason(), LeaderTerm: e.GetLeaderTerm(),
			Message: fmt.Sprintf("broker %d: %s", b.sentTo, e.Error())}
		b.fail(lost)
		b.gap = true
		p.endAttemptLocked(b, false)
	}
}
