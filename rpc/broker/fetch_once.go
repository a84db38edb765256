package broker

import (
	"context"
	"time"

	"github.com/runnel-io/runnel/partition"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

const (
	apiFetchOnce = "fetch_once"
	// onceResultBytes is what an answer has for a partition beside its batches or records.
	onceResultBytes = 1 << 10
)

// longPoll is a call of FetchOnce. While it waits it holds nothing of what it has read: it reads anew when it is woken.
type longPoll struct {
	s        *Server
	request  *runnelv1.FetchOnceRequest
	parts    []*oncePart
	minBytes int
	maxBytes int
	charged  int64 // of Server.polls
}

// oncePart is one partition of a long poll.
type oncePart struct {
	ask    *runnelv1.FetchPartition
	rep    replica
	err    *runnelv1.Error           // there is no replica
	result *runnelv1.FetchOnceResult // nil while the poll waits
	next   int64                     // the offset beyond which it waits
	cancel func()
}

// FetchOnce implements runnelv1.BrokerServer. Bytes are counted as stored, or with plain_records as what the decoded records take.
func (s *Server) FetchOnce(ctx context.Context, r *runnelv1.FetchOnceRequest) (*runnelv1.FetchOnceResponse, error) {
	s.metrics.requests.WithLabelValues(apiFetchOnce).Inc()
	if e := checkFetch(r.GetPartitions(), s.limits); e != nil {
		return nil, runnelv1.ToStatus(s.metrics.error(apiFetchOnce, e))
	}
	p := newLongPoll(s, r)
	wake, timeout := make(chan struct{}, 1), make(chan struct{})
	notify := func() {
		select {
		case wake <- struct{}{}:
		default:
		}
	}
	wait := min(time.Duration(r.GetMaxWaitMs())*time.Millisecond, s.limits.FetchOnceWait)
	if wait > 0 {
		t := s.clock.AfterFunc(wait, func() { close(timeout) })
		defer t.Stop()
	}

	defer p.end(ctx)
	over := wait <= 0
	for waited := 0; ; waited++ {
		if err := p.acquire(ctx); err != nil {
			return nil, err
		}
		began := s.clock.Now()
		size, enough, err := p.read(ctx)
		if err != nil {
			return nil, err
		}
		if enough || over {
			return p.answer(size, began), nil
		}
		p.drop()
		p.park(notify, waited >= idleWakes)
		select {
		case <-wake:
		case <-timeout:
			over = true
		case <-s.stopping:
			return nil, runnelv1.ToStatus(s.metrics.error(apiFetchOnce, s.stoppingError()))
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		p.unpark()
	}
}

func newLongPoll(s *Server, r *runnelv1.FetchOnceRequest) *longPoll {
	maxBytes := int(r.GetMaxBytes())
	if maxBytes <= 0 {
		maxBytes = s.limits.ResponseBytes
	}
	maxBytes = min(maxBytes, s.limits.FetchOnceBytes)
	p := &longPoll{s: s, request: r, maxBytes: maxBytes, minBytes: min(max(int(r.GetMinBytes()), 1), maxBytes)}
	p.parts = make([]*oncePart, 0, len(r.GetPartitions()))
	for _, ask := range r.GetPartitions() {
		part := &oncePart{ask: ask}
		part.rep, part.err = s.replica(ask.GetTopic(), ask.GetPartition())
		p.parts = append(p.parts, part)
	}
	return p
}

// acquire waits until long polls hold little enough for this one to read: what it asks for or the largest batch, and as
// much again for records that are made of it. What it charges is there until drop or end.
func (p *longPoll) acquire(ctx context.Context) error {
	n := p.maxBytes
	for _, part := range p.parts {
		if part.err == nil {
			n = max(n, part.rep.Limits().MaxBytes)
		}
	}
	if p.request.GetPlainRecords() {
		n *= 2
	}
	n += len(p.parts) * onceResultBytes
	if err := p.s.polls.Acquire(ctx, int64(n)); err != nil {
		return err
	}
	p.charged = int64(n)
	return nil
}

// drop forgets what was read, but for where to go on.
func (p *longPoll) drop() {
	for _, part := range p.parts {
		part.next = part.result.GetResult().GetNextOffset()
		part.result = nil
	}
	p.s.polls.Release(p.charged)
	p.charged = 0
}

// end leaves nothing behind. What an answer holds is given back when gRPC has encoded it, at which the call's context ends.
func (p *longPoll) end(ctx context.Context) {
	p.unpark()
	if n := p.charged; n > 0 {
		context.AfterFunc(ctx, func() { p.s.polls.Release(n) })
	}
}

// park waits for any of the partitions to have more. One that has something wakes the poll when it has more than that. A poll
// that was woken for nothing again and again looks again after a pause instead: see fetchStream.park.
func (p *longPoll) park(notify func(), pause bool) {
	if pause {
		t := p.s.clock.AfterFunc(idlePause, notify)
		p.parts[0].cancel = func() { t.Stop() }
		return
	}
	for _, part := range p.parts {
		part.cancel = part.rep.WaitBeyond(part.next, notify)
	}
}

func (p *longPoll) unpark() {
	for _, part := range p.parts {
		if part.cancel != nil {
			part.cancel()
			part.cancel = nil
		}
	}
}

func (p *longPoll) answer(size int, began time.Time) *runnelv1.FetchOnceResponse {
	out := &runnelv1.FetchOnceResponse{}
	for _, part := range p.parts {
		size -= len(part.result.GetRecords()) * (plainRecordBytes - recordOverhead) // what is not sent
		p.s.metrics.error(apiFetchOnce, part.result.GetResult().GetError())
		out.Results = append(out.Results, part.result)
	}
	p.s.metrics.fetched(size, p.s.clock.Now().Sub(began))
	return out
}

// read reads all partitions, at most maxBytes in all or one batch, and tells how much that is and whether it is enough: as
// much as was asked for, or what has room although there is more, or one partition failed. An error is ctx's.
func (p *longPoll) read(ctx context.Context) (size int, enough bool, err error) {
	failed, more := false, false
	for i, part := range p.parts {
		part.result = &runnelv1.FetchOnceResult{Result: &runnelv1.FetchPartitionResult{
			Topic: part.ask.GetTopic(), Partition: part.ask.GetPartition(), NextOffset: part.ask.GetOffset(),
		}}
		out := part.result.Result
		if part.err != nil {
			out.Error, failed = p.s.hint(part.err, out.GetTopic(), out.GetPartition()), true
			continue
		}
		room := p.maxBytes - size
		if size > 0 && room <= 0 {
			continue // full: this partition answers that it has nothing yet
		}
		share := min(room, max(room/(len(p.parts)-i), minShare))
		res, err := part.rep.TryFetch(partition.FetchRequest{Offset: part.ask.GetOffset(), MaxBytes: share, AnyReplica: p.request.GetAnyReplica()}, nil)
		out.HighWatermark, out.LogStartOffset = res.HighWatermark, res.LogStart
		if err != nil {
			out.Error, failed = p.s.fetchError(err, out.GetTopic(), out.GetPartition()), true
			continue
		}
		if len(res.Batches) > room && size > 0 {
			more = true // a batch larger than what is left: next time
			continue
		}
		out.NextOffset = max(out.NextOffset, res.Next)
		n := len(res.Batches)
		if p.request.GetPlainRecords() {
			var e *runnelv1.Error
			if n, e = p.s.plainRecords(ctx, part.result, res.Batches, part.ask.GetOffset(), share, part.rep.Limits()); e != nil {
				out.Error, failed = e, true
			}
			if ctx.Err() != nil {
				return 0, false, ctx.Err()
			}
		} else {
			out.Batches = res.Batches
		}
		size += n
		more = more || out.GetNextOffset() < out.GetHighWatermark()
	}
	return size, size >= p.minBytes || failed || more && size > 0, nil
}
