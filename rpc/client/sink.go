package client

import (
	"context"
	"fmt"
	"slices"
	"time"

	"google.golang.org/grpc"

	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// maxRequestParts keeps requests well below the 4096 partitions that brokers take at once.
const maxRequestParts = 1024

// sink sends to one broker what is to be sent to it, over one stream at a time, batches of many partitions in one
// request. Its fields but poke, req and the constants are guarded by producer.mu.
type sink struct {
	p      *producer
	broker int32
	poke   chan struct{}
	req    runnelv1.ProduceRequest // reused by the sink's goroutine: gRPC has encoded it when Send returns

	// ready holds each queue with something to send once, so it is bounded by the partitions.
	ready       []*queue
	stream      *produceStream
	correlation uint64
}

// produceStream is one Produce call. Guarded by producer.mu, but for rpc.
type produceStream struct {
	sink   *sink
	addr   string // where the broker was when the stream was opened
	cc     *grpc.ClientConn
	rpc    runnelv1.Broker_ProduceClient
	cancel context.CancelFunc
	// requests wait for their answers, by correlation id.
	requests map[uint64]*request
	broken   bool
}

// request is what one ProduceRequest carries: which batches, and by which attempt of each.
type request struct {
	batches  []*batch
	attempts []uint64
	sentAt   time.Time
}

// sinkLocked gives the sink of a broker and starts it when it is first wanted.
func (p *producer) sinkLocked(broker int32) *sink {
	s := p.sinks[broker]
	if s == nil {
		s = &sink{p: p, broker: broker, poke: make(chan struct{}, 1)}
		p.sinks[broker] = s
		p.wg.Go(s.run)
	}
	return s
}

func (s *sink) pushLocked(q *queue) {
	s.ready = append(s.ready, q)
	select {
	case s.poke <- struct{}{}:
	default:
	}
}

// dropLocked takes back what pushLocked did.
func (s *sink) dropLocked(q *queue) {
	if i := slices.Index(s.ready, q); i >= 0 {
		s.ready = slices.Delete(s.ready, i, i+1)
	}
}

// run is the sink's goroutine. It ends with the producer; the end of its context ends the stream too.
func (s *sink) run() {
	for {
		select {
		case <-s.p.ctx.Done():
			return
		case <-s.poke:
		}
		for s.p.ctx.Err() == nil && s.send() {
		}
	}
}

// send sends one request, and answers false if there was nothing to send.
func (s *sink) send() bool {
	p := s.p
	p.mu.Lock()
	r := s.takeLocked(time.Now())
	more := len(s.ready) > 0
	p.mu.Unlock()
	if r == nil {
		return more
	}
	for _, b := range r.batches {
		p.pools.build(b, p.cfg.codec)
	}
	st, err := s.open()
	if err != nil {
		s.notSent(r, err)
		return true
	}
	if !s.register(st, r) {
		return true
	}
	err = st.rpc.Send(&s.req)
	p.mu.Lock()
	for _, b := range r.batches {
		b.holds--
	}
	p.mu.Unlock()
	if err != nil {
		st.cancel() // the receiver sees the reason, or this, and ends the attempts
	}
	return true
}

// takeLocked takes at most one batch of each ready partition, up to about the bytes of a request.
func (s *sink) takeLocked(now time.Time) *request {
	var r *request
	bytes, n := 0, 0
	for ready := min(len(s.ready), maxRequestParts); n < ready && bytes < s.p.cfg.requestBytes; n++ {
		q := s.ready[n]
		q.ready = false
		b := s.p.takeLocked(q, s.broker, now)
		if b == nil {
			s.p.readyLocked(q) // perhaps a timer has to be set
			continue
		}
		if r == nil {
			r = &request{sentAt: now}
		}
		r.batches = append(r.batches, b)
		r.attempts = append(r.attempts, b.attempt)
		bytes += b.room
		s.p.readyLocked(q) // more of it goes into the next request
	}
	rest := copy(s.ready, s.ready[n:])
	clear(s.ready[rest:])
	s.ready = s.ready[:rest]
	return r
}

// open gives the stream, and makes it if there is none.
func (s *sink) open() (*produceStream, error) {
	p := s.p
	p.mu.Lock()
	st := s.stream
	p.mu.Unlock()
	if st != nil {
		return st, nil
	}
	addr := p.meta.address(s.broker)
	if addr == "" {
		return nil, fmt.Errorf("broker %d has no known address", s.broker)
	}
	cc, err := p.conns.get(addr)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(p.ctx)
	rpc, err := runnelv1.NewBrokerClient(cc).Produce(ctx)
	if err != nil {
		cancel()
		return nil, fmt.Errorf("connect to broker %d at %s: %w", s.broker, addr, err)
	}
	st = &produceStream{sink: s, addr: addr, cc: cc, rpc: rpc, cancel: cancel, requests: make(map[uint64]*request)}
	p.mu.Lock()
	s.stream = st
	p.mu.Unlock()
	p.wg.Go(st.receive)
	return st, nil
}

// leaveOldAddressesLocked gives up streams to addresses at which their broker is no more: another broker may answer there, which leads
// nothing of what it is sent, or nobody, without a reset. The receivers end the attempts.
func (p *producer) leaveOldAddressesLocked() {
	for _, s := range p.sinks {
		if s.stream == nil {
			continue
		}
		if now := p.meta.address(s.broker); now != "" && now != s.stream.addr {
			s.stream.cancel()
		}
	}
}

// register makes the request wait for its answer and fills s.req. Batches whose attempt was ended meanwhile are left out.
func (s *sink) register(st *produceStream, r *request) bool {
	p := s.p
	p.mu.Lock()
	defer p.mu.Unlock()
	if st.broken {
		s.notSentLocked(r, fmt.Errorf("the stream to broker %d broke", s.broker))
		return false
	}
	parts := s.req.Partitions[:cap(s.req.Partitions)]
	n := 0
	for i, b := range r.batches {
		if b.attempt != r.attempts[i] {
			b.holds--
			continue
		}
		b.sent, b.sentAt = true, time.Now()
		if n == len(parts) {
			parts = append(parts, nil)
			parts = parts[:cap(parts)]
		}
		if parts[n] == nil {
			parts[n] = &runnelv1.ProducePartition{}
		}
		parts[n].Topic, parts[n].Partition, parts[n].Batch = b.q.topic, b.q.num, b.wire
		r.batches[n], r.attempts[n] = b, r.attempts[i]
		n++
	}
	s.req.Partitions = parts[:n]
	r.batches, r.attempts = r.batches[:n], r.attempts[:n]
	if n == 0 {
		return false
	}
	s.correlation++
	s.req.CorrelationId = s.correlation
	st.requests[s.correlation] = r
	return true
}

// notSent ends attempts that surely did not reach the broker.
func (s *sink) notSent(r *request, err error) {
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	s.notSentLocked(r, err)
}

func (s *sink) notSentLocked(r *request, err error) {
	s.p.log.Debug("cannot send to a broker", "component", "client", "broker", s.broker, "error", err)
	e := notWritten(runnelv1.ErrorReason_ERROR_REASON_UNAVAILABLE, err.Error())
	for i, b := range r.batches {
		b.holds--
		if b.attempt == r.attempts[i] {
			b.q.lost, b.q.lastErr = true, e
			s.p.endAttemptLocked(b, true)
		}
	}
	s.p.refresh.trigger()
}
