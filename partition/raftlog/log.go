package raftlog

import (
	"errors"
	"log/slog"
	"os"
	"sort"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
)

// Log is one replica's Raft log. It implements raft.Storage.
//
// Three callers use it at once: the append task (Append, Maintain), the replica's worker (raft.Storage, SetApplied,
// OfferCheckpoint, Trim) and any number of readers. mu is held for moments only, never across a disk access.
type Log struct {
	s   *Store
	id  replicaID
	dir string
	o   LogOptions
	log *slog.Logger

	// When a segment is full, in bytes and in milliseconds; 0 ms: never by age.
	segmentBytes, segmentAge atomic.Int64

	poisoned atomic.Pointer[PoisonedError]

	// Only the append task touches these after open.
	runMax int64  // at the durable end
	again  bool   // the last append is to be made again: it ended for want of space or resources
	wrote  uint64 // and what it has written until then ends here; 0 for nothing

	mu         sync.Mutex
	term, vote uint64     // durable
	segs       []*segment // ascending, never empty; the last one takes appends
	runs       []termRun  // terms of [first-1, last]
	first      uint64     // FirstIndex: a segment's start; files below it wait for Maintain
	last       uint64     // durable
	next       int64      // next offset after last
	commit     uint64     // as told; may be ahead of last
	applied    uint64     // as stepped; entries above it are pinned in the tail
	logStart   int64      // logical log start
	tail       tail
	pos        uint64 // bytes of entries appended since open
	windows    []*window
	fetching   []uint64 // starts of prefetches in flight
	snapMiss   bool     // the next Snapshot is to say "not now" (RULES 18)
	hints      [8]hint
	hintAt     int
	holds      []*hold // leases of shipments, see holdLocked

	ckpt     Checkpoint  // newest durable
	offered  *Checkpoint // waits for the next transaction
	offerIdx uint64      // applied and pos at the last offer
	offerPos uint64

	foldTo  uint64
	users   int        // prefetches and readers on the way
	change  *sync.Cond // users fell to 0, or a truncation ended
	closed  bool
	putOff  bool      // the last Maintain found no space
	spareAt time.Time // when to ask again for what the newest file is to keep

	closing chan struct{} // closed with the log: ends an append's wait for resources

	// A truncation takes entries away under readers that walk beyond what is committed. What such a reader finds missing
	// is no damage: it waits and reads again.
	truncating bool
	truncSeq   uint64
}

// begin registers a reader, so that Close waits for it.
func (l *Log) begin() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return ErrClosed
	}
	l.users++
	return nil
}

func (l *Log) end() {
	l.mu.Lock()
	l.users--
	if l.users == 0 {
		l.change.Broadcast()
	}
	l.mu.Unlock()
}

// failed returns the error that every call answers with since the log was poisoned, or nil.
func (l *Log) failed() error {
	if p := l.poisoned.Load(); p != nil {
		return p
	}
	if err := l.s.meta.failed(); err != nil {
		return &PoisonedError{Group: l.id.group, Replica: l.id.replica, Err: err}
	}
	return nil
}

// poison ends the log: first in memory, so that nothing more is acknowledged, then durably, then the owner is told. It
// returns the error to answer with.
func (l *Log) poison(err error) error {
	p := &PoisonedError{Group: l.id.group, Replica: l.id.replica, Err: err}
	if !l.poisoned.CompareAndSwap(nil, p) {
		return l.poisoned.Load()
	}
	l.s.m.poisoned.Inc()
	l.log.Error("raft log is poisoned: the replica must stop", "error", err)
	if Lasting(err) {
		if qerr := l.s.Quarantine(l.id.group, l.id.replica, err.Error()); qerr != nil {
			l.log.Error("recording the quarantine failed", "error", qerr)
		}
	}
	if l.o.Poisoned != nil {
		l.o.Poisoned(p)
	}
	return p
}

// stableRead runs a read and repeats it when a truncation or a trim got in its way: what such a read finds missing is no
// damage. f must start from scratch each time and look up what it reads anew: where it begins may be gone by then, which f
// itself must find out under mu (raft.ErrCompacted, ErrTrimmed).
func (l *Log) stableRead(f func() error) error {
	for {
		l.mu.Lock()
		seq, first := l.truncSeq, l.first
		l.mu.Unlock()
		err := f()
		if err == nil || !isCorrupt(err) && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		l.mu.Lock()
		moved := l.truncating || l.truncSeq != seq || l.first != first
		for l.truncating {
			l.change.Wait()
		}
		l.mu.Unlock()
		if !moved {
			return err
		}
	}
}

// setTruncating begins or ends a truncation. Hints from before it and from meanwhile may point behind an entry without records that gives way to
// a batch.
func (l *Log) setTruncating(on bool) {
	l.mu.Lock()
	l.truncating = on
	l.truncSeq++
	l.hints = [len(l.hints)]hint{}
	if !on {
		l.change.Broadcast()
	}
	l.mu.Unlock()
}

// readFailed decides what a failed read means: damage poisons, a lack of resources does not.
func (l *Log) readFailed(err error) error {
	if err == nil {
		return nil
	}
	if isCorrupt(err) || isIO(err) {
		return l.poison(err)
	}
	return err
}

// SetApplied tells what raft has applied, after the MsgStorageApplyResp that covers it was stepped. Worker only.
func (l *Log) SetApplied(index uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if index > l.applied {
		l.applied = index
		l.commit = max(l.commit, index) // what is applied is committed, whether or not a write said so
		l.advanceFirstLocked()
	}
}

// WantsCheckpoint tells that enough log was applied since the last checkpoint, or that a new one lets trimmed files go.
// Worker only.
func (l *Log) WantsCheckpoint() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.applied <= l.offerIdx {
		return false
	}
	return l.trimWaitsLocked() || l.applied-l.offerIdx >= checkpointEntries || l.posAtLocked(l.applied)-l.offerPos >= checkpointBytes
}

// posAtLocked is the log's position in bytes at an index, as near as memory knows.
func (l *Log) posAtLocked(index uint64) uint64 {
	if l.tail.has(index) {
		return l.tail.at(index).pos
	}
	if index >= l.last {
		return l.pos
	}
	return l.offerPos
}

// OfferCheckpoint hands over state folded up to applied; the next Append, Maintain or Close writes it. It owns c from
// here on. Worker only.
func (l *Log) OfferCheckpoint(c Checkpoint) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.Index <= l.ckpt.Index || l.offered != nil && c.Index <= l.offered.Index {
		return
	}
	l.offered = &c
	l.offerIdx, l.offerPos = c.Index, l.posAtLocked(c.Index)
}

// Trim moves the logical log start at once and FirstIndex, if it can, to a segment's start (RULES 7). It tells whether
// Maintain has files to remove. Worker only.
func (l *Log) Trim(logStart int64) (maintain bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if logStart > l.logStart {
		l.logStart = min(logStart, l.next)
	}
	l.advanceFirstLocked()
	return l.segs[0].first < l.first
}

// trimWaitsLocked tells that trimmed segments stay for want of a checkpoint alone. A roll copies the old checkpoint into
// the new segment, and the next one by size may be as far away as the whole of what was trimmed. A log that keeps a number of
// segments waits until as many can go: its checkpoints are large.
func (l *Log) trimWaitsLocked() bool {
	if l.logStart == 0 && l.o.KeepSegments == 0 {
		return false // asked at each apply: a log that was never trimmed does not go over its segments
	}
	for i := len(l.segs) - 1; i > 0; i-- {
		f := l.segs[i]
		if f.first <= l.first {
			return false
		}
		if l.spentLocked(i) && f.first-1 <= l.applied && i >= l.o.KeepSegments {
			return l.offerIdx < f.first-1
		}
	}
	return false
}

// spentLocked tells whether retention has no use for what is before segment i. A log that no command ever trimmed keeps all: where
// entries have no offsets, every segment's base is 0 and would count as trimmed. Unless it keeps a number of segments.
func (l *Log) spentLocked(i int) bool {
	if l.o.KeepSegments > 0 {
		return len(l.segs)-i >= l.o.KeepSegments
	}
	return l.logStart > 0 && l.segs[i].base <= l.logStart
}

// advanceFirstLocked moves FirstIndex over whole segments that lie below the log start, below applied, below every hold, and
// below a checkpoint that no truncation can take away.
func (l *Log) advanceFirstLocked() {
	if l.logStart == 0 && l.o.KeepSegments == 0 {
		return
	}
	lowest, held := l.holdLocked()
	for i := len(l.segs) - 1; i > 0; i-- {
		f := l.segs[i]
		if f.first <= l.first {
			return
		}
		if held && f.first > lowest {
			continue
		}
		if l.spentLocked(i) && f.first-1 <= l.applied && l.safeCheckpointLocked(f.first) >= f.first-1 {
			l.first = f.first
			return
		}
	}
}

// safeCheckpointLocked is the newest checkpoint in the segments from index from on whose first index is committed: those
// cannot be unlinked by a truncation (RULES 6).
func (l *Log) safeCheckpointLocked(from uint64) (index uint64) {
	for _, s := range l.segs {
		if s.first >= from && s.first <= l.commit {
			index = max(index, s.ckptIndex)
		}
	}
	return index
}

// Checkpoint returns the newest durable checkpoint. Its State must not be changed.
func (l *Log) Checkpoint() Checkpoint {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.ckpt
	c.Conf = proto.Clone(c.Conf).(*raftpb.ConfState)
	return c
}

// FoldTo is raft's Config.Applied after an open: machines fold the log up to here; raft hands out the rest again.
func (l *Log) FoldTo() uint64 { return l.foldTo }

// StartOffset is the log start offset.
func (l *Log) StartOffset() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.startLocked()
}

func (l *Log) startLocked() int64 { return max(l.logStart, l.segs[0].base) }

// LastNext is the next offset after the last durable entry.
func (l *Log) LastNext() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.next
}

// Segments lists the segments from the oldest to the one that takes appends.
func (l *Log) Segments() []SegmentInfo {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make([]SegmentInfo, len(l.segs))
	for i, s := range l.segs {
		out[i] = SegmentInfo{
			FirstIndex: s.first, LastIndex: s.last, Base: s.base, Next: s.next,
			LastAppendMS: s.lastAppendMS, MaxTimestamp: s.runMax, Bytes: s.bytes, Sealed: l.finalLocked(i),
		}
	}
	return out
}

// finalLocked tells whether nothing is appended to segment i any more and no truncation reaches it (RULES 4).
func (l *Log) finalLocked(i int) bool {
	return i < len(l.segs)-1 && l.segs[i].last <= min(l.commit, l.applied)
}

// Size is how many files the log has, and how many bytes of entries are in them.
func (l *Log) Size() (segments int, bytes int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.segs {
		bytes += s.bytes
	}
	return len(l.segs), bytes
}

// segAtLocked finds the segment that holds index, or nil.
func (l *Log) segAtLocked(index uint64) *segment {
	i := sort.Search(len(l.segs), func(i int) bool { return l.segs[i].last >= index })
	if i == len(l.segs) || index < l.segs[i].first {
		return nil
	}
	return l.segs[i]
}
