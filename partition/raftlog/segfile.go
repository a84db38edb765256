package raftlog

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
	"golang.org/x/sys/unix"

	"github.com/runnel-io/runnel/partition/env/mutant"
)

var (
	bucketHeader     = []byte("h") // segHeader, written once
	bucketState      = []byte("s") // segState, each append; stays inline in the root page
	bucketCheckpoint = []byte("k") // Checkpoint, now and then
	bucketLog        = []byte("l") // entries by big-endian index

	keyOnly = []byte{0} // the one key of the buckets h, s and k

	// In a nested bucket of an entry. The header's key sorts first, so that reading it faults in one page.
	keyEntryHeader = []byte{0}
	keyEntryData   = []byte{1}
)

// lockTimeout bounds the wait for bbolt's file lock: opening a file that is open elsewhere in the process would block
// for ever otherwise.
const lockTimeout = 5 * time.Second

const boltPageSize = 4096

// segFile is one bbolt file that opens on demand. Users hold it between acquire and release; the cache closes it when
// nobody does.
type segFile struct {
	st    *Store
	path  string
	mmap  int                  // InitialMmapSize when open for writing
	check func(*bolt.DB) error // run after each open, nil = trust

	mu       sync.Mutex // held while opening and closing, never across a transaction
	walked   bool       // its pages were checked since this process started: as of a file that stays open, that is done once
	db       *bolt.DB
	refs     int
	readOnly bool  // sealed: the next open is for reading only
	dropped  bool  // unlinked: close with the last reference, never open again
	held     int64 // bytes from its start that it has blocks for, as far as is known; the append task's
	spent    bool  // some of what is kept for it beyond that may be used up; the append task's
	stuck    bool  // a panic left a write transaction behind: closing would wait for ever
	cached   cacheSlot
}

// acquire opens the file if need be. Every acquire that returned nil needs a release.
func (f *segFile) acquire() (*bolt.DB, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.db == nil {
		if f.dropped {
			return nil, fmt.Errorf("segment %s was removed: %w", f.path, os.ErrNotExist)
		}
		db, err := openBolt(f.st.disk.h, f.path, f.mmap, f.readOnly, walkScope{known: f.walked})
		if err != nil {
			return nil, err
		}
		f.walked = true
		if f.check != nil {
			if err := f.check(db); err != nil {
				_ = db.Close() // nothing was written
				return nil, err
			}
		}
		f.db = db
		f.st.files.opened(f)
	}
	f.refs++
	return f.db, nil
}

func (f *segFile) release() {
	f.mu.Lock()
	f.refs--
	if f.refs == 0 && f.dropped {
		f.closeLocked()
	}
	f.mu.Unlock()
	f.st.files.used(f)
}

// drop has the file closed as soon as nobody uses it.
func (f *segFile) drop() {
	f.mu.Lock()
	f.dropped = true
	if f.refs == 0 {
		f.closeLocked()
	}
	f.mu.Unlock()
	f.st.files.forget(f)
}

// recheck replaces what is verified at the next open.
func (f *segFile) recheck(check func(*bolt.DB) error) {
	f.mu.Lock()
	f.check = check
	f.mu.Unlock()
}

// seal makes the file read-only from its next open on.
func (f *segFile) seal() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.readOnly = true
	if f.refs == 0 {
		f.closeLocked()
		f.st.files.forget(f) // under mu: a reader that opens it again is not to be forgotten
	}
}

// closeIdle closes the file unless it is in use, and tells whether it is closed.
func (f *segFile) closeIdle() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.refs > 0 {
		return false
	}
	f.closeLocked()
	return true
}

func (f *segFile) closeLocked() {
	if f.db == nil {
		return
	}
	db := f.db
	f.db = nil
	f.st.files.closed()
	if f.stuck {
		return
	}
	if err := db.Close(); err != nil {
		f.st.log.Warn("closing a segment failed", "path", f.path, "error", err)
	}
}

// openBolt opens a bbolt file once its pages were checked. Damage comes back as a corruptError, want of resources as a ResourceError.
func openBolt(h Hooks, path string, mmap int, readOnly bool, scope walkScope) (*bolt.DB, error) {
	return openOrMake(h, path, mmap, readOnly, func() error { return checkPages(path, scope) })
}

// makeBolt makes a bbolt file.
func makeBolt(h Hooks, path string, mmap int) (*bolt.DB, error) {
	return openOrMake(h, path, mmap, false, func() error { return nil })
}

func openOrMake(h Hooks, path string, mmap int, readOnly bool, check func() error) (db *bolt.DB, err error) {
	if err := h.opening(path); err != nil {
		return nil, opening(fmt.Errorf("open %s: %w", path, err))
	}
	if err := check(); err != nil {
		return nil, err
	}
	o := &bolt.Options{
		Timeout:         lockTimeout,
		ReadOnly:        readOnly,
		PageSize:        boltPageSize,
		FreelistType:    bolt.FreelistMapType,
		InitialMmapSize: mmap,
		NoSync:          h.NoSync || mutant.On(mutant.AckBeforeFsync),
		NoGrowSync:      false,
		NoStatistics:    true,
	}
	if readOnly {
		o.InitialMmapSize = 0
	}
	err = guard(path, func() error {
		db, err = bolt.Open(path, 0o640, o)
		return err
	})
	switch {
	case err == nil:
	case errors.Is(err, berrors.ErrInvalid), errors.Is(err, berrors.ErrChecksum), errors.Is(err, berrors.ErrVersionMismatch):
		return nil, corruptf("file %s: %v", path, err)
	case errors.Is(err, berrors.ErrTimeout):
		return nil, fmt.Errorf("open %s: another process or another part of this one has it open: %w", path, err)
	default:
		return nil, opening(fmt.Errorf("open %s: %w", path, err))
	}
	if readOnly {
		advise(db, unix.MADV_SEQUENTIAL)
	}
	if h.Opened != nil {
		h.Opened(path, db)
	}
	return db, nil
}

// advise tells the kernel how the map will be read. bbolt asks for MADV_RANDOM, with which cold reads make 34-57 MB/s;
// read ahead they make 600-880.
func advise(db *bolt.DB, advice int) {
	var size int64
	if err := db.View(func(tx *bolt.Tx) error { size = tx.Size(); return nil }); err != nil || size <= 0 {
		return
	}
	// Only advice: an error costs speed, nothing else.
	_, _, _ = unix.Syscall(unix.SYS_MADVISE, db.Info().Data, uintptr(size), uintptr(advice))
}

// settle makes what a file seems to hold what the disk holds, before a start goes by it. A process that was killed between a write and its
// sync leaves pages that the disk has not: an entry or a vote in them would be promised to others and lost with the next power cut.
// So it is synced. And after a failed write-back pages look clean and hold what never reached the disk; so they are evicted, and
// read again. Written to last is the newest segment of a log; of the others only the eviction matters.
func (d disk) settle(path string, synced bool) error {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if !synced && !d.h.NoSync {
		err = d.file(FileOp{Kind: "sync", Path: path}, f.Sync)
	}
	if err == nil {
		err = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("settle %s: %w", path, err)
	}
	return nil
}

// guard turns a fault on an unreadable mapped page (SIGBUS) and bbolt's panics on a damaged page into a corruptError.
func guard(path string, f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			what := fmt.Sprint(r)
			if _, fault := r.(runtime.Error); fault { // bbolt met a page that is not there, or holds something else
				what = "a page is missing or damaged"
			}
			err = corruptf("%s: %s", path, what)
		}
	}()
	return f()
}

// view runs f in a short read transaction.
func (f *segFile) view(fn func(tx *bolt.Tx) error) error {
	db, err := f.acquire()
	if err != nil {
		return err
	}
	defer f.release()
	return guard(f.path, func() error {
		tx, err := db.Begin(false)
		if err != nil {
			return err
		}
		defer func() { _ = tx.Rollback() }() // of a read transaction: cannot fail while it is open
		return fn(tx)
	})
}

// update runs fn in a write transaction and commits it durably. After an error nothing is known about what is on disk, unless it is a
// ResourceError or a SpaceError: then the file could not be opened, or has no room, and fn did not run.
func (f *segFile) update(r room, fn func(tx *bolt.Tx) error) error {
	db, err := f.acquire()
	if err != nil {
		return err
	}
	defer f.release()
	var tx *bolt.Tx
	finished := false
	err = guard(f.path, func() error {
		var err error
		if tx, err = db.Begin(true); err != nil {
			finished = true
			return err
		}
		if err = f.hold(tx.Size(), r); err == nil {
			err = fn(tx)
		}
		if err != nil {
			finished = true
			return errors.Join(err, tx.Rollback())
		}
		if err = f.st.disk.commit(f.path, tx); err == nil {
			f.st.m.synced(tx)
		}
		finished = true
		return err
	})
	if !finished {
		// A panic inside bbolt: its writer lock is held for good.
		f.mu.Lock()
		f.stuck = true
		f.mu.Unlock()
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", f.path, describeIO(err))
	}
	return nil
}

func describeIO(err error) error {
	if noSpace(err) && !OutOfSpace(err) {
		return fmt.Errorf("disk is full, free space or lower retention: %w", err)
	}
	return err
}
