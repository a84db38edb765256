package client

import (
	"context"
	"fmt"
	"time"

	"github.com/runnel-io/runnel/partition/record"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// maxDecompressed bounds what one compressed batch may become in a reader's memory.
const maxDecompressed = 256 << 20

// leastRecord is the least size of a record that is not compressed.
const leastRecord = 7

// iteration is the state of the goroutine that reads.
type iteration struct {
	// records are those of one batch, made in one piece and never reused: their user may keep them.
	records []Record
	at      int
	// cur is what the batches come from, rest what is left of it.
	cur  fetched
	rest []byte
}

// advance makes records the next batch. It answers false at the end that ToEnd sets.
func (r *Reader) advance(ctx context.Context) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	select {
	case <-r.positioned:
	case <-ctx.Done():
		return false, ctx.Err()
	case <-r.ctx.Done():
		return false, errClosedCall()
	}
	if err := r.fatal(); err != nil {
		return false, err
	}
	it := &r.it
	for {
		for len(it.rest) > 0 {
			if err := r.decode(); err != nil {
				return false, err
			}
			if len(it.records) > 0 {
				return true, nil
			}
		}
		if it.cur.st != nil {
			it.cur.st.consumed(len(it.cur.batches))
			it.cur = fetched{}
		}
		if r.cfg.toEnd && r.atEnd() {
			return false, nil
		}
		select {
		case f := <-r.fetched:
			if err := r.begin(f); err != nil {
				return false, err
			}
		case <-ctx.Done():
			return false, ctx.Err()
		case <-r.ctx.Done():
			return false, errClosedCall()
		}
	}
}

// begin takes the next piece of work from a stream.
func (r *Reader) begin(f fetched) error {
	if f.outside {
		f.err = r.outOfRange(f.part, f.part.pos)
	}
	if f.err != nil {
		r.fail(f.err)
		return f.err
	}
	r.mu.Lock()
	old := f.epoch != f.part.epoch
	r.mu.Unlock()
	switch {
	case old:
		if f.st != nil {
			f.st.consumed(len(f.batches))
		}
	case f.reset:
		r.log.Warn("position out of range, going on at the log start offset", "partition", f.part.num, "position", f.part.pos, "log_start", f.next)
		f.part.pos = f.next
	default:
		r.it.cur, r.it.rest = f, f.batches
	}
	return nil
}

func (r *Reader) atEnd() bool {
	for _, p := range r.parts { // the map does not change any more
		if p.pos < p.end {
			return false
		}
	}
	return true
}

// decode takes the next batch from rest and makes records of those that are wanted.
func (r *Reader) decode() error {
	it := &r.it
	p := it.cur.part
	it.records, it.at = nil, 0
	h, err := record.ParseHeader(it.rest)
	if err != nil {
		return r.unreadable(p, max(it.cur.next, p.pos), nil, err) // no telling where the next batch begins
	}
	b, after := it.rest[:h.Size:h.Size], it.rest[h.Size:]
	switch {
	case h.NextOffset() <= p.pos:
		it.rest = after
		return nil // before the offset asked for
	case h.BaseOffset > p.pos:
		return r.unreadable(p, h.BaseOffset, it.rest, fmt.Errorf("the broker left out offsets %d to %d", p.pos, h.BaseOffset-1))
	}
	if err := record.CheckCRC(b); err != nil {
		return r.unreadable(p, h.NextOffset(), after, err)
	}
	if h.LastOffsetDelta != h.Count-1 { // brokers take none in
		return r.unreadable(p, h.NextOffset(), after, fmt.Errorf("it has %d records for the offsets %d to %d", h.Count, h.BaseOffset, h.NextOffset()-1))
	}
	room := len(b) / leastRecord
	if h.Codec() != record.CodecNone {
		room = len(b) // more if they were compressed better, and are really there
	}
	recs := make([]Record, 0, min(int(h.Count), room))
	next := h.BaseOffset
	err = record.Each(b, maxDecompressed, func(offset int64, rec record.Record) error {
		if offset != next {
			return fmt.Errorf("the record of offset %d has offset %d", next, offset)
		}
		next++
		if offset < p.pos || (p.end >= 0 && offset >= p.end) {
			return nil
		}
		recs = append(recs, Record{
			Topic: r.topic, Partition: p.num, Key: rec.Key, Value: rec.Value, Headers: rec.Headers,
			Timestamp: time.UnixMilli(rec.TimestampMS), Offset: offset,
		})
		return nil
	})
	if err != nil {
		return r.unreadable(p, h.NextOffset(), after, err)
	}
	it.records, it.rest = recs, after
	r.moveTo(p, h.NextOffset())
	return nil
}

func (r *Reader) moveTo(p *readPart, pos int64) {
	p.pos = pos
	if p.end >= 0 && pos >= p.end {
		r.mu.Lock()
		defer r.mu.Unlock()
		p.stopped = true
	}
}

// unreadable skips to offset to, with rest behind it, or has the partition fetched again and gives the error.
func (r *Reader) unreadable(p *readPart, to int64, rest []byte, cause error) error {
	e := runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_CORRUPT_BATCH,
		"the batch at offset %d of partition %s cannot be read: %v; SkipCorrupt goes on behind it", p.pos, r.where(p), cause)
	if !r.cfg.skipCorrupt {
		if st := r.it.cur.st; st != nil {
			r.mu.Lock()
			p.epoch++
			p.next = p.pos
			st.cancel() // with the lock, so that what it has received is not taken for what comes next; the assignment opens it again
			r.mu.Unlock()
		}
		r.it.cur, r.it.rest = fetched{}, nil
		return e
	}
	r.log.Error("skipping a batch that cannot be read", "partition", p.num, "from", p.pos, "to", to, "error", cause)
	if r.cfg.onSkip != nil {
		r.cfg.onSkip(p.num, p.pos, to, e)
	}
	r.it.rest = rest
	r.moveTo(p, to)
	return nil
}
