package raftlog

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"syscall"

	bolt "go.etcd.io/bbolt"
	"golang.org/x/sys/unix"
)

func isIO(err error) bool { return errors.Is(err, syscall.EIO) }

// OpenLog opens a replica's log. Errors: ErrUnknownReplica; *QuarantinedError, also when this open finds the folder
// missing, damaged or with a gap, which quarantines the replica for good; others may be tried again.
func (s *Store) OpenLog(group, replica uint64, o LogOptions) (*Log, error) {
	id := replicaID{group, replica}
	setDefault(&o.SegmentBytes, s.o.SegmentBytes)
	s.mu.Lock()
	r, known := s.replicas[id]
	_, busy := s.open[id]
	switch {
	case s.closed:
		s.mu.Unlock()
		return nil, ErrClosed
	case !known || r.flags&(recordCreated|recordDeleting) != recordCreated:
		s.mu.Unlock()
		return nil, fmt.Errorf("open the log of replica %d of group %d: %w", replica, group, ErrUnknownReplica)
	case r.flags&recordQuarantined != 0:
		reason := s.reasons[id]
		s.mu.Unlock()
		return nil, &QuarantinedError{Group: group, Replica: replica, Reason: reason}
	case busy:
		s.mu.Unlock()
		return nil, fmt.Errorf("the log of replica %d of group %d is open already", replica, group)
	}
	s.open[id] = nil
	cold := s.cold[id]
	delete(s.cold, id)
	s.mu.Unlock()

	l := &Log{
		s: s, id: id, dir: s.replicaDir(id), o: o, term: r.term, vote: r.vote, closing: make(chan struct{}),
		log: s.log.With("group", group, "replica", replica),
	}
	l.change = sync.NewCond(&l.mu)
	l.SetSegments(o.SegmentBytes, o.SegmentAge)
	if err := l.recover(cold); err != nil {
		l.abandon()
		s.mu.Lock()
		delete(s.open, id)
		if cold { // the next open has to do what this one may not have done
			s.cold[id] = true
		}
		s.mu.Unlock()
		if !isCorrupt(err) && !isIO(err) {
			return nil, fmt.Errorf("open the log of replica %d of group %d: %w", replica, group, err)
		}
		if qerr := s.Quarantine(group, replica, err.Error()); qerr != nil {
			return nil, errors.Join(err, qerr)
		}
		return nil, &QuarantinedError{Group: group, Replica: replica, Reason: err.Error()}
	}
	s.tails.join(l)
	s.mu.Lock()
	closed := s.closed
	s.open[id] = l
	s.mu.Unlock()
	if closed {
		return nil, errors.Join(ErrClosed, l.Close())
	}
	return l, nil
}

// abandon releases what a failed open holds.
func (l *Log) abandon() {
	for _, seg := range l.segs {
		seg.file.drop()
	}
	l.s.tails.sub(l.tail.truncate(0))
}

// recover builds the memory of the log from the newest segment alone, whose header describes the ones before it, and
// then folds from the checkpoint.
func (l *Log) recover(cold bool) error {
	firsts, err := l.listSegments()
	if err != nil {
		return err
	}
	newest := firsts[len(firsts)-1]
	path := func(first uint64) string { return filepath.Join(l.dir, segName(first)) }
	if l.s.unclean {
		for _, f := range firsts {
			if err := l.s.disk.settle(path(f), f != newest || !cold); err != nil {
				return err
			}
		}
		if cold { // the same for names: of a segment that was just made, or just unlinked
			if err := l.s.disk.syncDir(l.dir); err != nil {
				return err
			}
		}
	}
	if cold {
		most := int64(warmBytesClean)
		if l.s.unclean {
			most = warmBytes
		}
		warm(path(newest), most)
	}
	file := l.s.newSegFile(path(newest), l.o.SegmentBytes, headerCheck(l.id, newest))
	seg := &segment{file: file}
	l.segs = []*segment{seg}
	var h segHeader
	var st segState
	err = file.view(func(tx *bolt.Tx) (err error) {
		if h, err = readSegHeader(tx, l.id, newest); err != nil {
			return err
		}
		if st, err = readSegState(tx); err != nil {
			return err
		}
		if l.ckpt, err = readCheckpoint(tx); err != nil {
			return err
		}
		return checkEnd(tx, &h, &st)
	})
	if err != nil {
		return err
	}
	seg.first, seg.base, seg.ckptIndex = h.first, h.base, l.ckpt.Index
	seg.apply(&st)
	if err := l.addCatalog(&h, firsts, path); err != nil {
		return err
	}
	l.first, l.last, l.next, l.runMax = l.segs[0].first, st.last, st.next, st.runMax
	l.runs = cutRuns(h.runs, h.first)
	for _, r := range st.runs {
		l.runs = addRun(l.runs, r.index, r.term)
	}
	return l.recoverState(&st)
}

// listSegments removes leftover temporary files and returns the first indexes of the segments in order.
func (l *Log) listSegments() ([]uint64, error) {
	des, err := os.ReadDir(l.dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, corruptf("the folder %s is missing", l.dir)
	}
	if err != nil {
		return nil, err
	}
	var firsts []uint64
	for _, de := range des {
		if strings.HasSuffix(de.Name(), tmpSuffix) {
			if err := l.s.disk.remove(filepath.Join(l.dir, de.Name())); err != nil {
				return nil, err
			}
			continue
		}
		if first, ok := parseSegName(de.Name()); ok {
			firsts = append(firsts, first)
		}
	}
	if len(firsts) == 0 {
		return nil, corruptf("the folder %s has no segments", l.dir)
	}
	sort.Slice(firsts, func(i, j int) bool { return firsts[i] < firsts[j] })
	return firsts, nil
}

// checkEnd verifies that a segment's entries end where its state says.
func checkEnd(tx *bolt.Tx, h *segHeader, st *segState) error {
	b := tx.Bucket(bucketLog)
	if b == nil {
		return corruptf("segment %d has no entries' bucket", h.first)
	}
	if st.last+1 < h.first {
		return corruptf("segment %d ends at %d", h.first, st.last)
	}
	k, v := b.Cursor().Last()
	if st.last < h.first {
		if k != nil {
			return corruptf("segment %d has entries its state does not know", h.first)
		}
		return nil
	}
	var key [8]byte
	if string(k) != string(indexKey(&key, st.last)) {
		return corruptf("segment %d: its state ends at %d, its entries do not", h.first, st.last)
	}
	raw, _, err := rawEntry(b, k, v)
	if err != nil {
		return err
	}
	e, err := parseEntryHeader(raw, st.last)
	if err != nil {
		return err
	}
	if term := termAt(st.runs, st.last); e.meta.Term != term || e.meta.Next != st.next {
		return corruptf("segment %d: its state (term %d, next offset %d) does not match its last entry", h.first, term, st.next)
	}
	return nil
}

// addCatalog puts the older segments in front, from the newest one's header. A file that is missing in between, or that
// the header does not know, is a gap.
func (l *Log) addCatalog(h *segHeader, firsts []uint64, path func(uint64) string) error {
	newest := l.segs[0]
	known := h.catalog
	for len(known) > 0 && known[0].first < firsts[0] {
		known = known[1:] // trimmed since
	}
	if len(known) != len(firsts)-1 {
		return corruptf("there are %d segment files before %d, its header knows %d: a gap", len(firsts)-1, h.first, len(known))
	}
	segs := make([]*segment, 0, len(firsts))
	expect := firsts[0]
	for i, k := range known {
		if k.first != firsts[i] || k.first != expect || k.last+1 < k.first {
			return corruptf("segment file %d where the log continues at %d: a gap", firsts[i], expect)
		}
		expect = k.last + 1
		fi, err := os.Stat(path(k.first))
		if err != nil {
			return err
		}
		if fi.Size() < 4*boltPageSize {
			return corruptf("segment file %d has only %d bytes", k.first, fi.Size())
		}
		segs = append(segs, &segment{
			segSummary: k,
			file:       l.s.newSegFile(path(k.first), l.o.SegmentBytes, l.catalogCheck(k)),
		})
	}
	if newest.first != expect {
		return corruptf("segment file %d where the log continues at %d: a gap", newest.first, expect)
	}
	if got := termAt(h.runs, h.first-1); got != h.prevTerm {
		return corruptf("segment %d: the entry before it has term %d, its terms say %d", h.first, h.prevTerm, got)
	}
	l.segs = append(segs, newest)
	return nil
}

// catalogCheck verifies, when an older segment is opened at last, that it is what the newest one's header said.
func (l *Log) catalogCheck(want segSummary) func(*bolt.DB) error {
	return func(db *bolt.DB) error {
		return guard(db.Path(), func() error {
			return db.View(func(tx *bolt.Tx) error {
				h, err := readSegHeader(tx, l.id, want.first)
				if err != nil {
					return err
				}
				st, err := readSegState(tx)
				if err != nil {
					return err
				}
				if st.last != want.last || st.next != want.next || h.base != want.base {
					return corruptf("segment %d ends at %d, the one after it says %d", want.first, st.last, want.last)
				}
				return nil
			})
		})
	}
}

// recoverState checks what belongs together, folds from the checkpoint and fills the tail.
func (l *Log) recoverState(st *segState) error {
	cp := &l.ckpt
	l.commit = max(st.commit, cp.Index)
	switch {
	case l.commit > l.last:
		return corruptf("commit %d is above the last entry %d: acknowledged entries are lost", l.commit, l.last)
	case cp.Index+1 < l.first:
		return corruptf("the log starts at %d, after the checkpoint at %d", l.first, cp.Index)
	case termAt(l.runs, cp.Index) != cp.Term:
		return corruptf("the checkpoint at %d has term %d, the log has %d", cp.Index, cp.Term, termAt(l.runs, cp.Index))
	case termAt(l.runs, l.last) > l.term:
		return corruptf("the last entry has term %d, meta.db only %d: a vote may be lost", termAt(l.runs, l.last), l.term)
	}
	l.logStart = cp.LogStart
	l.foldTo = l.commit
	next, conf := cp.Next, false
	l.setReadAhead(true)
	defer l.setReadAhead(false)
	var foldPos uint64
	err := l.scan(cp.Index+1, l.last, txBytes, func(h *entryHeader, _ entryData) (bool, error) {
		m := &h.meta
		l.pos += uint64(h.dataLen) + entryHeaderLen
		if m.Base != next || m.Term != termAt(l.runs, m.Index) {
			return false, corruptf("entry %d has term %d and base offset %d, the log says %d and %d", m.Index, m.Term, m.Base, termAt(l.runs, m.Index), next)
		}
		next = m.Next
		if m.Conf && !conf {
			conf = true
			l.foldTo = min(l.foldTo, m.Index-1)
		}
		if m.Index <= l.foldTo {
			foldPos = l.pos
		}
		return true, nil
	})
	if err != nil {
		return err
	}
	if next != l.next {
		return corruptf("the entries end at offset %d, the state says %d", next, l.next)
	}
	l.applied = l.foldTo
	l.offerIdx = cp.Index
	l.tail.first = l.last + 1
	return l.preload(foldPos)
}

// preload pins the entries above applied in memory (RULES 18).
func (l *Log) preload(pos uint64) error {
	l.tail.first = l.applied + 1
	return l.scan(l.applied+1, l.last, 0, func(h *entryHeader, data entryData) (bool, error) {
		d := data.get()
		if err := h.checkData(d); err != nil {
			return false, err
		}
		pos += uint64(h.dataLen) + entryHeaderLen
		te := tailEntry{
			e: newEntry(h, append([]byte(nil), d...)), base: h.meta.Base, next: h.meta.Next, runMax: h.runMax,
			kind: h.meta.Kind, void: h.meta.Void, pos: pos,
		}
		te.seq = l.s.tails.add(te.cost())
		l.tail.push(te)
		return true, nil
	})
}

// setReadAhead has the kernel read ahead while the newest segment is folded.
func (l *Log) setReadAhead(on bool) {
	advice := unix.MADV_RANDOM
	if on {
		advice = unix.MADV_SEQUENTIAL
	}
	f := l.segs[len(l.segs)-1].file
	db, err := f.acquire()
	if err != nil {
		return // the fold will meet the same error and report it
	}
	advise(db, advice)
	f.release()
}

// Close ends the log: it waits for readers, writes an offered checkpoint and closes the files. The append task must have
// stopped. raft.Storage still answers from memory afterwards. A *ResourceError or a *SpaceError means only that the checkpoint was not
// written and the next open has more to fold.
func (l *Log) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	l.closed = true
	close(l.closing)
	for l.users > 0 {
		l.change.Wait()
	}
	offered := l.offered
	for len(l.windows) > 0 {
		l.dropWindowLocked(0)
	}
	l.mu.Unlock()

	var err error
	if l.failed() == nil {
		if err = l.writeCheckpoint(offered); err != nil && !putOff(err) {
			err = l.poison(err)
		}
	}
	l.s.tails.leave(l)
	l.mu.Lock()
	segs := l.segs
	freed := int64(0)
	for i := range l.tail.live() {
		freed += l.tail.live()[i].cost()
	}
	l.mu.Unlock()
	l.s.tails.sub(freed)
	for _, seg := range segs {
		seg.file.drop()
	}
	l.s.mu.Lock()
	delete(l.s.open, l.id)
	l.s.mu.Unlock()
	return err
}
