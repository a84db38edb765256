package raftlog

import (
	"sort"

	bolt "go.etcd.io/bbolt"
)

// hint remembers where a reader stopped, so that the next read of a consumer in order needs no search. It stays true
// under truncation: the entry at index follows a committed one, so whatever stands there has offset as its base or
// comes before it.
type hint struct {
	offset int64
	index  uint64
}

func (l *Log) addHintLocked(offset int64, index uint64) {
	for i := range l.hints {
		if l.hints[i].offset == offset {
			l.hints[i].index = index
			return
		}
	}
	l.hints[l.hintAt] = hint{offset, index}
	l.hintAt = (l.hintAt + 1) % len(l.hints)
}

// seekLocked finds the segment to read r.next from, and the index if it is known (else 0: search the segment). It never
// goes below FirstIndex, where files are on their way out: a known entry there holds no records from r.next on.
func (l *Log) seekLocked(r *batchReader) (*segment, uint64) {
	if r.index > 0 {
		index := max(r.index, l.first)
		return l.segAtLocked(index), index
	}
	for _, h := range l.hints {
		if h.index > 0 && h.offset == r.next {
			index := max(h.index, l.first)
			if seg := l.segAtLocked(index); seg != nil {
				return seg, index
			}
		}
	}
	i := sort.Search(len(l.segs), func(i int) bool { return l.segs[i].next > r.next })
	if i == len(l.segs) {
		return nil, 0
	}
	return l.segs[i], 0
}

// BatchAtTime finds the first batch with which the running maximum timestamp reaches tsMS, below limit and not below the
// log start. base is its base offset. Safe for concurrent use.
func (l *Log) BatchAtTime(tsMS int64, limit int64) (base int64, found bool, err error) {
	if err := l.failed(); err != nil {
		return 0, false, err
	}
	if err := l.begin(); err != nil {
		return 0, false, err
	}
	defer l.end()
	err = l.stableRead(func() error {
		var err error
		base, found, err = l.batchAtTime(tsMS, limit)
		return err
	})
	if err != nil {
		return 0, false, l.readFailed(err)
	}
	return base, found, nil
}

func (l *Log) batchAtTime(tsMS, limit int64) (base int64, found bool, err error) {
	l.mu.Lock()
	start := l.startLocked()
	// Files below FirstIndex are on their way out.
	i := sort.Search(len(l.segs), func(i int) bool { return l.segs[i].runMax >= tsMS && l.segs[i].first >= l.first })
	if i == len(l.segs) {
		l.mu.Unlock()
		return 0, false, nil
	}
	seg := l.segs[i]
	first, last, end := seg.first, seg.last, l.last
	l.mu.Unlock()

	index := first
	err = seg.file.view(func(tx *bolt.Tx) (err error) {
		index, err = searchSegment(tx.Bucket(bucketLog), first, last, func(h *entryHeader) bool { return h.runMax >= tsMS })
		return err
	})
	if err != nil {
		return 0, false, err
	}
	err = l.scan(index, end, txBytes, func(h *entryHeader, _ entryData) (bool, error) {
		if !h.batch() || h.meta.Next <= start {
			return true, nil
		}
		if h.meta.Base < limit {
			base, found = max(h.meta.Base, start), true
		}
		return false, nil
	})
	return base, found, err
}
