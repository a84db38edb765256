package partition

import (
	"context"
	"errors"

	"github.com/runnel-io/runnel/partition/env/mutant"
	"github.com/runnel-io/runnel/partition/raftlog"
	"github.com/runnel-io/runnel/partition/record"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// EndOffset is the high watermark by a linearizable read: at or above every offset acknowledged before the call. Only a
// leader in session answers. Errors are *runnelv1.Error, all retriable.
func (p *Partition) EndOffset(ctx context.Context) (int64, error) {
	a, e := p.serving()
	if e != nil {
		return 0, e
	}
	if !p.leading.Load() {
		return 0, p.notLeader(p.status())
	}
	if mutant.On(mutant.StaleLeaderServesEnd) {
		return p.hw.Load(), nil
	}
	type answer struct {
		end int64
		err error
	}
	answers := make(chan answer, 1)
	a.group.ReadIndex(func(_ uint64, err error) {
		if err != nil {
			answers <- answer{err: err}
			return
		}
		answers <- answer{end: p.folded.next} // done runs on the worker
	})
	select {
	case an := <-answers:
		p.cfg.Env.Resumed()
		if an.err != nil {
			return 0, runnelv1.AsError(an.err)
		}
		return an.end, nil
	case <-ctx.Done():
		p.cfg.Env.Resumed()
		return 0, p.readTimeout("the end offset")
	}
}

// timeScanBatches bounds how many batches OffsetAtTime looks into: one is enough unless a producer's batch header
// claims a later timestamp than its records have.
const timeScanBatches = 64

// OffsetAtTime is the offset of the first record whose timestamp is at or above ms, or the end offset if there is none.
// Only a leader in session answers. Errors are *runnelv1.Error.
func (p *Partition) OffsetAtTime(ctx context.Context, ms int64) (int64, error) {
	end, err := p.EndOffset(ctx)
	if err != nil {
		return 0, err
	}
	a, e := p.serving()
	if e != nil {
		return 0, e
	}
	at, found, err := a.log.BatchAtTime(ms, end)
	if err != nil {
		return 0, p.unreadable(err)
	}
	if !found {
		return end, nil
	}
	at = max(at, p.logStart.Load())
	for range timeScanBatches {
		if at >= end {
			return end, nil
		}
		if ctx.Err() != nil {
			return 0, p.readTimeout("the search by time")
		}
		b, next, err := a.log.ReadBatches(at, end, 1, nil)
		if errors.Is(err, raftlog.ErrTrimmed) {
			at = max(p.logStart.Load(), at+1) // trimmed meanwhile
			continue
		}
		if err != nil {
			return 0, p.unreadable(err)
		}
		if o, ok := firstAtTime(b, at, ms, p.Limits().MaxDecompressed()); ok {
			return o, nil
		}
		at = max(next, at+1)
	}
	return at, nil
}

// errFound ends record.Each.
var errFound = errors.New("found")

// firstAtTime looks for the first record at or above both offset and ms. A batch that cannot be read counts as found at
// its start, so that the reader meets the fault where it is.
func firstAtTime(b []byte, offset, ms int64, maxBytes int) (int64, bool) {
	found := offset
	err := record.Each(b, maxBytes, func(o int64, r record.Record) error {
		if o >= offset && r.TimestampMS >= ms {
			found = o
			return errFound
		}
		return nil
	})
	return found, err != nil
}

func (p *Partition) unreadable(err error) *runnelv1.Error {
	return runnelv1.Errorf(reasonUnavailable, "this broker's replica of %s cannot be read (%v): try again or ask another broker", p.name, err)
}
