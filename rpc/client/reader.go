package client

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"sync"

	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// Reader reads records of one topic. Use it from one goroutine at a time (Close may come from any). Close it.
//
// One goroutine assigns partitions to fetch streams (reader_assign.go), one receives from each stream and one gives it
// credit (reader_stream.go); the caller's goroutine takes batches apart (reader_decode.go).
type Reader struct {
	c     *Client
	topic string
	cfg   readerConfig
	log   *slog.Logger

	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
	poke   chan struct{}
	// positioned is closed when parts has been filled, or the reader failed before that.
	positioned chan struct{}
	// fetched is what streams have received, in order per partition. Credit bounds its bytes.
	fetched chan fetched

	mu      sync.Mutex
	parts   map[int32]*readPart
	streams map[int32]*fetchStream // by broker
	// startErr is why the search for the start goes on; see Waiting.
	startErr *Error
	err      *Error // ends the reader; set before positioned is closed, or by the iterating goroutine

	it iteration
}

// readPart is one partition that is read. Guarded by Reader.mu, but for pos and end, which belong to the iterating
// goroutine once the reader is positioned.
type readPart struct {
	num int32
	// next is the first offset that no stream has delivered yet. epoch rises when it is set anew: what streams deliver for
	// an older one is dropped.
	next  int64
	epoch uint64
	// stream serves the partition; nil: to be assigned, after retryAt, unless stopped.
	stream  *fetchStream
	backoff pacing
	stopped bool
	// lastErr is why the partition was last without a stream; nil once one has delivered.
	lastErr *Error

	// pos is the next offset to give; end, if not -1, is where ToEnd stops.
	pos, end int64
}

// NewReader reads a topic. It does not wait for the cluster: see Reader.Ready. The error tells of wrong options.
func (c *Client) NewReader(topic string, opts ...ReaderOption) (*Reader, error) {
	cfg := readerConfig{bytes: defaultReaderBytes}
	for _, o := range opts {
		o(&cfg)
	}
	if err := cfg.check(); err != nil {
		return nil, err
	}
	if topic == "" {
		return nil, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, "no topic to read")
	}
	r := &Reader{
		c: c, topic: topic, cfg: cfg, log: c.cfg.log.With("component", "client", "topic", topic),
		poke: make(chan struct{}, 1), positioned: make(chan struct{}), fetched: make(chan fetched, 16),
		parts: make(map[int32]*readPart), streams: make(map[int32]*fetchStream),
	}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		r.cancel()
		return nil, errClosedCall()
	}
	c.readers[r] = struct{}{}
	r.wg.Go(r.run)
	return r, nil
}

// Ready waits until the reader knows where each partition starts: what is written afterwards is read by FromEnd too.
// Errors are *Error.
func (r *Reader) Ready(ctx context.Context) error {
	select {
	case <-r.positioned:
	case <-ctx.Done():
		return runnelv1.AsError(ctx.Err())
	}
	if err := r.fatal(); err != nil {
		return err
	}
	return nil
}

func (r *Reader) fatal() *Error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

func (r *Reader) fail(err *Error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err == nil {
		r.err = err
	}
}

// Records gives records as they come, those of a partition in the order of their offsets. A non-nil error (with a nil
// record) ends the iteration; it is an *Error, or ctx's error when ctx ends. Iterating again goes on with the record after
// the last one given, or with the batch that could not be read.
func (r *Reader) Records(ctx context.Context) iter.Seq2[*Record, error] {
	return func(yield func(*Record, error) bool) {
		it := &r.it
		for {
			for it.at < len(it.records) {
				rec := &it.records[it.at]
				it.at++
				if !yield(rec, nil) {
					return
				}
			}
			more, err := r.advance(ctx)
			if err != nil {
				yield(nil, err)
				return
			}
			if !more {
				return
			}
		}
	}
}

// Close ends the reader and waits for its goroutines. An iteration that runs ends with an error.
func (r *Reader) Close() error {
	r.cancel()
	r.wg.Wait()
	r.c.refresh.remove(r)
	r.c.mu.Lock()
	defer r.c.mu.Unlock()
	delete(r.c.readers, r)
	return nil
}

// position finds where each partition starts, and ends with ToEnd.
func (r *Reader) position() *Error {
	v, err := r.c.refresh.resolve(r.ctx, r.topic)
	if err != nil {
		return runnelv1.AsError(err)
	}
	nums := r.cfg.partitions
	if len(nums) == 0 {
		nums = make([]int32, len(v.leaders))
		for i := range nums {
			nums[i] = int32(i)
		}
	}
	for _, n := range nums {
		if int(n) >= len(v.leaders) {
			return runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_PARTITION,
				"topic %q has partitions 0 to %d, not %d", r.topic, len(v.leaders)-1, n)
		}
	}
	// Ends before starts, so that no end is before its start only because time passed.
	var ends, starts map[int32]int64
	if r.cfg.toEnd {
		if ends, err = r.c.listOffsets(r.ctx, r.topic, nums, AtEnd(), r.noteStart); err != nil {
			return runnelv1.AsError(err)
		}
	}
	if r.cfg.start.kind != atOffset {
		if starts, err = r.c.listOffsets(r.ctx, r.topic, nums, r.cfg.start, r.noteStart); err != nil {
			return runnelv1.AsError(err)
		}
	}
	// A partition that ends before the offset asked for would never be asked, and its end taken for reached.
	if r.cfg.start.kind == atOffset && ends != nil {
		for _, n := range nums {
			if ends[n] >= r.cfg.start.offset {
				continue
			}
			if !r.cfg.resetToStart {
				return r.outOfRange(&readPart{num: n}, r.cfg.start.offset)
			}
			if starts == nil {
				if starts, err = r.c.listOffsets(r.ctx, r.topic, nums, AtStart(), r.noteStart); err != nil {
					return runnelv1.AsError(err)
				}
			}
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, n := range nums {
		p := &readPart{num: n, end: -1, pos: r.cfg.start.offset}
		if starts != nil && (r.cfg.start.kind != atOffset || ends[n] < p.pos) {
			p.pos = starts[n]
		}
		if ends != nil {
			p.end = ends[n]
			p.stopped = p.pos >= p.end
		}
		p.next = p.pos
		r.parts[n] = p
	}
	return nil
}

func (r *Reader) where(p *readPart) string { return fmt.Sprintf("%s/%d", r.topic, p.num) }
