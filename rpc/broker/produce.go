package broker

import (
	"context"
	"errors"
	"io"
	"sync"

	"google.golang.org/grpc"

	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

const apiProduce = "produce"

// produceStream is one client's stream. The reader goroutine admits requests, the handler goroutine answers them.
type produceStream struct {
	s      *Server
	stream grpc.BidiStreamingServer[runnelv1.ProduceRequest, runnelv1.ProduceResponse]

	// slots holds one token for each request that is read and not yet answered.
	slots chan struct{}
	// answers has the capacity of slots, and a request is put there once: the put never blocks a partition's worker.
	answers chan *produceRequest

	// fewer has room for one token: fewer partitions are unanswered.
	fewer chan struct{}

	mu         sync.Mutex
	inFlight   int  // requests begun and not yet answered
	unanswered int  // partitions of theirs
	closed     bool // nothing is begun any more
}

// Produce implements runnelv1.BrokerServer.
func (s *Server) Produce(stream grpc.BidiStreamingServer[runnelv1.ProduceRequest, runnelv1.ProduceResponse]) error {
	if s.isStopping() {
		return runnelv1.ToStatus(s.metrics.error(apiProduce, s.stoppingError()))
	}
	if err := stream.SetHeader(s.header()); err != nil {
		return err
	}
	open := s.metrics.streams.WithLabelValues(apiProduce)
	open.Inc()
	defer open.Dec()

	st := &produceStream{
		s: s, stream: stream,
		slots:   make(chan struct{}, s.limits.InFlightPerStream),
		answers: make(chan *produceRequest, s.limits.InFlightPerStream),
		fewer:   make(chan struct{}, 1),
	}
	ctx, cancel := context.WithCancel(stream.Context())
	defer cancel() // wakes a reader that waits for a slot, for answers or the budget; one that waits in RecvMsg ends when we return
	end := make(chan error, 1)
	s.readers.Go(func() { end <- s.guard("produce", func() error { return st.read(ctx) }) })
	return st.answer(ctx, cancel, end)
}

// read takes requests until the client is done (nil), the stream ends or the broker stops.
func (st *produceStream) read(ctx context.Context) error {
	s := st.s
	for {
		select {
		case st.slots <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
		if err := st.waitForAnswers(ctx); err != nil {
			return err
		}
		m := &produceMessage{ProduceRequest: new(runnelv1.ProduceRequest), admit: func(n int64) error { return s.admit(ctx, n) }}
		if err := st.receive(ctx, m); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		if !st.begin(len(m.parts)) {
			s.budget.Release(int64(m.size))
			return ctx.Err()
		}
		s.metrics.produces.Inc()
		s.metrics.bytesIn.Add(float64(m.size))
		st.serve(ctx, m)
	}
}

// receive reads a request, of which the budget has been charged when the answer is nil.
func (st *produceStream) receive(ctx context.Context, m *produceMessage) (err error) {
	s := st.s
	defer func() {
		if err != nil && m.admitted {
			s.budget.Release(int64(m.size))
		}
	}()
	if err := st.stream.RecvMsg(m); err != nil {
		return err
	}
	if m.refused != nil {
		return m.refused
	}
	m.unpack(s.limits)
	if m.bad != nil {
		return runnelv1.ToStatus(s.metrics.error(apiProduce, runnelv1.Errorf(reasonInvalid, "%v", m.bad)))
	}
	if m.admitted {
		return nil
	}
	return s.admit(ctx, int64(m.size))
}

// waitForAnswers waits while as many partitions are unanswered as may be. It comes before the next request is read, which
// nobody knows the size of: a client that does not read its answers holds nothing of the budget here, and others go on.
func (st *produceStream) waitForAnswers(ctx context.Context) error {
	for {
		st.mu.Lock()
		full := st.unanswered >= st.s.limits.UnansweredPartitions
		st.mu.Unlock()
		if !full {
			return nil
		}
		select {
		case <-st.fewer:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// begin counts a request of so many partitions in, unless the stream has been closed.
func (st *produceStream) begin(partitions int) bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.closed {
		return false
	}
	st.inFlight++
	st.unanswered += partitions
	st.s.metrics.inFlight.Inc()
	return true
}

// answered counts a request out.
func (st *produceStream) answered(partitions int) {
	st.mu.Lock()
	st.inFlight--
	st.unanswered -= partitions
	st.mu.Unlock()
	<-st.slots
	select {
	case st.fewer <- struct{}{}:
	default: // a token is there already
	}
}

// closeIfIdle closes the stream to new requests if none is in flight.
func (st *produceStream) closeIfIdle() bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.inFlight == 0 {
		st.closed = true
	}
	return st.closed
}

// close closes the stream to new requests and tells how many stay unanswered.
func (st *produceStream) close() int {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.closed = true
	return st.inFlight
}

// answer sends responses until the stream ends. It is the handler goroutine: the only one that sends.
func (st *produceStream) answer(ctx context.Context, cancel func(), end <-chan error) error {
	s := st.s
	defer st.close()
	stopping, grace := s.stopping, make(chan struct{})
	ended := false
	var result error // how the stream ends once nothing is in flight
	for {
		if (ended || stopping == nil) && st.closeIfIdle() {
			return result
		}
		select {
		case r := <-st.answers:
			if err := st.stream.SendMsg(r.response()); err != nil {
				return err
			}
			st.answered(len(r.results))
		case err := <-end:
			if runnelv1.AsError(err).GetReason() == reasonInternal {
				return err // a defect: requests may be lost, waiting for them could take for ever
			}
			// What was accepted is still answered, unless the client is gone.
			ended = true
			if stopping != nil {
				result = err
			}
		case <-stopping:
			stopping = nil
			result = runnelv1.ToStatus(s.metrics.error(apiProduce, s.stoppingError()))
			cancel()
			t := s.clock.AfterFunc(s.limits.StopGrace, func() { close(grace) })
			defer t.Stop()
		case <-grace:
			n := st.close()
			e := s.stoppingError()
			e.Kind = runnelv1.ErrorKind_ERROR_KIND_INDETERMINATE
			e.Message += "; the requests that were not answered may or may not have been written"
			s.log.Warn("a produce stream was ended with requests in flight", "requests", n)
			return runnelv1.ToStatus(e)
		case <-st.stream.Context().Done():
			return st.stream.Context().Err()
		}
		if ctx.Err() != nil && st.stream.Context().Err() != nil {
			return st.stream.Context().Err()
		}
	}
}
