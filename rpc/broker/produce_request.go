package broker

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/runnel-io/runnel/partition"
	"github.com/runnel-io/runnel/partition/record"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// produceRequest is a request in flight.
type produceRequest struct {
	st          *produceStream
	correlation uint64
	bytes       int64 // held of the budget
	began       time.Time
	results     []runnelv1.ProducePartitionResult
	// pending counts results to come, and one more that the reader holds until it has handed over all batches, so that
	// quick answers cannot finish the request early.
	pending atomic.Int32
	// freed is set when the budget has its bytes back.
	freed atomic.Bool
}

// serve hands a request's batches to their partitions. It never waits for an answer, only, and only for a compressed
// batch, for its turn to decompress.
func (st *produceStream) serve(ctx context.Context, m *produceMessage) {
	r := &produceRequest{
		st: st, correlation: m.correlation, bytes: int64(m.size), began: st.s.clock.Now(),
		results: make([]runnelv1.ProducePartitionResult, len(m.parts)),
	}
	r.pending.Store(int32(len(m.parts)) + 1) //nolint:gosec // bounded by Limits.PartitionsPerRequest
	handed := false
	defer func() {
		if !handed { // a panic: this request is never answered, but its bytes must not be lost to all others
			r.free()
		}
	}()
	for i := range m.parts {
		r.hand(ctx, i, &m.parts[i])
	}
	handed = true
	r.count()
}

// free gives the budget its bytes back, once.
func (r *produceRequest) free() {
	if r.freed.CompareAndSwap(false, true) {
		r.st.s.budget.Release(r.bytes)
		r.st.s.metrics.inFlight.Dec()
	}
}

// hand checks one batch and gives it to its partition.
func (r *produceRequest) hand(ctx context.Context, i int, in *inbound) {
	s := r.st.s
	var p replica
	var h record.Header
	var buf []byte
	// A client's bytes are read here: should they reveal a defect, it costs that client this one batch.
	if err := s.guard("check a batch", func() error {
		var e *runnelv1.Error
		if p, e = s.replica(in.topic, in.partition); e == nil {
			h, buf, e = s.check(ctx, p, in)
		}
		if e != nil {
			return e
		}
		return nil
	}); err != nil {
		r.fail(i, in, runnelv1.AsError(err))
		return
	}
	topic, n := in.topic, in.partition
	in.buf, in.records = nil, nil // the partition owns them now
	done := func(res partition.ProduceResult) {
		out := &r.results[i]
		if res.Err != nil {
			out.Error = s.metrics.error(apiProduce, s.hint(res.Err, topic, n))
		} else {
			out.BaseOffset, out.LogStartOffset, out.Duplicate = res.Base, res.LogStart, res.Duplicate
		}
		r.count()
	}
	if o, ok := p.(ownedProducer); ok {
		o.ProduceOwned(buf, h, done)
		return
	}
	p.Produce(buf[record.EnvelopeLen:], h, done)
}

func (r *produceRequest) fail(i int, in *inbound, e *runnelv1.Error) {
	s := r.st.s
	r.results[i].Error = s.metrics.error(apiProduce, s.hint(e, in.topic, in.partition))
	r.count()
}

// count takes one result in. The last one gives the budget back and queues the response; this may run on a partition's
// worker, so nothing here blocks.
func (r *produceRequest) count() {
	if r.pending.Add(-1) > 0 {
		return
	}
	s := r.st.s
	r.free()
	s.metrics.produced(s.clock.Now().Sub(r.began))
	r.st.answers <- r // has room: see produceStream.answers
}

func (r *produceRequest) response() *runnelv1.ProduceResponse {
	out := &runnelv1.ProduceResponse{
		CorrelationId: r.correlation,
		Results:       make([]*runnelv1.ProducePartitionResult, len(r.results)),
	}
	for i := range r.results {
		out.Results[i] = &r.results[i]
	}
	return out
}

// check makes sure of a batch, or makes one of plain records. buf has record.EnvelopeLen bytes before the batch.
func (s *Server) check(ctx context.Context, p replica, in *inbound) (h record.Header, buf []byte, e *runnelv1.Error) {
	l := p.Limits()
	if in.buf == nil {
		return s.encode(l, in)
	}
	batch := in.buf[record.EnvelopeLen:]
	h, err := record.ParseHeader(batch)
	if err != nil {
		return h, nil, batchError(err, in.topic, in.partition)
	}
	if h.Codec() != record.CodecNone && !l.SkipCount {
		select {
		case s.decompress <- struct{}{}:
			defer func() { <-s.decompress }()
		case <-ctx.Done():
			// Nothing was written; on a stopping broker the client still gets this answer.
			return h, nil, runnelv1.Errorf(reasonUnavailable, "the stream or the broker is stopping: the batch was not written")
		}
	}
	if h, err = record.Validate(batch, l); err != nil {
		return h, nil, batchError(err, in.topic, in.partition)
	}
	return h, in.buf, nil
}

// encode makes a batch of plain records.
func (s *Server) encode(l record.Limits, in *inbound) (h record.Header, buf []byte, e *runnelv1.Error) {
	if len(in.records) == 0 {
		return h, nil, runnelv1.Errorf(reasonInvalid, "neither a batch nor records for %q partition %d", in.topic, in.partition)
	}
	size := record.EnvelopeLen + record.HeaderLen
	now := int64(0)
	for i := range in.records {
		r := &in.records[i]
		size += len(r.Key) + len(r.Value) + recordOverhead
		for _, h := range r.Headers {
			size += len(h.Key) + len(h.Value) + recordOverhead
		}
		if r.TimestampMS == 0 {
			if now == 0 {
				now = s.clock.Wall().UnixMilli()
			}
			r.TimestampMS = now
		}
	}
	buf, err := record.Encode(make([]byte, record.EnvelopeLen, size), in.records, record.EncodeOptions{ProducerID: -1})
	if err != nil {
		return h, nil, runnelv1.Errorf(reasonInvalid, "records for %q partition %d make no batch: %v", in.topic, in.partition, err)
	}
	batch := buf[record.EnvelopeLen:]
	if len(batch) > l.MaxBytes {
		return h, nil, runnelv1.Errorf(reasonTooLarge,
			"records for %q partition %d make a batch of %d bytes: max.message.bytes is %d; send fewer at once",
			in.topic, in.partition, len(batch), l.MaxBytes)
	}
	if h, err = record.ParseHeader(batch); err != nil {
		return h, nil, runnelv1.Errorf(reasonInternal, "made an unreadable batch: %v", err)
	}
	return h, buf, nil
}

// recordOverhead is more than a record or a header takes beside its bytes, in the common case; only a size to begin with.
const recordOverhead = 24
