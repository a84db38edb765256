package raftlog

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"

	"go.etcd.io/raft/v3"
)

// SumBytes is the length of the hash over a whole file, SHA-256.
const SumBytes = sha256.Size

// ReadFile reads bytes of file i of the manifest from offset on: as many as fit, fewer only at the file's end. Errors:
// ErrShipmentOver, *PoisonedError, ErrClosed.
func (sh *Shipment) ReadFile(i int, offset int64, buf []byte) (n int, err error) {
	done, err := sh.use()
	if err != nil {
		return 0, err
	}
	defer done()
	if i < 0 || i >= len(sh.files) || offset < 0 {
		return 0, fmt.Errorf("the shipment has %d files; there is no byte %d of file %d", len(sh.files), offset, i)
	}
	if rest := sh.m.Files[i].Bytes - offset; int64(len(buf)) > rest {
		buf = buf[:max(rest, 0)]
	}
	n, err = sh.files[i].ReadAt(buf, offset)
	if n < len(buf) {
		if errors.Is(err, io.EOF) {
			err = corruptf("segment %d has become shorter", sh.m.Files[i].First)
		}
		return n, sh.l.readFailed(fmt.Errorf("read segment %d: %w", sh.m.Files[i].First, err))
	}
	return n, nil
}

// Sum is the hash over the whole of file i. It reads all of the file, and while at it checks every entry: damage that came
// about at the source is found here, where it quarantines the source, and is not shipped on. A log remembers the
// hashes of its segments.
func (sh *Shipment) Sum(ctx context.Context, i int) (sum [SumBytes]byte, err error) {
	done, err := sh.use()
	if err != nil {
		return sum, err
	}
	defer done()
	if i < 0 || i >= len(sh.files) {
		return sum, fmt.Errorf("the shipment has %d files; there is no file %d", len(sh.files), i)
	}
	f, l := &sh.m.Files[i], sh.l
	l.mu.Lock()
	seg := l.segAtLocked(f.First)
	if seg != nil && seg.sum != nil {
		defer l.mu.Unlock()
		return *seg.sum, nil
	}
	l.mu.Unlock()
	if err := l.verifyEntries(ctx, f.First, f.Last); err != nil && !errors.Is(err, raft.ErrCompacted) {
		return sum, err
	}
	h := sha256.New()
	buf := make([]byte, 1<<20)
	for at := int64(0); at < f.Bytes; {
		if err := ctx.Err(); err != nil {
			return sum, err
		}
		n, err := sh.files[i].ReadAt(buf[:min(int64(len(buf)), f.Bytes-at)], at)
		if n == 0 {
			return sum, l.readFailed(fmt.Errorf("read segment %d: %w", f.First, err))
		}
		h.Write(buf[:n]) // never fails
		at += int64(n)
	}
	h.Sum(sum[:0])
	l.mu.Lock()
	if seg := l.segAtLocked(f.First); seg != nil && seg.first == f.First {
		seg.sum = &sum
	}
	l.mu.Unlock()
	return sum, nil
}

// verifyEntries checks the checksums of all entries of [first, last]. Damage poisons the log; raft.ErrCompacted says that
// a trim was quicker.
func (l *Log) verifyEntries(ctx context.Context, first, last uint64) error {
	err := l.stableRead(func() error {
		l.mu.Lock()
		gone := first < l.first
		l.mu.Unlock()
		if gone {
			return raft.ErrCompacted
		}
		return l.scan(first, last, txBytes, func(h *entryHeader, data entryData) (bool, error) {
			if err := ctx.Err(); err != nil {
				return false, err
			}
			return true, h.checkData(data.get())
		})
	})
	return l.readFailed(err)
}

// Tail appends entries of the tail from index from on to dst, each as its header and its data as they are on disk, with
// their checksums. It stops after maxBytes, but gives at least one entry. next is the index to go on from: above Index
// there is nothing more. Errors: ErrShipmentOver, also when the log was trimmed beyond the lease; *PoisonedError; ErrClosed.
func (sh *Shipment) Tail(from uint64, maxBytes int, dst []byte) (out []byte, next uint64, err error) {
	done, err := sh.use()
	if err != nil {
		return dst, from, err
	}
	defer done()
	if from < sh.m.TailFirst {
		return dst, from, fmt.Errorf("the shipment's tail begins at entry %d, not %d", sh.m.TailFirst, from)
	}
	if from > sh.m.Index {
		return dst, from, nil
	}
	had, l := len(dst), sh.l
	err = l.stableRead(func() error {
		l.mu.Lock()
		gone := from < l.first
		l.mu.Unlock()
		if gone {
			return ErrShipmentOver
		}
		dst, next = dst[:had], from
		var raw [entryHeaderLen]byte
		return l.scan(from, sh.m.Index, txBytes, func(h *entryHeader, data entryData) (bool, error) {
			if size := len(dst) - had; size > 0 && size+entryHeaderLen+h.dataLen > maxBytes {
				return false, nil
			}
			d := data.get()
			if err := h.checkData(d); err != nil {
				return false, err
			}
			putEntryHeader(raw[:], h)
			dst = append(append(dst, raw[:]...), d...)
			next = h.meta.Index + 1
			return true, nil
		})
	})
	if err != nil {
		return dst[:had], from, l.readFailed(err)
	}
	return dst, next, nil
}
