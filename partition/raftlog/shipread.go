package raftlog

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"slices"

	bolt "go.etcd.io/bbolt"
	"go.etcd.io/raft/v3"
)

// SumBytes is the length of the hash over a whole file, SHA-256.
const SumBytes = sha256.Size

// shipOpen is how many files a shipment holds open: the one that is being read, and the one before it, which may have to come again.
// So however many segments a log has, a shipment costs two descriptors, and keeps no more than two trimmed files on the disk.
const shipOpen = 2

// shipFile is a file of a shipment that is being read. Guarded by Shipment.fmu.
type shipFile struct {
	i    int // in Manifest.Files
	f    *os.File
	h    hash.Hash // over the first at bytes, as they were read
	at   int64
	size int64
}

// fileLocked gives file i, opened if need be.
func (sh *Shipment) fileLocked(i int) (*shipFile, error) {
	if i < 0 || i >= len(sh.m.Files) {
		return nil, fmt.Errorf("the shipment has %d files; there is no file %d", len(sh.m.Files), i)
	}
	if at := slices.IndexFunc(sh.open, func(f *shipFile) bool { return f.i == i }); at >= 0 {
		f := sh.open[at]
		sh.open = append(slices.Delete(sh.open, at, at+1), f)
		return f, nil
	}
	want := &sh.m.Files[i]
	raw, err := sh.l.s.disk.openRaw(filepath.Join(sh.l.dir, want.Name()))
	if errors.Is(err, os.ErrNotExist) {
		return nil, sh.l.goneOr(want.First, corruptf("segment %d is missing: %v", want.First, err))
	}
	if err != nil {
		return nil, err
	}
	if len(sh.open) >= shipOpen {
		_ = sh.open[0].f.Close() // it was only read
		sh.open = slices.Delete(sh.open, 0, 1)
	}
	f := &shipFile{i: i, f: raw, h: sha256.New(), size: want.Bytes}
	sh.open = append(sh.open, f)
	return f, nil
}

// goneOr tells why a file is not there: trimmed, if that has passed it, which ends the shipment but is no damage.
func (l *Log) goneOr(first uint64, damage error) error {
	l.mu.Lock()
	gone := first < l.first
	l.mu.Unlock()
	if gone {
		return fmt.Errorf("segment %d was trimmed: %w", first, ErrShipmentOver)
	}
	return l.readFailed(damage)
}

// read reads bytes and lets the hash follow as far as they go on from what it covers.
func (f *shipFile) read(buf []byte, offset int64) (int, error) {
	if offset == 0 {
		f.h.Reset()
		f.at = 0
	}
	n, err := f.f.ReadAt(buf, offset)
	if offset <= f.at && offset+int64(n) > f.at {
		f.h.Write(buf[f.at-offset : n]) // never fails
		f.at = offset + int64(n)
	}
	if n == len(buf) {
		return n, nil
	}
	if errors.Is(err, io.EOF) {
		err = corruptf("it has become shorter")
	}
	return n, err
}

// ReadFile reads bytes of file i of the manifest from offset on: as many as fit, fewer only at the file's end. Errors:
// ErrShipmentOver, also when a trim has taken the file away before it was begun; *PoisonedError; ErrClosed; *ResourceError.
func (sh *Shipment) ReadFile(i int, offset int64, buf []byte) (n int, err error) {
	done, err := sh.use()
	if err != nil {
		return 0, err
	}
	defer done()
	sh.fmu.Lock()
	defer sh.fmu.Unlock()
	f, err := sh.fileLocked(i)
	if err != nil {
		return 0, err
	}
	if offset < 0 {
		return 0, fmt.Errorf("there is no byte %d of file %d", offset, i)
	}
	if rest := f.size - offset; int64(len(buf)) > rest {
		buf = buf[:max(rest, 0)]
	}
	n, err = f.read(buf, offset)
	if err != nil {
		err = sh.l.readFailed(fmt.Errorf("read segment %d: %w", sh.m.Files[i].First, err))
	}
	return n, err
}

// Sum is the hash over the whole of file i, as its bytes were read for whoever receives it. What was not read from the file's beginning on
// is read now, at most maxBytes a call: rest tells how much is left, and sum counts once that is 0. Errors as of ReadFile.
func (sh *Shipment) Sum(i int, maxBytes int) (sum [SumBytes]byte, rest int64, err error) {
	done, err := sh.use()
	if err != nil {
		return sum, 0, err
	}
	defer done()
	sh.fmu.Lock()
	defer sh.fmu.Unlock()
	f, err := sh.fileLocked(i)
	if err != nil {
		return sum, 0, err
	}
	if rest = f.size - f.at; rest > 0 {
		buf := make([]byte, min(rest, int64(max(maxBytes, 1))))
		if _, err := f.read(buf, f.at); err != nil {
			return sum, 0, sh.l.readFailed(fmt.Errorf("read segment %d: %w", sh.m.Files[i].First, err))
		}
		rest = f.size - f.at
	}
	if rest == 0 {
		f.h.Sum(sum[:0])
	}
	return sum, rest, nil
}

// Check reads the entries of file i from index from on and checks their checksums, about maxBytes of them a call; from 0 is the file's
// first. next is where to go on; above the file's last entry there is nothing left. It is for a file that its receiver found
// damaged although its hash was right: if the damage is here, it quarantines this replica. Errors as of ReadFile.
func (sh *Shipment) Check(i int, from uint64, maxBytes int64) (next uint64, err error) {
	done, err := sh.use()
	if err != nil {
		return 0, err
	}
	defer done()
	if i < 0 || i >= len(sh.m.Files) {
		return 0, fmt.Errorf("the shipment has %d files; there is no file %d", len(sh.m.Files), i)
	}
	f := &sh.m.Files[i]
	next = max(from, f.First)
	if next > f.Last {
		return next, nil
	}
	first := next
	err = sh.l.stableRead(func() error {
		sh.l.mu.Lock()
		gone := next < sh.l.first
		seg := sh.l.segAtLocked(next)
		sh.l.mu.Unlock()
		if gone || seg == nil {
			return raft.ErrCompacted
		}
		if first == f.First {
			if err := checkPages(seg.file.path, walkScope{all: true}); err != nil {
				return err
			}
		}
		read := int64(0)
		err := sh.l.scan(next, f.Last, txBytes, func(h *entryHeader, data entryData) (bool, error) {
			if err := h.checkData(data.get()); err != nil {
				return false, err
			}
			next = h.meta.Index + 1
			read += int64(h.dataLen)
			return read < maxBytes, nil
		})
		if err != nil {
			return err
		}
		return seg.file.view(func(tx *bolt.Tx) error { return findAll(tx, first, next-1) })
	})
	if errors.Is(err, raft.ErrCompacted) {
		return 0, fmt.Errorf("segment %d was trimmed: %w", f.First, ErrShipmentOver)
	}
	return next, sh.l.readFailed(err)
}

// findAll looks entries up one by one: a walk over them does not look at the keys of branch pages, which may be damaged as well.
func findAll(tx *bolt.Tx, from, to uint64) error {
	b := tx.Bucket(bucketLog)
	if b == nil {
		return corruptf("there is no bucket of entries")
	}
	for i := from; i <= to; i++ {
		if _, err := findEntry(b, i); err != nil {
			return err
		}
	}
	return nil
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
