package raftlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	bolt "go.etcd.io/bbolt"
	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"

	"github.com/runnel-io/runnel/partition/env/mutant"
	"github.com/runnel-io/runnel/partition/record"
)

// txBytes caps what one read transaction copies: a long one pins pages and blocks a remap.
const txBytes = 1 << 20

// errNext ends a transaction of a scan that goes on in another.
var errNext = errors.New("next transaction")

// scan visits the entries [from, to] in order, on disk, headers verified. Each transaction covers at most chunk bytes of
// data if chunk > 0, else at most as many entries as that takes. f returns false to stop. data points into the map.
func (l *Log) scan(from, to uint64, chunk int64, f func(h *entryHeader, data entryData) (bool, error)) error {
	if chunk <= 0 {
		chunk = txBytes
	}
	var key [8]byte
	var h entryHeader // f must not keep it
	var ahead readAhead
	var before *segment
	stopped := false
	for i := from; i <= to && !stopped; {
		l.mu.Lock()
		seg := l.segAtLocked(i)
		var end uint64
		if seg != nil {
			end = min(to, seg.last)
		}
		l.mu.Unlock()
		if seg == nil {
			return corruptf("entry %d is in no segment", i)
		}
		if before != seg {
			before, ahead = seg, readAhead{}
		}
		err := seg.file.view(func(tx *bolt.Tx) error {
			b := tx.Bucket(bucketLog)
			if b == nil {
				return corruptf("segment %d has no entries' bucket", seg.first)
			}
			c := b.Cursor()
			budget := chunk
			for k, v := c.Seek(indexKey(&key, i)); i <= end; k, v = c.Next() {
				if len(k) != 8 || binary.BigEndian.Uint64(k) != i {
					return corruptf("entry %d is missing", i)
				}
				raw, data, err := rawEntry(b, k, v)
				if err != nil {
					return err
				}
				ahead.touch(tx, raw)
				if h, err = parseEntryHeader(raw, i); err != nil {
					return err
				}
				goOn, err := f(&h, data)
				if err != nil {
					return err
				}
				i++
				if !goOn {
					stopped = true
					return nil
				}
				if budget -= int64(h.dataLen) + entryHeaderLen; budget <= 0 {
					return errNext
				}
			}
			return nil
		})
		if err != nil && !errors.Is(err, errNext) {
			return err
		}
	}
	return nil
}

// readEntries reads [lo, hi) back, at least one entry, up to maxSize bytes as raft counts them. hi of 0 means all that the
// memory tail does not hold. raft.ErrCompacted says that a trim was quicker.
func (l *Log) readEntries(lo, hi, maxSize uint64) (out []*raftpb.Entry, err error) {
	if err := l.failed(); err != nil {
		return nil, err
	}
	err = l.stableRead(func() error {
		l.mu.Lock()
		// Here and not before: a read of what was trimmed meanwhile would look like a gap in the log.
		gone, end := lo < l.first, hi
		if end == 0 {
			end = l.last + 1
			if l.tail.len() > 0 {
				end = min(end, l.tail.first)
			}
		}
		l.mu.Unlock()
		switch {
		case gone:
			return raft.ErrCompacted
		case lo >= end:
			out = nil
			return nil
		}
		var err error
		out, err = l.scanEntries(lo, end, maxSize)
		return err
	})
	if err != nil {
		return nil, l.readFailed(err)
	}
	return out, nil
}

func (l *Log) scanEntries(lo, hi, maxSize uint64) (out []*raftpb.Entry, err error) {
	size := uint64(0)
	err = l.scan(lo, hi-1, txBytes, func(h *entryHeader, data entryData) (bool, error) {
		// Decide before copying: header and three varints are at most 40 bytes.
		if len(out) > 0 && size+uint64(h.dataLen) > maxSize {
			return false, nil
		}
		d := data.get()
		if err := h.checkData(d); err != nil {
			return false, err
		}
		e := newEntry(h, append([]byte(nil), d...))
		if size += entrySize(e); len(out) > 0 && size > maxSize {
			return false, nil
		}
		out = append(out, e)
		return size < maxSize, nil
	})
	return out, err
}

// FoldEntries visits [from, to] for folding: from the headers alone for batches (data is nil), with the payload for
// commands, which is valid only during the call. Checksums are verified on what is read. It is meant for the start, before
// anything moves: a trim or a truncation that gets in its way ends it with raft.ErrCompacted, since f cannot start again.
func (l *Log) FoldEntries(from, to uint64, f func(m record.Meta, data []byte) error) error {
	if err := l.failed(); err != nil {
		return err
	}
	l.mu.Lock()
	seq, gone := l.truncSeq, from < l.first
	l.mu.Unlock()
	if gone {
		return fmt.Errorf("fold from entry %d on: %w", from, raft.ErrCompacted)
	}
	err := l.scan(from, to, txBytes, func(h *entryHeader, data entryData) (bool, error) {
		var payload []byte
		if h.meta.Kind == record.KindCommand && !h.meta.Void {
			d := data.get()
			if err := h.checkData(d); err != nil {
				return false, err
			}
			payload = d[record.EnvelopeLen:]
		}
		return true, f(h.meta, payload)
	})
	l.mu.Lock()
	moved := l.truncSeq != seq || from < l.first
	l.mu.Unlock()
	if moved && (isCorrupt(err) || errors.Is(err, os.ErrNotExist)) {
		return fmt.Errorf("fold from entry %d on: %w", from, raft.ErrCompacted)
	}
	return l.readFailed(err)
}

// ReadBatches appends to dst the stamped record batches from the one that contains offset on, below limit (the high
// watermark), up to maxBytes but at least one if there is any. next is the offset to go on from. With offset >= limit
// nothing is read. Void batches are skipped. Errors: ErrTrimmed, *PoisonedError. Safe for concurrent use.
func (l *Log) ReadBatches(offset, limit int64, maxBytes int, dst []byte) (out []byte, next int64, err error) {
	if offset >= limit {
		return dst, offset, nil
	}
	if mutant.On(mutant.ReadAboveCommit) {
		limit = l.LastNext()
	}
	if err := l.failed(); err != nil {
		return dst, offset, err
	}
	if err := l.begin(); err != nil {
		return dst, offset, err
	}
	defer l.end()
	r := batchReader{l: l, out: dst, start: len(dst), offset: offset, next: offset, limit: limit, max: maxBytes}
	for !r.done {
		l.mu.Lock()
		if offset < l.startLocked() {
			l.mu.Unlock()
			return dst, offset, ErrTrimmed
		}
		if r.truncSeq != l.truncSeq {
			r.truncSeq, r.index = l.truncSeq, 0
		}
		if r.next >= l.next || r.index > l.last {
			l.mu.Unlock()
			break
		}
		if l.inTailLocked(&r) {
			r.fromTailLocked() // unlocks
			continue
		}
		l.mu.Unlock()
		if err := l.stableRead(r.onDisk(len(r.out), r.next, r.index)); err != nil {
			return dst, offset, l.readFailed(err)
		}
	}
	if r.index > 0 && r.next > offset {
		l.mu.Lock()
		if r.truncSeq == l.truncSeq {
			l.addHintLocked(r.next, r.index)
		}
		l.mu.Unlock()
	}
	return r.out, r.next, nil
}

// batchReader is one ReadBatches on its way.
type batchReader struct {
	l             *Log
	out           []byte
	start         int
	offset, limit int64
	max           int
	next          int64  // offset to go on from
	index         uint64 // entry to go on from; 0 = not found yet
	done          bool
	truncSeq      uint64 // index holds while this is Log.truncSeq
	ahead         readAhead
}

// full tells whether a batch of so many bytes does not fit any more.
func (r *batchReader) full(size int) bool {
	have := len(r.out) - r.start
	return have > 0 && have+size > r.max
}

func (l *Log) inTailLocked(r *batchReader) bool {
	if l.tail.len() == 0 {
		return false
	}
	if r.index > 0 {
		return l.tail.has(r.index)
	}
	return r.next >= l.tail.live()[0].base
}

// fromTailLocked takes references under the lock and copies after it: entries never change.
func (r *batchReader) fromTailLocked() {
	l := r.l
	var refs [64][]byte
	n, size := 0, len(r.out)-r.start
	i := r.index
	if i == 0 {
		i = l.tail.findOffset(r.next)
	}
	for ; n < len(refs); i++ {
		if !l.tail.has(i) {
			r.done = true
			break
		}
		t := l.tail.at(i)
		if t.next <= r.next || !t.batch() {
			continue
		}
		p := t.payload()
		if t.base >= r.limit || size > 0 && size+len(p) > r.max {
			r.done = true
			break
		}
		refs[n] = p
		n++
		size += len(p)
		r.next = t.next
	}
	r.index = i
	l.mu.Unlock()
	if n == 0 {
		r.done = true
	}
	for _, p := range refs[:n] {
		r.out = append(r.out, p...)
	}
}

// onDisk reads on in one segment from where the reader stands: with so much output, at this offset and entry. It can be
// called again and looks the segment up each time, since a trim or a truncation may take it away in between.
func (r *batchReader) onDisk(had int, next int64, index uint64) func() error {
	return func() error {
		l := r.l
		l.mu.Lock()
		if r.offset < l.startLocked() {
			l.mu.Unlock()
			return ErrTrimmed
		}
		r.out, r.next, r.index, r.done = r.out[:had], next, index, false
		if r.truncSeq != l.truncSeq {
			r.truncSeq, r.index = l.truncSeq, 0
		}
		seg, index := l.seekLocked(r)
		l.mu.Unlock()
		r.ahead = readAhead{} // it may be another segment
		return r.fromDisk(seg, index)
	}
}

// fromDisk reads on in one segment, in one short transaction.
func (r *batchReader) fromDisk(seg *segment, index uint64) error {
	if seg == nil {
		r.done = true
		return nil
	}
	r.l.mu.Lock()
	end := seg.last
	r.l.mu.Unlock()
	var key [8]byte
	return seg.file.view(func(tx *bolt.Tx) error {
		b := tx.Bucket(bucketLog)
		if b == nil {
			return corruptf("segment %d has no entries' bucket", seg.first)
		}
		i := index
		if i == 0 {
			var err error
			if i, err = searchSegment(b, seg.first, end, func(h *entryHeader) bool { return h.meta.Next > r.next }); err != nil {
				return err
			}
		}
		c := b.Cursor()
		copied := 0
		for k, v := c.Seek(indexKey(&key, i)); i <= end && copied < txBytes; k, v = c.Next() {
			if len(k) != 8 || binary.BigEndian.Uint64(k) != i {
				return corruptf("entry %d is missing", i)
			}
			raw, data, err := rawEntry(b, k, v)
			if err != nil {
				return err
			}
			r.ahead.touch(tx, raw)
			h, err := parseEntryHeader(raw, i)
			if err != nil {
				return err
			}
			if h.meta.Next > r.next && h.batch() {
				if h.meta.Base >= r.limit || r.full(h.dataLen-record.EnvelopeLen) {
					r.done = true
					break
				}
				d := data.get()
				if err := h.checkData(d); err != nil {
					return err
				}
				r.out = append(r.out, d[record.EnvelopeLen:]...)
				r.next = h.meta.Next
				copied += len(d)
			}
			i++
		}
		r.index = i
		return nil
	})
}

// searchSegment is a binary search over a segment's entries by header: the first one for which reached holds, or last+1.
func searchSegment(b *bolt.Bucket, first, last uint64, reached func(*entryHeader) bool) (uint64, error) {
	lo, hi := first, last+1
	for lo < hi {
		mid := lo + (hi-lo)/2
		h, err := findEntry(b, mid)
		if err != nil {
			return 0, err
		}
		if reached(&h) {
			hi = mid
		} else {
			lo = mid + 1
		}
	}
	return lo, nil
}
