package raftlog

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"
	"go.etcd.io/raft/v3/raftpb"
	"golang.org/x/sys/unix"

	"github.com/runnel-io/runnel/partition/record"
)

// SpaceError says that a write did not begin because the disk, or a quota, has no space for it. As with a ResourceError nothing is in doubt, and the
// call may be made again once there is space. It never comes wrapped in a PoisonedError.
//
// A write that meets the end of the space half way is another matter: bbolt gives such a transaction up, and the log is as good as before only once it
// was opened again (RELIABILITY E5). So blocks are taken before a transaction is written. What a file system gives only as a precaution, as those that copy on
// write do, may still end in the midst of one; then the replica stops, and runs again when its log was opened again.
type SpaceError struct {
	Path string // of the file that was to be written
	Err  error  // what the system said
}

func (e *SpaceError) Error() string {
	return fmt.Sprintf("no space on the disk to write %s: %v; free space, or lower the retention", e.Path, e.Err)
}

// Unwrap gives what the system said.
func (e *SpaceError) Unwrap() error { return e.Err }

// OutOfSpace tells whether err is a *SpaceError: the write may be tried again.
func OutOfSpace(err error) bool {
	var s *SpaceError
	return errors.As(err, &s)
}

// putOff tells whether upkeep that failed with err has changed nothing and may be tried again later.
func putOff(err error) bool { return isShortage(err) || OutOfSpace(err) }

// noSpace tells a full disk and a used-up quota from other errors.
func noSpace(err error) bool { return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) }

// tightBytes is what has to be free beyond the reserve for a transaction to begin without its blocks: others do not fill that much meanwhile, nor
// before each log, also an idle one, has what is kept for it. To write to blocks that were taken ahead costs more, 10 to 20 % of a small write's sync on ext4.
const tightBytes = 1 << 30

// tight tells whether the disk could run full in the midst of a transaction of so many bytes.
func (s *Store) tight(bytes int64) bool {
	free, err := s.disk.free(s.dir)
	if err != nil && s.disk.h.Room == nil {
		return false
	}
	return s.noteFree(free-bytes) || s.disk.h.Room != nil
}

func (s *Store) noteFree(free int64) bool {
	low := free < s.reserve.Load()+tightBytes
	s.low.Store(low)
	return low
}

const (
	// spareBytes is what each file that takes appends keeps for what is no record: on a disk without a byte left a leader can still be elected and say
	// so in its log, and what makes space can be decided: a trim, a shorter retention.
	spareBytes = 64 << 10
	// slackBytes is an upper bound of what a transaction writes besides its entries: the pages on the way to them, their list, the state.
	slackBytes = 12 * boltPageSize
	// Blocks are taken so much ahead: a part of the file, within limits.
	aheadPart          = 16
	aheadMin, aheadMax = 16 << 10, 1 << 20
	freelistPart       = boltPageSize / 8 // a freelist has 8 bytes for a page, so at most this part of the file
	// A page may hold two small values, or a single one of almost half its size.
	plainRoom, plainMore = 2, 64
	nestedRoom           = boltPageSize + 256
	// spareCheckpoint is the largest checkpoint that may have what is spared: a trim frees nothing before there is one.
	spareCheckpoint = 6 << 10
	// segmentRoom is the least that a new segment takes: bbolt's first pages, a transaction, and what is kept.
	segmentRoom = 4*boltPageSize + slackBytes + spareBytes
	// treeBytes is what a file's blocks may be besides its data: where the file system keeps the list of its extents.
	treeBytes = 16 << 10
)

// room is what a transaction may take of the disk beyond what its file has.
type room struct {
	bytes int64
	spare bool // it may have what is kept for it
	none  bool // nothing is asked for: whoever writes has seen to it
}

// roomFor gives the room that entries and a checkpoint of so many bytes take at most.
func roomFor(ents []*raftpb.Entry, checkpoint int) room {
	r := room{bytes: slackBytes + 2*int64(checkpoint), spare: checkpoint == 0}
	for _, e := range ents {
		// Small values share pages, that may be half empty; each big one has its own.
		if n := int64(len(e.Data) + entryHeaderLen); n < nestedMin {
			r.bytes += plainRoom*n + plainMore
		} else {
			r.bytes += n + nestedRoom
		}
		r.spare = r.spare && !isBatch(e)
	}
	return r
}

func isBatch(e *raftpb.Entry) bool {
	if e.GetType() != raftpb.EntryNormal {
		return false
	}
	k, _, _, err := record.OpenEnvelope(e.Data)
	return err != nil || k == record.KindBatch // what cannot be read is no reason to be generous
}

// hold sees to it that the file has blocks for a transaction that finds it of size bytes, and some for the next ones. Error: *SpaceError. Append task only.
func (f *segFile) hold(size int64, r room) error {
	need := size + size/freelistPart + r.bytes
	want := need + spareBytes
	f.spent = f.held < want && !f.st.unable.Load()
	if r.none || !f.spent || !f.st.tight(r.bytes) {
		return nil
	}
	ahead := min(max(size/aheadPart, aheadMin), aheadMax)
	tries := []int64{want + ahead, want}
	if r.spare {
		tries = append(tries, need)
	}
	var err error
	for _, to := range tries {
		if to <= f.held {
			return nil
		}
		if err = f.st.disk.hold(f.path, f.held, to); err == nil {
			f.held, f.spent = to, to < want
			return nil
		}
		if !noSpace(err) {
			// Not to be had here, by this file system or at this moment: the write itself decides.
			f.st.unable.Store(errors.Is(err, syscall.EOPNOTSUPP) || errors.Is(err, syscall.ENOSYS))
			f.st.unheld.Do(func() {
				f.st.log.Warn("no blocks can be taken ahead: should the disk run full, replicas may have to stop until there is space", "path", f.path, "error", err)
			})
			return nil
		}
	}
	return &SpaceError{Path: f.path, Err: err}
}

// spareAgain is how long a log whose file got no blocks waits before it asks again.
const spareAgain = time.Minute

// wantsSpareLocked tells whether the newest file lacks what is to be kept for it.
func (l *Log) wantsSpareLocked(seg *segment) bool {
	return l.s.low.Load() && !seg.spared && !l.s.o.Clock.Now().Before(l.spareAt)
}

// noteSpareLocked follows a write: where there is plenty a file grows beyond its blocks, and where there is little it may have used what is kept for it.
func (l *Log) noteSpareLocked(seg *segment) {
	seg.spared = seg.spared && l.s.low.Load() && !seg.file.spent
}

// spare takes the blocks of an idle log's file that are kept for what is no record. Only a precaution.
func (l *Log) spare(seg *segment) {
	l.mu.Lock()
	wants := l.wantsSpareLocked(seg)
	l.mu.Unlock()
	if !wants {
		return
	}
	held, err := seg.file.spare()
	if err != nil {
		l.log.Debug("no blocks are kept for the log", "error", err)
	}
	l.mu.Lock()
	seg.spared = held
	l.spareAt = l.s.o.Clock.Now().Add(spareAgain)
	l.mu.Unlock()
}

// spare tells whether the file has what is kept for it.
func (f *segFile) spare() (bool, error) {
	db, err := f.acquire()
	if err != nil {
		return false, err
	}
	defer f.release()
	var size int64
	if err := db.View(func(tx *bolt.Tx) error { size = tx.Size(); return nil }); err != nil {
		return false, err
	}
	err = f.hold(size, room{bytes: slackBytes})
	return f.held >= size+spareBytes || f.st.unable.Load(), err
}

// hold takes the blocks of a file between two offsets. Its size stays, so that nothing else changes.
func (d disk) hold(path string, from, to int64) error {
	if d.h.Room != nil {
		if err := d.h.Room(path, to); err != nil {
			return err
		}
	}
	file, err := os.OpenFile(filepath.Clean(path), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer file.Close() // nothing is written through it
	fd := int(file.Fd())
	// Some file systems keep what they could give when it is not enough: the last blocks of the disk, that others could do with.
	var st unix.Stat_t
	var fs unix.Statfs_t
	if unix.Fstat(fd, &st) == nil && unix.Fstatfs(fd, &fs) == nil {
		missing, free := to-max(from, st.Blocks*512), int64(fs.Bavail)*fs.Bsize
		switch {
		case missing+treeBytes <= 0:
			// It has them, from before it was opened. XFS would want as much to be free as the range is long all the same.
			return nil
		case missing > free:
			return fmt.Errorf("%d bytes are wanted, %d are free: %w", missing, free, syscall.ENOSPC)
		}
	}
	for {
		// A signal, such as the runtime sends itself, may interrupt it.
		if err := unix.Fallocate(fd, unix.FALLOC_FL_KEEP_SIZE, from, to-from); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
