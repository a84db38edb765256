package partition

import (
	"context"
	"errors"

	"github.com/runnel-io/runnel/partition/raftlog"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// FetchRequest asks for committed batches.
type FetchRequest struct {
	// Offset is the first one wanted.
	Offset int64
	// MaxBytes bounds the answer, except that one batch always fits. 0 = 1 MiB. MinBytes is what Fetch waits for.
	MaxBytes, MinBytes int
	// AnyReplica reads from this replica although it does not lead.
	AnyReplica bool
}

// FetchResult is the answer. With an error, HighWatermark and LogStart are still set.
type FetchResult struct {
	// Batches are whole record batches, one after the other; the first may begin before the offset asked for. They were
	// appended to dst, and this is the part appended.
	Batches []byte
	// Next is the offset to ask for next; HighWatermark the first offset that is not committed here.
	Next, HighWatermark, LogStart int64
}

const defaultFetchBytes = 1 << 20

// TryFetch reads what is there, and nothing is no error. It reads from disk, but waits for nothing else. An offset above
// the high watermark is answered with nothing too, until a WaitBeyond proved it out of range. Errors are
// *runnelv1.Error.
func (p *Partition) TryFetch(r FetchRequest, dst []byte) (FetchResult, error) {
	res := FetchResult{Next: r.Offset, HighWatermark: p.hw.Load(), LogStart: p.logStart.Load()}
	a, e := p.serving()
	if e != nil {
		return res, e
	}
	leading := p.leading.Load()
	if !leading && !r.AnyReplica {
		return res, p.notLeader(p.status())
	}
	if r.Offset < res.LogStart {
		return res, p.trimmed(r.Offset, res.LogStart)
	}
	if r.Offset >= res.HighWatermark {
		if r.Offset > res.HighWatermark && leading && p.beyond.take(r.Offset, p.cfg.Env.Now().UnixMilli()) {
			return res, p.outOfRange(r.Offset, res.HighWatermark)
		}
		return res, nil
	}
	maxBytes := r.MaxBytes
	if maxBytes <= 0 {
		maxBytes = defaultFetchBytes
	}
	out, next, err := a.log.ReadBatches(r.Offset, res.HighWatermark, maxBytes, dst)
	switch {
	case errors.Is(err, raftlog.ErrTrimmed):
		res.LogStart = max(res.LogStart, p.logStart.Load())
		return res, p.trimmed(r.Offset, res.LogStart)
	case err != nil:
		return res, runnelv1.Errorf(reasonUnavailable, "this broker's replica of %s cannot be read at offset %d (%v): ask another broker", p.name, r.Offset, err)
	}
	res.Batches, res.Next = out[len(dst):], next
	p.metrics.fetched.Inc()
	p.metrics.fetchedBytes.Add(float64(len(res.Batches)))
	p.counts.fetchedBytes.Add(int64(len(res.Batches)))
	return res, nil
}

// Fetch is TryFetch that waits until there are MinBytes, or until ctx ends: then it returns what there is, without an
// error. On a leader an offset beyond the end is an error at once. It blocks its goroutine.
func (p *Partition) Fetch(ctx context.Context, r FetchRequest, dst []byte) (FetchResult, error) {
	wake := make(chan struct{}, 1)
	notify := func() {
		select {
		case wake <- struct{}{}:
		default: // a token is there already
		}
	}
	for {
		// Each try reads anew from the offset asked for: what was just committed is in memory.
		res, err := p.TryFetch(r, dst)
		if err != nil || len(res.Batches) >= r.MinBytes || res.Next < res.HighWatermark {
			return res, err
		}
		cancel := p.WaitBeyond(res.Next, notify)
		select {
		case <-wake:
			cancel()
		case <-ctx.Done():
			cancel()
			return res, nil
		}
	}
}

func (p *Partition) trimmed(offset, logStart int64) *runnelv1.Error {
	return runnelv1.Errorf(reasonOutOfRange, "offset %d of %s is below its log start %d: retention has removed it, read from %d", offset, p.name, logStart, logStart)
}

func (p *Partition) outOfRange(offset, end int64) *runnelv1.Error {
	return runnelv1.Errorf(reasonOutOfRange, "offset %d of %s is beyond its end %d: was the topic deleted and created again?", offset, p.name, end)
}
