package raftlog

import (
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"
	"go.etcd.io/raft/v3/raftpb"

	"github.com/runnel-io/runnel/partition/env/mutant"
	"github.com/runnel-io/runnel/partition/record"
)

// pending is an entry on its way to disk.
type pending struct {
	e   *raftpb.Entry
	h   entryHeader
	raw [entryHeaderLen]byte
}

// Append makes all queued writes of the replica durable in one go: term and vote in meta.db first, then all entries in
// one transaction, split only where a segment ends. A write with nothing new costs no disk. Entries belong to the log
// from here on and must not be changed. Append task only.
//
// An error poisons the log, but for a *ResourceError: no file could be opened for want of descriptors, mappings or memory,
// also not when Append had waited and tried again for two seconds (on Options.Clock). Then no entry of the call is written,
// though term and vote may be and entries to be overwritten may be gone, which is harmless. The log is as good as before, and
// the caller may call again with the same writes. Close ends the wait.
//
// Nor does a *SpaceError: the disk is full. Append does not wait for space. Some of the entries may be written then; the next call must be with the same
// writes, and goes on after them.
func (l *Log) Append(ws []Write) error {
	if err := l.failed(); err != nil {
		return err
	}
	l.mu.Lock()
	closed, term, vote := l.closed, l.term, l.vote
	committed := min(l.commit, l.last) // what no entry of ws may overwrite
	l.mu.Unlock()
	if closed {
		return ErrClosed
	}

	var ents []*raftpb.Entry
	owned := false
	newTerm, newVote, commit := term, vote, uint64(0)
	again := l.again // the same writes once more: of their terms and votes the last ones are durable already
	l.again = false
	if !again {
		l.wrote = 0
	} else {
		newTerm, newVote = 0, 0
	}
	for i := range ws {
		w := &ws[i]
		if w.Term != 0 {
			if w.Term < newTerm || w.Term == newTerm && newVote != 0 && w.Vote != newVote {
				return l.poison(fmt.Errorf("term %d, vote %d after term %d, vote %d: these never go back", w.Term, w.Vote, newTerm, newVote))
			}
			newTerm, newVote = w.Term, w.Vote
		}
		commit = max(commit, w.Commit)
		var err error
		if ents, owned, err = overlay(ents, owned, w.Entries); err != nil {
			return l.poison(err)
		}
	}
	if newTerm == 0 {
		newTerm, newVote = term, vote
	}
	if newTerm < term || newTerm == term && vote != 0 && newVote != vote {
		return l.poison(fmt.Errorf("term %d, vote %d after term %d, vote %d: these never go back", newTerm, newVote, term, vote))
	}
	if newTerm != term || newVote != vote {
		err := l.s.changeRecord(l.id, func(r *metaRecord) {
			if mutant.On(mutant.TermNotPersisted) {
				return
			}
			r.term, r.vote = newTerm, newVote
			if mutant.On(mutant.VoteNotPersisted) {
				r.vote = 0
			}
		}, "")
		if err != nil {
			return l.poison(err)
		}
		l.mu.Lock()
		l.term, l.vote = newTerm, newVote
		l.mu.Unlock()
	}
	if commit > 0 {
		// What the entries overwrite is not what was committed, so above them it counts only once they are there.
		known := commit
		if len(ents) > 0 {
			known = min(known, ents[0].GetIndex()-1)
		}
		l.mu.Lock()
		l.commit = max(l.commit, known)
		l.mu.Unlock()
	}
	if len(ents) == 0 {
		if newTerm == term && newVote == vote {
			l.s.m.skipped.Inc()
		}
		return nil
	}
	if again {
		// By the log matching property what the log has at an index with the entry's term is that entry (Raft, section 5.3).
		for len(ents) > 0 && (ents[0].GetIndex() <= l.wrote && termAt(l.runs, ents[0].GetIndex()) == ents[0].GetTerm() ||
			mutant.On(mutant.RetryKeepsOverwritten) && ents[0].GetIndex() <= l.last) {
			ents = ents[1:]
		}
		if len(ents) == 0 {
			return nil
		}
	}
	wrote, err := l.appendEntries(ents, committed, commit)
	switch {
	case err == nil:
	case OutOfSpace(err):
		l.again = true
		if wrote {
			l.wrote = l.last
		}
		return err
	case !isShortage(err):
		return l.poison(err)
	case wrote:
		return l.poison(errors.New("only a part of the entries could be written, " + err.Error()))
	default:
		l.again = true
		return err
	}
	l.s.tails.reclaim()
	return nil
}

// overlay puts the entries of a later write over those of earlier ones, as the log itself would.
func overlay(ents []*raftpb.Entry, owned bool, more []*raftpb.Entry) ([]*raftpb.Entry, bool, error) {
	if len(more) == 0 {
		return ents, owned, nil
	}
	if len(ents) == 0 {
		return more, false, nil
	}
	start, at := ents[0].GetIndex(), more[0].GetIndex()
	switch {
	case at <= start:
		return more, false, nil
	case at > start+uint64(len(ents)):
		return nil, false, fmt.Errorf("queued writes leave a gap: entry %d after %d", at, start+uint64(len(ents))-1)
	}
	if !owned {
		ents = slices.Clone(ents) // the slice is the caller's
	}
	return append(ents[:at-start], more...), true, nil
}

// appendEntries writes ents over whatever the log has from their first index on. commit is what the leader told with them;
// wrote tells, with an error, that some of them are on disk.
func (l *Log) appendEntries(ents []*raftpb.Entry, committed, commit uint64) (wrote bool, err error) {
	first := ents[0].GetIndex()
	if first <= committed {
		return false, fmt.Errorf("entry %d would overwrite committed entries (commit %d)", first, committed)
	}
	if first > l.last+1 {
		return false, fmt.Errorf("entry %d leaves a gap after %d", first, l.last)
	}
	cut := first // the transaction below deletes from here on; 0 once done
	if first <= l.last {
		l.setTruncating(true)
		defer l.setTruncating(false)
		if err := l.patiently(func() error { return l.dropSegmentsAbove(first) }); err != nil {
			return false, err
		}
	}
	for len(ents) > 0 {
		seg := l.segs[len(l.segs)-1]
		if l.wantsRoll(seg, cut, ents[0]) {
			// What may have the spare goes into the full segment rather than nowhere.
			if err := l.patiently(l.roll); err != nil && (!OutOfSpace(err) || !roomFor(ents, 0).spare) {
				return wrote, err
			}
			seg = l.segs[len(l.segs)-1]
		}
		room := l.segmentBytes.Load() - bytesBefore(seg, cut)
		n, size := 0, int64(0)
		for n < len(ents) {
			size += int64(len(ents[n].Data)) + entryHeaderLen
			if n > 0 && size > room {
				break
			}
			n++
		}
		if err := l.patiently(func() error { return l.writeEntries(seg, cut, ents[:n], commit) }); err != nil {
			return wrote, err
		}
		wrote = true
		ents = ents[n:]
		cut = 0
	}
	return wrote, nil
}

// bytesBefore is what a segment holds, or an upper bound if the transaction will first delete from index cut on.
func bytesBefore(seg *segment, cut uint64) int64 {
	if cut != 0 && cut <= seg.first {
		return 0
	}
	return seg.bytes
}

// wantsRoll tells whether the entry to come belongs into a new segment. A truncation never rolls: the deletion and the
// entries that replace what it deletes stand in one transaction.
func (l *Log) wantsRoll(seg *segment, cut uint64, e *raftpb.Entry) bool {
	if cut != 0 && cut <= l.last || seg.last < seg.first {
		return false
	}
	return seg.bytes+int64(len(e.Data))+entryHeaderLen > l.segmentBytes.Load() || l.aged(seg, appendMSOf(e))
}

// appendMSOf is an entry's append time, 0 if it has none.
func appendMSOf(e *raftpb.Entry) int64 {
	if e.GetType() != raftpb.EntryNormal {
		return 0
	}
	_, ms, _, err := record.OpenEnvelope(e.Data)
	if err != nil {
		return 0 // whoever applies it complains
	}
	return ms
}

// SetSegments changes when a segment is full, from the next append on. 0 means as in LogOptions.
func (l *Log) SetSegments(bytes int64, age time.Duration) {
	setDefault(&bytes, l.s.o.SegmentBytes)
	l.segmentBytes.Store(bytes)
	l.segmentAge.Store(age.Milliseconds())
}

// SegmentBytes is the size in bytes at which a segment is full.
func (l *Log) SegmentBytes() int64 { return l.segmentBytes.Load() }

// aged tells whether a segment's first entry is older than segment.ms, at a time in milliseconds. To the entry to come that is its own append
// time: a follower that catches up writes what was appended long ago, and by its clock each of its segments would be old at once.
func (l *Log) aged(seg *segment, nowMS int64) bool {
	age := l.segmentAge.Load()
	if age <= 0 || seg.firstAppendMS == 0 {
		return false
	}
	return nowMS-seg.firstAppendMS >= age
}

// writeEntries is one transaction: what is overwritten goes, ents come, and state and an offered checkpoint with them.
// On success memory follows.
func (l *Log) writeEntries(seg *segment, cut uint64, ents []*raftpb.Entry, commit uint64) error {
	l.mu.Lock()
	truncates := cut != 0 && cut <= l.last
	st := l.stateLocked(seg)
	commit = max(commit, l.commit)
	cp := l.offered
	l.mu.Unlock()

	if truncates {
		var key [8]byte
		if err := checkPages(seg.file.path, walkScope{cut: indexKey(&key, cut)}); err != nil {
			return err
		}
		if err := l.thinOut(seg, &st, cut); err != nil {
			return err
		}
	}
	var ckpt []byte
	if cp != nil {
		var err error
		if ckpt, err = cp.encode(); err != nil {
			return err
		}
	}
	buf := l.s.takeBuffers(len(ents))
	defer l.s.giveBuffers(buf)
	pend := buf.pend
	write := func(tx *bolt.Tx) error {
		b := tx.Bucket(bucketLog)
		b.FillPercent = 1.0
		if truncates {
			if err := deleteFrom(tx, b, &st, seg.first, cut); err != nil {
				return err
			}
		}
		for i, e := range ents {
			if err := prepare(&pend[i], e, &st); err != nil {
				return err
			}
		}
		if err := putAll(b, buf); err != nil {
			return err
		}
		st.commit = min(commit, st.last)
		if mutant.On(mutant.CommitAhead) {
			st.commit = st.last
		}
		if ckpt != nil {
			if err := tx.Bucket(bucketCheckpoint).Put(keyOnly, ckpt); err != nil {
				return err
			}
			st.commit = max(st.commit, cp.Index)
		}
		return tx.Bucket(bucketState).Put(keyOnly, st.encode())
	}
	err := seg.file.update(roomFor(ents, len(ckpt)), write)
	if OutOfSpace(err) && ckpt != nil { // it can wait
		cp, ckpt = nil, nil
		err = seg.file.update(roomFor(ents, 0), write)
	}
	if err != nil {
		return err
	}
	l.published(seg, &st, cut, pend, cp, commit)
	return nil
}

// stateLocked is a segment's state as it stands on disk, but for commit.
func (l *Log) stateLocked(seg *segment) segState {
	st := segState{
		last: seg.last, next: seg.next, runMax: seg.runMax, lastAppendMS: seg.lastAppendMS,
		firstAppendMS: seg.firstAppendMS, bytes: seg.bytes,
	}
	for _, r := range l.runs {
		if r.index >= seg.first {
			st.runs = append(st.runs, r)
		}
	}
	// The run that reaches into the segment from below.
	if seg.last >= seg.first && (len(st.runs) == 0 || st.runs[0].index > seg.first) {
		st.runs = slices.Insert(st.runs, 0, termRun{seg.first, termAt(l.runs, seg.first)})
	}
	return st
}

// prepare folds an entry into st and builds its header.
func prepare(p *pending, e *raftpb.Entry, st *segState) error {
	index, term := e.GetIndex(), e.GetTerm()
	if index != st.last+1 {
		return fmt.Errorf("entry %d follows %d", index, st.last)
	}
	m := record.Fold(index, term, e.GetType() != raftpb.EntryNormal, e.Data, st.next)
	if m.Kind == record.KindBatch && !m.Void {
		st.runMax = max(st.runMax, m.MaxTimestamp)
	}
	p.e = e
	p.h = entryHeader{meta: m, typ: e.GetType(), runMax: st.runMax, dataLen: len(e.Data), dataCRC: crc32.Checksum(e.Data, castagnoli)}
	putEntryHeader(p.raw[:], &p.h)
	st.last, st.next = index, m.Next
	if m.AppendMS > 0 {
		st.lastAppendMS = m.AppendMS
		if st.firstAppendMS == 0 {
			st.firstAppendMS = m.AppendMS
		}
	}
	st.bytes += int64(len(e.Data)) + entryHeaderLen
	if n := len(st.runs); n == 0 || st.runs[n-1].term != term {
		st.runs = append(st.runs, termRun{index, term})
	}
	return nil
}

// published lets memory follow a commit.
func (l *Log) published(seg *segment, st *segState, cut uint64, pend []pending, cp *Checkpoint, commit uint64) {
	var cost, freed int64
	var bytes int
	l.mu.Lock()
	if cut != 0 && cut <= l.last {
		freed = l.truncateMemoryLocked(cut)
	}
	for i := range pend {
		p := &pend[i]
		size := len(p.e.Data) + entryHeaderLen
		bytes += size
		l.pos += uint64(size)
		te := tailEntry{
			e: p.e, base: p.h.meta.Base, next: p.h.meta.Next, runMax: p.h.runMax,
			kind: p.h.meta.Kind, void: p.h.meta.Void, pos: l.pos,
		}
		te.seq = l.s.tails.add(te.cost())
		cost += te.cost()
		l.tail.push(te)
		l.runs = addRun(l.runs, p.h.meta.Index, p.h.meta.Term)
	}
	seg.apply(st)
	l.noteSpareLocked(seg)
	l.last, l.next = st.last, st.next
	l.runMax = st.runMax
	l.commit = max(l.commit, commit)
	if cp != nil {
		l.checkpointedLocked(seg, cp)
	}
	l.mu.Unlock()
	l.s.tails.sub(freed)
	l.s.m.commits.Inc()
	l.s.m.appendEntries.Add(float64(len(pend)))
	l.s.m.appendBytes.Add(float64(bytes))
}

func (s *segment) apply(st *segState) {
	s.last, s.next, s.runMax, s.bytes = st.last, st.next, st.runMax, st.bytes
	s.lastAppendMS, s.firstAppendMS = st.lastAppendMS, st.firstAppendMS
}

func (l *Log) checkpointedLocked(seg *segment, cp *Checkpoint) {
	l.ckpt = *cp
	seg.ckptIndex = cp.Index
	if l.offered == cp {
		l.offered = nil
	}
}
