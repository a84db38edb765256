package raftlog

import (
	"sort"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
)

var _ raft.Storage = (*Log)(nil)

// InitialState returns term and vote from meta.db, the commit index found at open and the checkpoint's configuration.
func (l *Log) InitialState() (*raftpb.HardState, *raftpb.ConfState, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	term, vote, commit := l.term, l.vote, min(l.commit, l.last)
	hs := &raftpb.HardState{Term: &term, Vote: &vote, Commit: &commit}
	return hs, proto.Clone(l.ckpt.Conf).(*raftpb.ConfState), nil
}

// FirstIndex is the first index that Entries may answer.
func (l *Log) FirstIndex() (uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.first, nil
}

// LastIndex is the last durable index.
func (l *Log) LastIndex() (uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last, nil
}

// Term answers every index of [FirstIndex-1, LastIndex] from memory: a miss would make raft loop over rejects.
func (l *Log) Term(i uint64) (uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.termLocked(i)
}

func (l *Log) termLocked(i uint64) (uint64, error) {
	if i+1 < l.first {
		return 0, raft.ErrCompacted
	}
	if i > l.last {
		return 0, raft.ErrUnavailable
	}
	return termAt(l.runs, i), nil
}

// termAt finds the term of an index; 0 when the runs start above it.
func termAt(runs []termRun, i uint64) uint64 {
	n := sort.Search(len(runs), func(k int) bool { return runs[k].index > i })
	if n == 0 {
		return 0
	}
	return runs[n-1].term
}

func addRun(runs []termRun, index, term uint64) []termRun {
	if n := len(runs); n > 0 && runs[n-1].term == term {
		return runs
	}
	return append(runs, termRun{index, term})
}

// cutRuns keeps what lies below index from.
func cutRuns(runs []termRun, from uint64) []termRun {
	n := sort.Search(len(runs), func(k int) bool { return runs[k].index >= from })
	return runs[:n:n]
}

// Entries answers from memory. Entries above raft's applied index are always there, or read in place; only a read at or
// below it, which is a send to a lagging follower, may miss. A miss starts a prefetch, and the next Snapshot says "not
// now", so that raft sends nothing and keeps the follower's Progress (RULES 18).
func (l *Log) Entries(lo, hi, maxSize uint64) ([]*raftpb.Entry, error) {
	l.mu.Lock()
	if lo < l.first {
		l.mu.Unlock()
		return nil, raft.ErrCompacted
	}
	if hi > l.last+1 {
		l.mu.Unlock()
		return nil, raft.ErrUnavailable
	}
	if lo >= hi {
		l.mu.Unlock()
		return nil, nil
	}
	if l.tail.has(lo) {
		out := l.tailEntriesLocked(lo, hi, maxSize)
		l.mu.Unlock()
		return out, nil
	}
	if out, ahead := l.windowEntriesLocked(lo, hi, maxSize); out != nil {
		l.mu.Unlock()
		l.spawn(ahead)
		return out, nil
	}
	if lo > l.applied {
		l.mu.Unlock()
		l.s.m.inlineReads.Inc()
		return l.readEntries(lo, hi, maxSize)
	}
	l.snapMiss = true
	l.s.m.misses.Inc()
	run := l.startPrefetchLocked(lo)
	l.mu.Unlock()
	l.spawn(run)
	return nil, raft.ErrCompacted
}

func (l *Log) tailEntriesLocked(lo, hi, maxSize uint64) []*raftpb.Entry {
	live := l.tail.live()[lo-l.tail.first : hi-l.tail.first]
	n, size := 0, uint64(0)
	for n < len(live) {
		size += entrySize(live[n].e)
		if n > 0 && size > maxSize {
			break
		}
		n++
	}
	out := make([]*raftpb.Entry, n)
	for i := range out {
		out[i] = live[i].e
	}
	return out
}

// Snapshot returns the newest checkpoint's metadata, without data: catch-up ships the log itself, never a MsgSnap.
func (l *Log) Snapshot() (*raftpb.Snapshot, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.snapMiss {
		l.snapMiss = false
		return nil, raft.ErrSnapshotTemporarilyUnavailable
	}
	index, term := l.ckpt.Index, l.ckpt.Term
	return &raftpb.Snapshot{Metadata: &raftpb.SnapshotMetadata{
		Index: &index, Term: &term, ConfState: proto.Clone(l.ckpt.Conf).(*raftpb.ConfState),
	}}, nil
}
