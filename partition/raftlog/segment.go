package raftlog

import (
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	bolt "go.etcd.io/bbolt"

	"github.com/runnel-io/runnel/partition/env/mutant"
)

const (
	segSuffix = ".seg"
	tmpSuffix = ".tmp"
)

// segment is one file of a log and what memory keeps of it.
type segment struct {
	segSummary           // guarded by Log.mu; changed only by the append task
	firstAppendMS int64  // broker time of the first entry; 0 = none
	ckptIndex     uint64 // index of the newest checkpoint known to be in this file; 0 = not known
	spared        bool   // it has what is kept of the disk for it; guarded by Log.mu, changed only by the append task
	sealed        bool   // last is committed and applied: never written again (RULES 4)
	file          *segFile
}

func segName(first uint64) string { return fmt.Sprintf("%020d%s", first, segSuffix) }

func parseSegName(name string) (first uint64, ok bool) {
	digits, found := strings.CutSuffix(name, segSuffix)
	if !found || len(digits) != 20 {
		return 0, false
	}
	first, err := strconv.ParseUint(digits, 10, 64)
	return first, err == nil && first > 0
}

// mmapFor is the map size that a segment of so many bytes of entries never outgrows in practice, so that a remap does
// not make a writer wait for readers. bbolt rounds it up to a power of two.
func mmapFor(segmentBytes int64) int { return int(segmentBytes + segmentBytes/4 + 128<<10) }

// newSegFile describes a file; nothing is opened.
func (s *Store) newSegFile(path string, segmentBytes int64, check func(*bolt.DB) error) *segFile {
	return &segFile{st: s, path: path, mmap: mmapFor(segmentBytes), check: check}
}

// headerCheck verifies on each open that the file is the one its name says.
func headerCheck(id replicaID, first uint64) func(*bolt.DB) error {
	return func(db *bolt.DB) error {
		return guard(db.Path(), func() error {
			return db.View(func(tx *bolt.Tx) error {
				_, err := readSegHeader(tx, id, first)
				return err
			})
		})
	}
}

// createSegment makes a segment file: filled under a temporary name, synced by its commit, renamed, and its folder synced
// (RELIABILITY E4). It comes back open. After a *SpaceError nothing is left of it.
func (s *Store) createSegment(dir string, h *segHeader, cp *Checkpoint, commit uint64, segmentBytes int64) (*segFile, error) {
	path := filepath.Join(dir, segName(h.first))
	tmp := path + tmpSuffix
	// Where there is no room for it, it would be made and synced at each try, to be removed again.
	if free, err := s.disk.free(dir); err == nil && free < segmentRoom {
		return nil, &SpaceError{Path: tmp, Err: fmt.Errorf("%d bytes are free, at least %d are wanted: %w", free, segmentRoom, syscall.ENOSPC)}
	}
	folder, err := s.disk.openDir(dir) // whatever has to be opened is opened before the file gets its name
	if err != nil {
		return nil, err
	}
	defer folder.close()
	db, held, err := s.fillSegment(tmp, h, cp, commit, segmentBytes)
	if err == nil {
		err = s.disk.rename(tmp, path)
	}
	if err != nil { // nothing depends on a file that has no name yet
		if db != nil {
			err = errors.Join(err, db.Close())
		}
		var full *SpaceError
		switch {
		case !noSpace(err):
			return nil, err
		case !errors.As(err, &full):
			full = &SpaceError{Path: tmp, Err: err}
		}
		if err := s.disk.remove(tmp); err != nil {
			return nil, err
		}
		return nil, full
	}
	if !mutant.On(mutant.RollWithoutDirSync) || h.first == 2 {
		if err := folder.sync(); err != nil {
			return nil, errors.Join(describeIO(err), db.Close())
		}
	}
	f := s.newSegFile(path, segmentBytes, headerCheck(replicaID{h.group, h.replica}, h.first))
	f.db, f.held = db, held
	f.mu.Lock()
	s.files.opened(f)
	f.mu.Unlock()
	return f, nil
}

// fillSegment makes the file under its temporary name, with blocks for its first entries. The file that comes with an error is to be closed.
func (s *Store) fillSegment(tmp string, h *segHeader, cp *Checkpoint, commit uint64, segmentBytes int64) (*bolt.DB, int64, error) {
	if err := s.disk.remove(tmp); err != nil {
		return nil, 0, err
	}
	db, err := makeBolt(s.disk.h, tmp, mmapFor(segmentBytes))
	if err != nil {
		return nil, 0, err
	}
	st := &segState{commit: min(commit, h.first-1), last: h.first - 1, next: h.base, runMax: h.runMax}
	ck, err := cp.encode()
	if err != nil {
		return db, 0, err
	}
	header := h.encode()
	tx, err := db.Begin(true)
	if err != nil {
		return db, 0, err
	}
	f := segFile{st: s, path: tmp}
	put := func(name, value []byte) error {
		b, err := tx.CreateBucket(name)
		if err != nil {
			return err
		}
		return b.Put(keyOnly, value)
	}
	if err = f.hold(tx.Size(), room{bytes: slackBytes + 2*int64(len(ck)+len(header))}); err == nil {
		_, err = tx.CreateBucket(bucketLog)
		err = errors.Join(err, put(bucketHeader, header), put(bucketState, st.encode()), put(bucketCheckpoint, ck))
	}
	if err != nil {
		return db, 0, errors.Join(err, tx.Rollback())
	}
	return db, f.held, s.disk.commit(tmp, tx)
}

// readSegHeader reads and checks the header against the file's name and owner.
func readSegHeader(tx *bolt.Tx, id replicaID, first uint64) (segHeader, error) {
	b := tx.Bucket(bucketHeader)
	if b == nil {
		return segHeader{}, corruptf("segment %d has no header", first)
	}
	h, err := decodeSegHeader(b.Get(keyOnly))
	if err != nil {
		return h, err
	}
	if h.group != id.group || h.replica != id.replica || h.first != first {
		return h, corruptf("segment %d belongs to group %d, replica %d, first index %d", first, h.group, h.replica, h.first)
	}
	return h, nil
}

func readSegState(tx *bolt.Tx) (segState, error) {
	b := tx.Bucket(bucketState)
	if b == nil {
		return segState{}, corruptf("segment has no state")
	}
	return decodeSegState(b.Get(keyOnly))
}

func readCheckpoint(tx *bolt.Tx) (Checkpoint, error) {
	b := tx.Bucket(bucketCheckpoint)
	if b == nil {
		return Checkpoint{}, corruptf("segment has no checkpoint")
	}
	return decodeCheckpoint(b.Get(keyOnly))
}

// entryData is where an entry's data is. It is not touched before it is asked for, and dies with the transaction.
type entryData struct {
	plain  []byte       // header and data in one value
	nested *bolt.Bucket // or a bucket of its own
}

func (d entryData) get() []byte {
	if d.nested != nil {
		return d.nested.Get(keyEntryData)
	}
	return d.plain[entryHeaderLen:]
}

// rawEntry takes a stored entry apart. The header points into the map and dies with the transaction.
func rawEntry(b *bolt.Bucket, k, v []byte) (header []byte, data entryData, err error) {
	if v != nil {
		if len(v) < entryHeaderLen {
			return nil, data, corruptf("entry value of %d bytes", len(v))
		}
		return v[:entryHeaderLen], entryData{plain: v}, nil
	}
	nb := b.Bucket(k)
	if nb == nil {
		return nil, data, corruptf("an entry is neither a value nor a bucket")
	}
	return nb.Get(keyEntryHeader), entryData{nested: nb}, nil
}

// findEntry looks one entry up by index and checks its header.
func findEntry(b *bolt.Bucket, index uint64) (h entryHeader, err error) {
	var key [8]byte
	k := indexKey(&key, index)
	c := b.Cursor()
	ck, v := c.Seek(k)
	if string(ck) != string(k) {
		return h, corruptf("entry %d is missing", index)
	}
	raw, _, err := rawEntry(b, ck, v)
	if err != nil {
		return h, err
	}
	return parseEntryHeader(raw, index)
}
