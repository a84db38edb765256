package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// fetched is what one partition got in one response, or news about it.
type fetched struct {
	st      *fetchStream
	part    *readPart
	epoch   uint64
	batches []byte
	// next is the offset after batches; with reset it is where reading goes on instead.
	next  int64
	reset bool
	// outside: err says that the position is out of range, but not where the log is.
	outside bool
	err     *Error
}

// fetchStream is one Fetch call: some partitions of one broker.
type fetchStream struct {
	r      *Reader
	broker int32
	addr   string // where the broker was when the stream was opened
	parts  map[int32]*readPart
	window int64

	opened time.Time
	ctx    context.Context
	cancel context.CancelFunc
	done   chan struct{} // closed when its goroutines have ended and its partitions are free

	credit int64 // to be given; guarded by Reader.mu
	poke   chan struct{}
}

// openLocked starts a stream for parts.
func (r *Reader) openLocked(broker int32, parts []*readPart, window int64) {
	st := &fetchStream{
		r: r, broker: broker, addr: r.c.meta.address(broker), window: window, opened: time.Now(), parts: make(map[int32]*readPart, len(parts)),
		done: make(chan struct{}), poke: make(chan struct{}, 1),
	}
	st.ctx, st.cancel = context.WithCancel(r.ctx)
	first := &runnelv1.FetchRequest{CreditBytes: window}
	for _, p := range parts {
		st.parts[p.num] = p
		p.stream = st
		first.Partitions = append(first.Partitions, &runnelv1.FetchPartition{Topic: r.topic, Partition: p.num, Offset: p.next})
	}
	r.streams[broker] = st
	r.wg.Go(func() { st.run(first) })
}

// stop ends the stream and waits for it. What it delivered stays delivered.
func (st *fetchStream) stop() {
	st.cancel()
	<-st.done
}

// run is the stream's goroutine.
func (st *fetchStream) run(first *runnelv1.FetchRequest) {
	r := st.r
	err := st.serve(first)
	st.cancel()
	r.mu.Lock()
	stopped := st.ctx.Err() != nil && err == nil
	for _, p := range st.parts {
		if p.stream == st {
			p.stream = nil
			if !stopped {
				p.backoff.failed(time.Now(), true)
				if err != nil {
					p.lastErr = runnelv1.AsError(err)
				}
			}
		}
	}
	delete(r.streams, st.broker)
	r.mu.Unlock()
	if err != nil && r.ctx.Err() == nil {
		r.log.Warn("fetch stream broke, going on at the same offsets", "broker", st.broker, "error", err)
		r.c.refresh.trigger()
	}
	close(st.done)
	r.wake()
}

// serve receives until the stream breaks, or is stopped (nil).
func (st *fetchStream) serve(first *runnelv1.FetchRequest) error {
	r := st.r
	if st.addr == "" {
		return fmt.Errorf("broker %d has no known address", st.broker)
	}
	cc, done, err := r.c.conns.getFetch(st.addr)
	if err != nil {
		return err
	}
	defer done()
	rpc, err := runnelv1.NewBrokerClient(cc).Fetch(st.ctx)
	if err != nil {
		return st.unlessStopped(err)
	}
	if err := rpc.Send(first); err != nil {
		_, err = rpc.Recv() // the reason
		return st.unlessStopped(err)
	}
	r.wg.Go(func() { st.giveCredit(rpc) })
	foreign := false // as in a produce stream
	for first := true; ; first = false {
		resp, err := rpc.Recv()
		if errors.Is(err, io.EOF) && !st.serves() {
			return nil // the last partition was given up
		}
		if err != nil {
			return st.unlessStopped(err)
		}
		if first {
			foreign = r.c.conns.leaveStranger(r.log, rpc, r.c.meta.cluster(), st.broker, st.addr, cc)
		}
		if foreign {
			continue // the stream breaks
		}
		for _, res := range resp.GetResults() {
			if !st.take(res) {
				return nil
			}
		}
	}
}

// serves tells whether a partition still counts on the stream.
func (st *fetchStream) serves() bool {
	st.r.mu.Lock()
	defer st.r.mu.Unlock()
	for _, p := range st.parts {
		if p.stream == st {
			return true
		}
	}
	return false
}

func (st *fetchStream) unlessStopped(err error) error {
	if st.ctx.Err() != nil {
		return nil
	}
	return err
}

// take delivers a partition's result, and answers false when the stream is to end.
func (st *fetchStream) take(res *runnelv1.FetchPartitionResult) bool {
	r := st.r
	r.mu.Lock()
	if st.ctx.Err() != nil {
		r.mu.Unlock()
		return false // gRPC hands out what it has received already, which a partition may not go on with
	}
	p := st.parts[res.GetPartition()]
	if p == nil || p.stream != st {
		st.credit += int64(len(res.GetBatches())) // nobody will read it
		r.mu.Unlock()
		return true
	}
	f, tell := fetched{st: st, part: p, epoch: p.epoch, batches: res.GetBatches(), next: res.GetNextOffset()}, true
	failed := res.GetError() != nil
	if failed {
		f, tell = r.partFailedLocked(st, p, res)
	} else {
		p.backoff, p.lastErr = pacing{}, nil
	}
	r.mu.Unlock()
	if f.reset {
		f.next = r.logStart(st.ctx, p, f.next)
	}
	if tell && (failed || len(f.batches) > 0) && !r.deliver(st.ctx, f) {
		return false
	}
	// Only now: what was not delivered has to be fetched again, and another stream must not overtake what was.
	r.mu.Lock()
	defer r.mu.Unlock()
	if p.epoch == f.epoch && (f.reset || f.next > p.next) {
		p.next = f.next
	}
	if failed {
		p.stream = nil
		p.stopped = p.stopped || f.err != nil
		r.wake()
	}
	return true
}

// deliver hands f to the iteration, unless ctx ends first.
func (r *Reader) deliver(ctx context.Context, f fetched) bool {
	select {
	case r.fetched <- f:
		return true
	case <-ctx.Done():
		return false
	}
}

// consumed gives n bytes of credit back, in portions of a quarter of the window.
func (st *fetchStream) consumed(n int) {
	st.r.mu.Lock()
	st.credit += int64(n)
	enough := st.credit >= st.window/4
	st.r.mu.Unlock()
	if enough {
		select {
		case st.poke <- struct{}{}:
		default:
		}
	}
}

// giveCredit is the goroutine that sends credit; it ends with the stream.
func (st *fetchStream) giveCredit(rpc runnelv1.Broker_FetchClient) {
	for {
		select {
		case <-st.ctx.Done():
			return
		case <-st.poke:
		}
		st.r.mu.Lock()
		n := st.credit
		st.credit = 0
		st.r.mu.Unlock()
		if n > 0 && rpc.Send(&runnelv1.FetchRequest{CreditBytes: n}) != nil {
			return // the receiver has the reason
		}
	}
}
