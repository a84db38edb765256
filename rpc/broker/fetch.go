package broker

import (
	"errors"
	"io"
	"sync"
	"time"

	"google.golang.org/grpc"

	"github.com/runnel-io/runnel/partition"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

const (
	apiFetch = "fetch"
	// minShare is the least that a partition may add to a response that it shares, so that each read is worth its cost.
	minShare = 64 << 10
	// After idleWakes wakes in a row that brought nothing, a partition is looked at again only after idlePause.
	idleWakes = 3
	idlePause = 20 * time.Millisecond
)

// fetchStream serves one consumer's partitions in turn. One goroutine, the handler, reads and sends; another one takes
// in credit; partitions wake it through their waiters.
type fetchStream struct {
	s      *Server
	stream grpc.BidiStreamingServer[runnelv1.FetchRequest, runnelv1.FetchResponse]
	any    bool

	// parts are the partitions served; the handler's own.
	parts []*fetchPart

	// wake has room for one token: there is something new in the fields below.
	wake chan struct{}

	mu     sync.Mutex
	credit int64 // below 0 after a batch larger than the credit
	// ready are the partitions that may have something to send, in the order of their turns; each at most once.
	ready []*fetchPart
}

// fetchPart is one partition of a stream.
type fetchPart struct {
	topic  string
	number int32
	offset int64 // next to read
	rep    replica
	cancel func() // of the waiter, nil if none; the handler's own
	dead   bool   // its error was reported; the handler's own
	queued bool   // is in ready; guarded by fetchStream.mu
	// idle counts wakes in a row that brought nothing; the handler's own. See park.
	idle int
}

// Fetch implements runnelv1.BrokerServer.
func (s *Server) Fetch(stream grpc.BidiStreamingServer[runnelv1.FetchRequest, runnelv1.FetchResponse]) error {
	if s.isStopping() {
		return runnelv1.ToStatus(s.metrics.error(apiFetch, s.stoppingError()))
	}
	if err := stream.SetHeader(s.header()); err != nil {
		return err
	}
	open := s.metrics.streams.WithLabelValues(apiFetch)
	open.Inc()
	defer open.Dec()

	// The first request must not keep a stopping broker waiting, so it too is read by the reader goroutine.
	first := make(chan *runnelv1.FetchRequest, 1)
	end := make(chan error, 1)
	st := &fetchStream{s: s, stream: stream, wake: make(chan struct{}, 1)}
	s.readers.Go(func() { end <- s.guard("fetch", func() error { return st.read(first) }) })
	var r *runnelv1.FetchRequest
	select {
	case r = <-first:
	case err := <-end:
		// A client may send its request and close at once: the request counts, and serve is told of the end.
		select {
		case r = <-first:
			end <- err // has room: the reader sent its only one
		default:
			return err
		}
	case <-s.stopping:
		return runnelv1.ToStatus(s.metrics.error(apiFetch, s.stoppingError()))
	case <-stream.Context().Done():
		return stream.Context().Err()
	}
	s.metrics.requests.WithLabelValues(apiFetch).Inc()
	if e := st.open(r); e != nil {
		return runnelv1.ToStatus(s.metrics.error(apiFetch, e))
	}
	defer st.cancelAll()
	return st.serve(end)
}

// read takes in requests: the first one whole, of the later ones the credit.
func (st *fetchStream) read(first chan<- *runnelv1.FetchRequest) error {
	for opened := false; ; opened = true {
		r, err := st.stream.Recv()
		if err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		if r.GetCreditBytes() < 0 {
			return invalidFetch("credit_bytes is %d: credit cannot be taken back", r.GetCreditBytes())
		}
		if opened && (len(r.GetPartitions()) > 0 || r.GetAnyReplica()) {
			return invalidFetch("partitions and any_replica belong in the first request only: open another stream")
		}
		st.mu.Lock()
		// Both are at most CreditBytes and 2^63-1: compare without adding.
		if l := st.s.limits.CreditBytes; r.GetCreditBytes() > l-st.credit {
			st.credit = l
		} else {
			st.credit += r.GetCreditBytes()
		}
		st.mu.Unlock()
		if !opened {
			first <- r
		}
		st.notify()
	}
}

func invalidFetch(format string, args ...any) error {
	return runnelv1.ToStatus(runnelv1.Errorf(reasonInvalid, format, args...))
}

// open takes the partitions of the first request. A partition that this broker cannot serve does not fail the others.
func (st *fetchStream) open(r *runnelv1.FetchRequest) *runnelv1.Error {
	if e := checkFetch(r.GetPartitions(), st.s.limits); e != nil {
		return e
	}
	st.any = r.GetAnyReplica()
	for _, p := range r.GetPartitions() {
		st.parts = append(st.parts, &fetchPart{topic: p.GetTopic(), number: p.GetPartition(), offset: p.GetOffset(), queued: true})
	}
	st.mu.Lock()
	st.ready = append(st.ready, st.parts...)
	st.mu.Unlock()
	st.notify()
	return nil
}

// checkFetch refuses what can never be served.
func checkFetch(parts []*runnelv1.FetchPartition, l Limits) *runnelv1.Error {
	if len(parts) == 0 {
		return runnelv1.Errorf(reasonInvalid, "the request names no partition to read")
	}
	if len(parts) > l.PartitionsPerRequest {
		return runnelv1.Errorf(reasonInvalid, "the request names %d partitions: at most %d", len(parts), l.PartitionsPerRequest)
	}
	type key struct {
		topic string
		n     int32
	}
	seen := make(map[key]struct{}, len(parts))
	for _, p := range parts {
		k := key{p.GetTopic(), p.GetPartition()}
		if _, twice := seen[k]; twice {
			return runnelv1.Errorf(reasonInvalid, "%q partition %d is named twice", k.topic, k.n)
		}
		seen[k] = struct{}{}
		if p.GetOffset() < 0 {
			return runnelv1.Errorf(reasonInvalid, "offset %d of %q partition %d is below 0: ask ListOffsets for the start or the end",
				p.GetOffset(), k.topic, k.n)
		}
	}
	return nil
}

// serve sends until the client, the broker or the last partition is done.
func (st *fetchStream) serve(end <-chan error) error {
	s := st.s
	for {
		select {
		case <-st.wake:
		case err := <-end:
			if err != nil {
				return err
			}
			end = nil // the client grants no more; what it granted is still served
			continue
		case <-s.stopping:
			return runnelv1.ToStatus(s.metrics.error(apiFetch, s.stoppingError()))
		case <-st.stream.Context().Done():
			return st.stream.Context().Err()
		}
		for more := true; more; {
			if s.isStopping() {
				break
			}
			var err error
			if more, err = st.round(); err != nil {
				return err
			}
		}
		if st.allDead() {
			return nil
		}
	}
}

// round gives each ready partition a turn and sends what came of it. It tells whether another round is worth it now.
func (st *fetchStream) round() (more bool, err error) {
	turns, credit := st.turns()
	if turns == 0 {
		return false, nil
	}
	m, began := st.s.newFetchMessage(), st.s.clock.Now()
	for left := turns; left > 0; left-- {
		room := int64(st.s.limits.ResponseBytes - m.bytes)
		if over := credit - int64(m.bytes); over < room {
			room = over
		}
		if room <= 0 {
			break
		}
		p := st.pop()
		res, e := st.take(p, int(min(room, max(room/int64(left), minShare))), m.room())
		switch {
		case e != nil:
			p.dead = true
			// An offset out of range needs the range.
			m.add(&runnelv1.FetchPartitionResult{
				Topic: p.topic, Partition: p.number, Error: e, NextOffset: p.offset,
				HighWatermark: res.HighWatermark, LogStartOffset: res.LogStart,
			})
		case len(res.Batches) == 0:
			p.offset = max(p.offset, res.Next)
			st.park(p)
		default:
			if int64(len(res.Batches)) > room && m.bytes > 0 {
				// One batch larger than what is left goes alone: read it again in a response of its own.
				st.pushFront(p)
				return true, st.send(m, began)
			}
			p.idle = 0
			p.offset = res.Next
			m.add(&runnelv1.FetchPartitionResult{
				Topic: p.topic, Partition: p.number, Batches: res.Batches,
				HighWatermark: res.HighWatermark, LogStartOffset: res.LogStart, NextOffset: res.Next,
			})
			st.push(p)
		}
	}
	return true, st.send(m, began)
}

// take reads from one partition, finding its replica first if need be.
func (st *fetchStream) take(p *fetchPart, maxBytes int, dst []byte) (partition.FetchResult, *runnelv1.Error) {
	s := st.s
	if p.rep == nil {
		rep, e := s.replica(p.topic, p.number)
		if e != nil {
			return partition.FetchResult{}, s.metrics.error(apiFetch, s.hint(e, p.topic, p.number))
		}
		p.rep = rep
	}
	res, err := p.rep.TryFetch(partition.FetchRequest{Offset: p.offset, MaxBytes: maxBytes, AnyReplica: st.any}, dst)
	if err != nil {
		return res, s.metrics.error(apiFetch, s.fetchError(err, p.topic, p.number))
	}
	return res, nil
}

// fetchError is what the client is told when a replica fails: that the topic is gone, if that is why.
func (s *Server) fetchError(err error, topic string, n int32) *runnelv1.Error {
	e := runnelv1.AsError(err)
	if e.GetKind() == runnelv1.ErrorKind_ERROR_KIND_RETRIABLE {
		if _, now := s.replica(topic, n); now != nil && now.GetKind() == runnelv1.ErrorKind_ERROR_KIND_DEFINITE {
			return now
		}
	}
	return s.hint(e, topic, n)
}

// send sends a response that was begun at a time, unless it is empty, and pays for it.
func (st *fetchStream) send(m *fetchMessage, began time.Time) error {
	defer m.release()
	if len(m.Results) == 0 {
		return nil
	}
	st.mu.Lock()
	st.credit -= int64(m.bytes)
	st.mu.Unlock()
	st.s.metrics.fetched(m.bytes, st.s.clock.Now().Sub(began))
	return st.stream.SendMsg(m)
}

// turns tells how many partitions are ready and how much may be sent; no turns without credit.
func (st *fetchStream) turns() (n int, credit int64) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.credit <= 0 {
		return 0, 0
	}
	return len(st.ready), st.credit
}

func (st *fetchStream) pop() *fetchPart {
	st.mu.Lock()
	defer st.mu.Unlock()
	p := st.ready[0]
	st.ready[0] = nil
	st.ready = st.ready[1:]
	p.queued = false
	return p
}

// push gives a partition a turn. It is also what waiters call, so it must not block.
func (st *fetchStream) push(p *fetchPart) {
	st.mu.Lock()
	if !p.queued {
		p.queued = true
		st.ready = append(st.ready, p)
	}
	st.mu.Unlock()
	st.notify()
}

func (st *fetchStream) pushFront(p *fetchPart) {
	st.mu.Lock()
	if !p.queued {
		p.queued = true
		st.ready = append([]*fetchPart{p}, st.ready...)
	}
	st.mu.Unlock()
}

// park waits for a partition to have more.
func (st *fetchStream) park(p *fetchPart) {
	if p.cancel != nil {
		p.cancel()
		p.cancel = nil
	}
	if p.idle++; p.idle > idleWakes {
		// It was woken again and again for nothing: a follower whose session state keeps changing, say. Slow down.
		t := st.s.clock.AfterFunc(idlePause, func() { st.push(p) })
		p.cancel = func() { t.Stop() }
		return
	}
	p.cancel = p.rep.WaitBeyond(p.offset, func() { st.push(p) })
}

func (st *fetchStream) notify() {
	select {
	case st.wake <- struct{}{}:
	default: // a token is there already
	}
}

func (st *fetchStream) allDead() bool {
	for _, p := range st.parts {
		if !p.dead {
			return false
		}
	}
	return true
}

func (st *fetchStream) cancelAll() {
	for _, p := range st.parts {
		if p.cancel != nil {
			p.cancel()
		}
	}
}
