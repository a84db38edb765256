package raftlog

import (
	"errors"
	"slices"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
)

const (
	// prefetchBytes is how much one prefetch reads. A window is used up in a few messages and the next one is read while
	// its second half is being sent.
	prefetchBytes = 4 << 20
	// maxWindows bounds the readers at different places that a log serves without trampling on each other: the followers
	// of a five-replica group.
	maxWindows = 4
)

// window is a run of entries read back for one lagging follower. Guarded by Log.mu; the entries are never changed.
type window struct {
	first uint64
	ents  []*raftpb.Entry
	cost  int64
	seq   uint64
}

func (w *window) end() uint64 { return w.first + uint64(len(w.ents)) }

func (l *Log) findWindowLocked(i uint64) *window {
	for _, w := range l.windows {
		if i >= w.first && i < w.end() {
			return w
		}
	}
	return nil
}

// windowEntriesLocked serves from a prefetched window, nil when there is none, and reads ahead when it runs low.
func (l *Log) windowEntriesLocked(lo, hi, maxSize uint64) (out []*raftpb.Entry, ahead func()) {
	w := l.findWindowLocked(lo)
	if w == nil {
		return nil, nil
	}
	ents := w.ents[lo-w.first : min(hi, w.end())-w.first]
	n, size := 0, uint64(0)
	for n < len(ents) {
		size += entrySize(ents[n])
		if n > 0 && size > maxSize {
			break
		}
		n++
	}
	// Without an executor there is no reading ahead.
	if after := w.end(); l.o.Spawn != nil && after-lo <= uint64(len(w.ents)/2) && after <= l.last &&
		!l.tail.has(after) && l.findWindowLocked(after) == nil {
		ahead = l.startPrefetchLocked(after)
	}
	return slices.Clone(ents[:n]), ahead
}

// startPrefetchLocked returns the function to run, or nil when one for the same place is under way.
func (l *Log) startPrefetchLocked(lo uint64) func() {
	if slices.Contains(l.fetching, lo) || l.poisoned.Load() != nil || l.closed {
		return nil
	}
	l.fetching = append(l.fetching, lo)
	l.s.m.prefetches.Inc()
	return func() { l.prefetch(lo) }
}

func (l *Log) spawn(run func()) {
	switch {
	case run == nil:
	case l.o.Spawn != nil:
		l.o.Spawn(run)
	default:
		run()
	}
}

// prefetch counts as a reader only from here on, so that Close need not wait for one that was never run.
func (l *Log) prefetch(lo uint64) {
	if l.begin() != nil {
		return
	}
	defer l.end()
	ents, err := l.readEntries(lo, 0, prefetchBytes)
	l.mu.Lock()
	l.fetching = slices.DeleteFunc(l.fetching, func(i uint64) bool { return i == lo })
	if err == nil && len(ents) > 0 && lo+uint64(len(ents)) <= l.last+1 {
		w := &window{first: lo, ents: ents}
		for _, e := range ents {
			w.cost += int64(len(e.Data)) + tailOverhead
		}
		w.seq = l.s.tails.add(w.cost)
		if len(l.windows) == maxWindows {
			l.dropWindowLocked(0)
		}
		l.windows = append(l.windows, w)
	}
	l.mu.Unlock()
	if err != nil && !errors.Is(err, raft.ErrCompacted) { // trimmed meanwhile: the follower's next message will see it
		l.log.Warn("prefetch failed", "index", lo, "error", err)
	}
	l.s.tails.reclaim()
	// After a shortage raft's next heartbeat is soon enough to try again; poking it now would be a busy loop.
	if l.o.Ready != nil && !isShortage(err) {
		l.o.Ready()
	}
}

func (l *Log) dropWindowLocked(i int) {
	l.s.tails.sub(l.windows[i].cost)
	l.windows = slices.Delete(l.windows, i, i+1)
}

// truncateWindowsLocked drops every window that reaches to index from or beyond.
func (l *Log) truncateWindowsLocked(from uint64) {
	for i := len(l.windows) - 1; i >= 0; i-- {
		if l.windows[i].end() > from {
			l.dropWindowLocked(i)
		}
	}
}
