package raftlog

import (
	"slices"

	bolt "go.etcd.io/bbolt"
)

// roll starts a new segment after the last entry. Its header repeats the summaries and terms of all segments before it,
// and it starts with a copy of the newest checkpoint, so that an open reads this one file.
func (l *Log) roll() error {
	l.mu.Lock()
	cp := l.ckpt
	if l.offered != nil {
		cp = *l.offered
	}
	offered := l.offered
	h := &segHeader{
		group: l.id.group, replica: l.id.replica,
		first: l.last + 1, prevTerm: termAt(l.runs, l.last),
		base: l.next, runMax: l.runMax, createdMS: l.s.o.Clock.Wall().UnixMilli(),
		runs: slices.Clone(l.runs),
	}
	for _, s := range l.segs {
		h.catalog = append(h.catalog, s.segSummary)
	}
	commit := l.commit
	l.mu.Unlock()

	f, err := l.s.createSegment(l.dir, h, &cp, max(commit, cp.Index), l.segmentBytes.Load())
	if err != nil {
		return err
	}
	seg := &segment{
		segSummary: segSummary{first: h.first, last: h.first - 1, base: h.base, next: h.base, runMax: h.runMax},
		ckptIndex:  cp.Index, file: f,
	}
	l.mu.Lock()
	l.segs = append(l.segs, seg)
	if offered != nil {
		l.checkpointedLocked(seg, offered)
	}
	l.mu.Unlock()
	l.log.Debug("rolled to a new segment", "first", h.first, "base", h.base)
	return nil
}

// Aged tells whether Maintain has something to do though nothing is appended: the newest segment has entries and is older
// than segment.ms, or trimmed files can go, or what it had to do found no space, or the disk may be full soon. It is cheap and meant to be asked from time to time, so that the data of an idle
// partition gets old as well. Worker only: it may move FirstIndex (RULES 7).
func (l *Log) Aged() bool {
	if l.failed() != nil {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	l.advanceFirstLocked()
	seg := l.segs[len(l.segs)-1]
	return l.putOff || l.wantsSpareLocked(seg) || seg.last >= seg.first && l.aged(seg, l.s.o.Clock.Wall().UnixMilli()) || l.segs[0].first < l.first
}

// Maintain does the work that is not urgent: writes an offered checkpoint, rolls an aged segment, seals, and unlinks
// what FirstIndex has left behind. Append task only, between appends, also while one waits for space. An error poisons the log. Want of
// descriptors, memory or space is none: it is logged, Maintain does not wait for it, and what it leaves is done by the next call.
func (l *Log) Maintain() error {
	if err := l.failed(); err != nil {
		return err
	}
	l.mu.Lock()
	closed, offered := l.closed, l.offered
	l.mu.Unlock()
	if closed {
		return ErrClosed
	}
	err := l.maintain(offered)
	l.mu.Lock()
	l.putOff = OutOfSpace(err)
	l.mu.Unlock()
	switch {
	case err == nil:
		return nil
	case isShortage(err):
		l.s.m.shortages.Inc()
		l.log.Warn("upkeep of the log is put off", "error", err)
		return nil
	case OutOfSpace(err):
		l.log.Debug("upkeep of the log is put off", "error", err) // the broker says that the disk is full
		return nil
	}
	return l.poison(err)
}

func (l *Log) maintain(offered *Checkpoint) error {
	// What makes space is not to wait for space: all but the last step may be put off.
	full := l.writeCheckpoint(offered)
	if full != nil && !OutOfSpace(full) {
		return full
	}
	if seg := l.segs[len(l.segs)-1]; seg.last >= seg.first && l.aged(seg, l.s.o.Clock.Wall().UnixMilli()) {
		if err := l.roll(); OutOfSpace(err) {
			full = err
		} else if err != nil {
			return err
		}
	}
	l.sealSegments()
	l.spare(l.segs[len(l.segs)-1])
	if err := l.unlinkTrimmed(); err != nil {
		return err
	}
	return full
}

// writeCheckpoint writes a checkpoint in a transaction of its own.
func (l *Log) writeCheckpoint(cp *Checkpoint) error {
	if cp == nil {
		return nil
	}
	raw, err := cp.encode()
	if err != nil {
		return err
	}
	seg := l.segs[len(l.segs)-1]
	l.mu.Lock()
	st := l.stateLocked(seg)
	st.commit = max(min(l.commit, st.last), cp.Index)
	l.mu.Unlock()
	err = seg.file.update(room{bytes: slackBytes + 2*int64(len(raw)), spare: len(raw) <= spareCheckpoint}, func(tx *bolt.Tx) error {
		if err := tx.Bucket(bucketCheckpoint).Put(keyOnly, raw); err != nil {
			return err
		}
		return tx.Bucket(bucketState).Put(keyOnly, st.encode())
	})
	if err != nil {
		return err
	}
	l.mu.Lock()
	l.checkpointedLocked(seg, cp)
	l.noteSpareLocked(seg)
	l.mu.Unlock()
	l.s.m.commits.Inc()
	return nil
}

// sealSegments marks the segments that no truncation can reach any more (RULES 4).
func (l *Log) sealSegments() {
	var done []*segFile
	l.mu.Lock()
	for i, s := range l.segs {
		if !s.sealed && l.finalLocked(i) {
			s.sealed = true
			done = append(done, s.file)
		}
	}
	l.mu.Unlock()
	for _, f := range done {
		f.seal()
	}
}

// unlinkTrimmed removes the files below FirstIndex, the lowest first and the folder synced after each, so that what is
// left never has a gap. Whoever holds a descriptor or a hard link keeps the data (RULES 8).
func (l *Log) unlinkTrimmed() error {
	l.mu.Lock()
	idle := len(l.segs) == 1 || l.segs[0].last >= l.first
	l.mu.Unlock()
	if idle {
		return nil
	}
	folder, err := l.s.disk.openDir(l.dir)
	if err != nil {
		return err
	}
	defer folder.close()
	for {
		l.mu.Lock()
		seg := l.segs[0]
		if len(l.segs) == 1 || seg.last >= l.first {
			l.mu.Unlock()
			return nil
		}
		l.mu.Unlock()
		seg.file.drop() // first: nobody shall find the file missing
		if err := l.s.disk.remove(seg.file.path); err != nil {
			return err
		}
		if err := folder.sync(); err != nil {
			return err
		}
		l.mu.Lock()
		l.segs = slices.Delete(l.segs, 0, 1)
		// Keep the run that covers FirstIndex-1, for Term.
		for len(l.runs) > 1 && l.runs[1].index <= l.segs[0].first-1 {
			l.runs = l.runs[1:]
		}
		l.mu.Unlock()
	}
}
