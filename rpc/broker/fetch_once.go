package broker

import (
	"context"
	"errors"
	"time"

	"github.com/runnel-io/runnel/partition"
	"github.com/runnel-io/runnel/partition/record"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

const apiFetchOnce = "fetch_once"

// oncePart is one partition of a long poll.
type oncePart struct {
	ask    *runnelv1.FetchPartition
	rep    replica
	result *runnelv1.FetchOnceResult
	cancel func()
}

// FetchOnce implements runnelv1.BrokerServer. Bytes are counted as stored, or with plain_records as decoded.
func (s *Server) FetchOnce(ctx context.Context, r *runnelv1.FetchOnceRequest) (*runnelv1.FetchOnceResponse, error) {
	s.metrics.requests.WithLabelValues(apiFetchOnce).Inc()
	if e := checkFetch(r.GetPartitions(), s.limits); e != nil {
		return nil, runnelv1.ToStatus(s.metrics.error(apiFetchOnce, e))
	}
	maxBytes := int(r.GetMaxBytes())
	if maxBytes <= 0 {
		maxBytes = s.limits.ResponseBytes
	}
	maxBytes = min(maxBytes, s.limits.FetchOnceBytes)
	minBytes := min(max(int(r.GetMinBytes()), 1), maxBytes)

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
	} else {
		close(timeout)
	}

	parts := make([]*oncePart, 0, len(r.GetPartitions()))
	for _, p := range r.GetPartitions() {
		parts = append(parts, &oncePart{ask: p})
	}
	defer cancelOnce(parts)
	for waited := 0; ; waited++ {
		began := s.clock.Now()
		size, failed := s.pollOnce(parts, r, maxBytes)
		if size >= minBytes || failed {
			return s.answerOnce(parts, size, began), nil
		}
		cancelOnce(parts)
		for _, p := range parts {
			// A partition that has something wakes again when it has more than that.
			p.cancel = p.rep.WaitBeyond(p.result.GetResult().GetNextOffset(), notify)
		}
		if waited >= idleWakes {
			// See fetchStream.park: woken for nothing again and again.
			t := s.clock.AfterFunc(idlePause, notify)
			cancelOnce(parts)
			parts[0].cancel = func() { t.Stop() }
		}
		select {
		case <-wake:
		case <-timeout:
			began = s.clock.Now()
			size, _ = s.pollOnce(parts, r, maxBytes)
			return s.answerOnce(parts, size, began), nil
		case <-s.stopping:
			return nil, runnelv1.ToStatus(s.metrics.error(apiFetchOnce, s.stoppingError()))
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func cancelOnce(parts []*oncePart) {
	for _, p := range parts {
		if p.cancel != nil {
			p.cancel()
			p.cancel = nil
		}
	}
}

func (s *Server) answerOnce(parts []*oncePart, size int, began time.Time) *runnelv1.FetchOnceResponse {
	out := &runnelv1.FetchOnceResponse{}
	for _, p := range parts {
		s.metrics.error(apiFetchOnce, p.result.GetResult().GetError())
		out.Results = append(out.Results, p.result)
	}
	s.metrics.fetched(size, s.clock.Now().Sub(began))
	return out
}

// pollOnce reads all partitions anew, at most maxBytes in all, and tells how much there is and whether one failed. What
// an earlier poll read is dropped: that is rare, since most polls are answered by the first or by one more.
func (s *Server) pollOnce(parts []*oncePart, r *runnelv1.FetchOnceRequest, maxBytes int) (size int, failed bool) {
	for i, p := range parts {
		p.result = &runnelv1.FetchOnceResult{Result: &runnelv1.FetchPartitionResult{
			Topic: p.ask.GetTopic(), Partition: p.ask.GetPartition(), NextOffset: p.ask.GetOffset(),
		}}
		out := p.result.Result
		if p.rep == nil {
			rep, e := s.replica(p.ask.GetTopic(), p.ask.GetPartition())
			if e != nil {
				out.Error, failed = s.hint(e, p.ask.GetTopic(), p.ask.GetPartition()), true
				continue
			}
			p.rep = rep
		}
		room := maxBytes - size
		if size > 0 && room <= 0 {
			continue // full: this partition answers that it has nothing yet
		}
		share := min(room, max(room/(len(parts)-i), minShare))
		res, err := p.rep.TryFetch(partition.FetchRequest{Offset: p.ask.GetOffset(), MaxBytes: share, AnyReplica: r.GetAnyReplica()}, nil)
		out.HighWatermark, out.LogStartOffset = res.HighWatermark, res.LogStart
		if err != nil {
			out.Error, failed = s.fetchError(err, p.ask.GetTopic(), p.ask.GetPartition()), true
			continue
		}
		if len(res.Batches) > room && size > 0 {
			continue // a batch larger than what is left: next time
		}
		out.NextOffset = max(out.NextOffset, res.Next)
		if !r.GetPlainRecords() {
			out.Batches = res.Batches
			size += len(res.Batches)
			continue
		}
		n, e := plainRecords(p.result, res.Batches, p.ask.GetOffset(), room, p.rep.Limits())
		size += n
		if e != nil {
			out.Error, failed = e, true
		}
	}
	return size, failed
}

var errFull = errors.New("the answer is full")

// plainRecords decodes batches into records from the offset asked for, about room bytes but at least one record, and
// sets the offset to ask for next. A batch that cannot be decoded is an error after which next_offset skips it, unless
// records before it are answered first.
func plainRecords(out *runnelv1.FetchOnceResult, batches []byte, offset int64, room int, l record.Limits) (size int, e *runnelv1.Error) {
	next := offset
	for batch, err := range record.Batches(batches) {
		var h record.Header
		if err == nil {
			h, err = record.ParseHeader(batch)
		}
		if err == nil {
			err = record.Each(batch, l.MaxDecompressed(), func(at int64, r record.Record) error {
				if at < offset {
					return nil
				}
				rec := toProto(r)
				n := len(r.Key) + len(r.Value) + recordOverhead
				for _, h := range r.Headers {
					n += len(h.Key) + len(h.Value)
				}
				if size > 0 && size+n > room {
					return errFull
				}
				size += n
				next = at + 1
				out.Records = append(out.Records, &runnelv1.OffsetRecord{Offset: at, Record: rec})
				return nil
			})
		}
		if errors.Is(err, errFull) {
			break
		}
		if err != nil {
			if len(out.Records) > 0 && h.Size > 0 && out.Records[len(out.Records)-1].GetOffset() < h.BaseOffset {
				break // answer what came before; the next poll begins here and reports it
			}
			out.Records = nil
			out.Result.NextOffset = max(next, h.NextOffset(), offset)
			return 0, runnelv1.Errorf(reasonCorrupt, "the batch at offset %d cannot be decoded: %v; go on at next_offset %d to skip it",
				h.BaseOffset, err, out.Result.NextOffset)
		}
		next = max(next, h.NextOffset())
	}
	out.Result.NextOffset = next
	return size, nil
}

func toProto(r record.Record) *runnelv1.Record {
	out := &runnelv1.Record{Key: r.Key, Value: r.Value, TimestampMs: r.TimestampMS}
	for _, h := range r.Headers {
		out.Headers = append(out.Headers, &runnelv1.Header{Key: h.Key, Value: h.Value})
	}
	return out
}
