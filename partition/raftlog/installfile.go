package raftlog

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	bolt "go.etcd.io/bbolt"

	"github.com/runnel-io/runnel/partition/env/mutant"
	"github.com/runnel-io/runnel/partition/record"
)

// syncEvery is how many bytes of a file may wait for the disk. All of it at its end would be one write of a segment's size, and the
// commits of the broker's other replicas, on the same disk, would wait for it.
const syncEvery = 4 << 20

// WriteFile takes bytes of file i. They must follow those that are there: offset is what Have gives.
func (in *Installer) WriteFile(i int, offset int64, p []byte) error {
	if in.over || in.m == nil {
		return ErrClosed
	}
	f := in.files[i]
	if f.done || offset != f.have || offset+int64(len(p)) > f.Bytes {
		return fmt.Errorf("%d bytes from %d on of %s, which has %d of %d", len(p), offset, f.Name(), f.have, f.Bytes)
	}
	if f.raw == nil {
		var err error
		if f.raw, err = in.s.disk.createRaw(in.path(f)); err != nil {
			return in.wrap(f.Name(), err)
		}
		f.h = sha256.New()
	}
	if err := in.received(len(p)); err != nil {
		return in.wrap(f.Name(), err)
	}
	if err := f.raw.writeAt(p, offset); err != nil {
		return in.wrap(f.Name(), err)
	}
	f.h.Write(p) // never fails
	before := f.have
	f.have += int64(len(p))
	if f.have/syncEvery == before/syncEvery {
		return nil
	}
	if err := f.raw.sync(); err != nil {
		return in.wrap(f.Name(), errors.Join(err, in.remove(f)))
	}
	return nil
}

// FinishFile ends a whole file with its hash at the source. Only if the hashes are the same does bbolt open it: it is then made the
// new replica's own and every entry is checked. A *DamagedError tells that the file is gone and has to come again, or that
// another source is needed. For a file that was finished before it tells whether it is the same; if not, it is gone.
func (in *Installer) FinishFile(i int, sum [SumBytes]byte) error {
	if in.over || in.m == nil {
		return ErrClosed
	}
	f := in.files[i]
	if f.done {
		if f.sum == sum {
			return nil
		}
		err := &DamagedError{What: f.Name(), Transit: true, Problem: errors.New("the source has another file of this name by now")}
		return in.wrap("finish", errors.Join(err, in.remove(f)))
	}
	if f.have != f.Bytes {
		return fmt.Errorf("%s has %d of %d bytes", f.Name(), f.have, f.Bytes)
	}
	var got [SumBytes]byte
	f.h.Sum(got[:0])
	if got != sum {
		err := &DamagedError{What: f.Name(), Transit: true, Problem: fmt.Errorf("hash %x, sent as %x", got[:4], sum[:4])}
		return in.wrap("finish", errors.Join(err, in.remove(f)))
	}
	// On the descriptor that wrote: it is sure to be told of pages that did not reach the disk. Asked twice it would not be.
	if err := errors.Join(f.raw.sync(), f.raw.close()); err != nil {
		return in.wrap(f.Name(), errors.Join(err, in.remove(f)))
	}
	f.raw = nil
	if err := in.adopt(f); err != nil {
		if isCorrupt(err) {
			err = &DamagedError{What: f.Name(), Problem: err}
		}
		return in.wrap("finish", errors.Join(err, in.remove(f)))
	}
	f.sum, f.done = sum, true
	return nil
}

// adopt makes a file the new replica's own: the id in its header changes, in one durable transaction, so that nothing needs to know
// later where a segment came from. Then it checks all that the file says, as it is now.
func (in *Installer) adopt(f *installFile) (err error) {
	path := in.path(f)
	db, err := openBolt(in.s.disk.h, path, 0, false, walkScope{all: true})
	if err != nil {
		return err
	}
	stuck := false // a panic inside bbolt, on a damaged page, leaves its writer's lock held: closing would wait for ever
	defer func() {
		if stuck {
			return
		}
		if cerr := db.Close(); err == nil {
			err = cerr
		}
	}()
	return guard(path, func() error {
		stuck = true
		err := in.rename(db, path, f)
		stuck = false
		if err != nil {
			return err
		}
		return db.View(func(tx *bolt.Tx) error { return in.verify(tx, f) })
	})
}

// rename puts the new replica's id into a file's header.
func (in *Installer) rename(db *bolt.DB, path string, f *installFile) error {
	tx, err := db.Begin(true)
	if err != nil {
		return err
	}
	h, err := readSegHeader(tx, replicaID{in.m.Group, in.m.Replica}, f.First)
	if err == nil {
		f.prevTerm = h.prevTerm
		h.replica = in.id.replica
		err = tx.Bucket(bucketHeader).Put(keyOnly, h.encode())
	}
	if err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return in.s.disk.commit(path, tx)
}

// verify checks a segment against the manifest, entry by entry: checksums, order, terms, and that each header says of its entry what
// every replica folds from it (RULES 12).
func (in *Installer) verify(tx *bolt.Tx, f *installFile) error {
	h, err := readSegHeader(tx, in.id, f.First)
	if err != nil {
		return err
	}
	st, err := readSegState(tx)
	if err != nil {
		return err
	}
	if h.base != f.Base || st.last != f.Last || st.next != f.Next || st.runMax != f.RunMax || st.lastAppendMS != f.LastAppendMS || st.bytes != f.EntryBytes {
		return corruptf("it has entries %d to %d, offsets %d to %d; the manifest says %d to %d, %d to %d", h.first, st.last, h.base, st.next, f.First, f.Last, f.Base, f.Next)
	}
	b := tx.Bucket(bucketLog)
	if b == nil {
		return corruptf("it has no entries' bucket")
	}
	index, term, next, runMax, size := f.First, h.prevTerm, h.base, h.runMax, int64(0)
	f.runs = f.runs[:0]
	c, byKey := b.Cursor(), b.Cursor()
	for k, v := c.First(); k != nil; k, v = c.Next() {
		if len(k) != 8 || binary.BigEndian.Uint64(k) != index {
			return corruptf("entry %d is missing", index)
		}
		// A walk does not look at the keys of branch pages; readers come by them.
		if found, _ := byKey.Seek(k); string(found) != string(k) {
			return corruptf("entry %d is not found by its index", index)
		}
		raw, data, err := rawEntry(b, k, v)
		if err != nil {
			return err
		}
		e, err := parseEntryHeader(raw, index)
		if err != nil {
			return err
		}
		d := data.get()
		if err := e.checkData(d); err != nil && !mutant.On(mutant.CatchupCRCUnchecked) {
			return err
		}
		m := record.Fold(index, e.meta.Term, e.meta.Conf, d, next)
		if m.Kind == record.KindBatch && !m.Void {
			runMax = max(runMax, m.MaxTimestamp)
		}
		if e.meta != m || e.runMax != runMax {
			return corruptf("entry %d is not what its header says", index)
		}
		if m.Term < term || m.Term > in.m.IndexTerm {
			return corruptf("entry %d has term %d after %d, the last one has %d", index, m.Term, term, in.m.IndexTerm)
		}
		term, next = m.Term, m.Next
		size += int64(e.dataLen) + entryHeaderLen
		f.runs = addRun(f.runs, index, term)
		index++
	}
	if index != f.Last+1 || next != f.Next || runMax != f.RunMax || size != f.EntryBytes {
		return corruptf("its entries end at %d, offset %d; the manifest says %d, %d", index-1, next, f.Last, f.Next)
	}
	return nil
}
