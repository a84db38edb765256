package raftlog

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"

	bolt "go.etcd.io/bbolt"
	"go.etcd.io/raft/v3/raftpb"

	"github.com/runnel-io/runnel/partition/env/mutant"
)

// installTail is the newest segment of the replica to be, which takes the entries after the whole files.
type installTail struct {
	file *segFile
	st   segState
	from uint64 // the first index of the manifest whose files its header lists
}

// runs are the terms of everything before the tail, with the run that reaches in from below.
func (in *Installer) runsBeforeTail() ([]termRun, error) {
	first, term := in.m.TailFirst, in.m.TailPrevTerm
	if len(in.files) > 0 {
		first, term = in.files[0].First, in.files[0].prevTerm
	}
	runs := []termRun{{first - 1, term}}
	for _, f := range in.files {
		if !f.done {
			return nil, fmt.Errorf("%s is not whole yet", f.Name())
		}
		if f.prevTerm != runs[len(runs)-1].term {
			return nil, &DamagedError{What: f.Name(), Problem: fmt.Errorf("it follows an entry of term %d, not %d", f.prevTerm, runs[len(runs)-1].term)}
		}
		for _, r := range f.runs {
			runs = addRun(runs, r.index, r.term)
		}
	}
	if got := runs[len(runs)-1].term; got != in.m.TailPrevTerm {
		return nil, &DamagedError{What: "the tail", Problem: fmt.Errorf("it follows an entry of term %d, not %d", in.m.TailPrevTerm, got)}
	}
	return runs, nil
}

// beginTail makes the newest segment. All files must be finished: its header repeats what they hold.
func (in *Installer) beginTail() error {
	if in.tail != nil {
		return nil
	}
	runs, err := in.runsBeforeTail()
	if err != nil {
		return err
	}
	h := &segHeader{
		group: in.id.group, replica: in.id.replica, first: in.m.TailFirst, prevTerm: in.m.TailPrevTerm,
		base: in.m.TailBase, runMax: in.m.TailRunMax, createdMS: in.s.o.Clock.Wall().UnixMilli(), runs: runs,
	}
	for _, f := range in.files {
		h.catalog = append(h.catalog, f.summary())
	}
	file, err := in.s.createSegment(in.dir, h, &in.cp, in.cp.Index, in.s.o.SegmentBytes)
	switch {
	case err == nil:
	case Lasting(err):
		return errors.Join(err, in.abort()) // a sync may have failed: nobody knows which names are on the disk
	default:
		return err
	}
	in.tail = &installTail{file: file, from: in.m.first(), st: segState{commit: min(in.cp.Index, h.first-1), last: h.first - 1, next: h.base, runMax: h.runMax}}
	return nil
}

func (in *Installer) dropTail() error {
	path := filepath.Join(in.dir, segName(in.m.TailFirst))
	in.tail.file.drop()
	in.tail = nil
	return in.s.disk.remove(path)
}

// WriteTail takes entries as Shipment.Tail gives them, from TailNext on. All files must be finished. Each entry's
// checksums are verified, and what its header says of it.
func (in *Installer) WriteTail(p []byte) error {
	if in.over || in.m == nil {
		return ErrClosed
	}
	if err := in.beginTail(); err != nil {
		return in.wrap("tail", err)
	}
	ents, raws, err := splitTail(p, in.tail.st.last+1, in.m.Index)
	if err != nil {
		return in.wrap("tail", &DamagedError{What: "the tail", Transit: true, Problem: err})
	}
	if len(ents) == 0 {
		return nil
	}
	if err := in.received(len(p)); err != nil {
		return in.wrap("tail", err)
	}
	// The state is changed only with the transaction.
	st := in.tail.st
	st.runs = append([]termRun(nil), st.runs...)
	term := in.m.TailPrevTerm
	if n := len(st.runs); n > 0 {
		term = st.runs[n-1].term
	}
	buf := in.s.takeBuffers(len(ents))
	defer in.s.giveBuffers(buf)
	for i, e := range ents {
		if e.GetTerm() < term || e.GetTerm() > in.m.IndexTerm {
			err := fmt.Errorf("entry %d has term %d after %d", e.GetIndex(), e.GetTerm(), term)
			return in.wrap("tail", &DamagedError{What: "the tail", Problem: err})
		}
		term = e.GetTerm()
		if err := prepare(&buf.pend[i], e, &st); err != nil {
			return in.wrap("tail", err)
		}
		if !bytes.Equal(buf.pend[i].raw[:], raws[i]) {
			err := fmt.Errorf("entry %d is not what its header says", e.GetIndex())
			return in.wrap("tail", &DamagedError{What: "the tail", Problem: err})
		}
	}
	st.commit = st.last // nothing but what is committed is shipped
	err = in.tail.file.update(room{none: true}, func(tx *bolt.Tx) error {
		b := tx.Bucket(bucketLog)
		b.FillPercent = 1.0
		if err := putAll(b, buf); err != nil {
			return err
		}
		return tx.Bucket(bucketState).Put(keyOnly, st.encode())
	})
	if err != nil { // nobody knows what is on disk: from the start again, in another file
		return in.wrap("tail", errors.Join(err, in.dropTail()))
	}
	in.tail.st = st
	return nil
}

// splitTail takes shipped entries apart and verifies their checksums. The data points into p.
func splitTail(p []byte, index, last uint64) (ents []*raftpb.Entry, raws [][]byte, err error) {
	for len(p) > 0 {
		h, err := parseEntryHeader(p, index)
		if err != nil {
			return nil, nil, err
		}
		if index > last {
			return nil, nil, corruptf("entry %d is beyond the end, %d", index, last)
		}
		if h.dataLen < 0 || h.dataLen > len(p)-entryHeaderLen {
			return nil, nil, corruptf("entry %d is cut off", index)
		}
		raw, data := p[:entryHeaderLen], p[entryHeaderLen:entryHeaderLen+h.dataLen]
		if err := h.checkData(data); err != nil {
			return nil, nil, err
		}
		if h.dataLen == 0 {
			data = nil
		}
		ents, raws = append(ents, newEntry(&h, data)), append(raws, raw)
		p = p[entryHeaderLen+h.dataLen:]
		index++
	}
	return ents, raws, nil
}

// Finish installs the replica: afterwards it is known, and OpenLog works. Until its last step, which is one transaction of meta.db,
// a crash leaves nothing of it (RULES 1, 19):
//
//  1. commit and checkpoint at Index go into the newest segment; the folder is synced
//  2. the folder gets its name, and that is synced
//  3. "created", the term, and an empty vote go into meta.db together: there is no moment at which the replica could run
//     with an older term
//
// After an error of step 3 nobody knows whether the replica exists; meta.db has failed then, and the broker stops. ErrStale: see Wanted.
func (in *Installer) Finish() error {
	if in.over || in.m == nil {
		return ErrClosed
	}
	if err := in.fresh(); err != nil {
		return in.wrap("finish", err)
	}
	if err := in.seal(); err != nil {
		return in.wrap("finish", err)
	}
	s, final := in.s, in.s.replicaDir(in.id)
	parent := filepath.Dir(final)
	// A folder that meta.db does not know never ran: it is what a crash between steps 2 and 3 left.
	err := s.disk.removeAll(final)
	if err == nil {
		err = s.disk.rename(in.dir, final)
	}
	if err == nil {
		err = s.disk.syncDir(parent)
	}
	if err != nil {
		in.release()
		return in.wrap("finish", errors.Join(err, s.disk.removeAll(in.dir), s.disk.removeAll(final)))
	}
	defer in.release()
	s.mu.Lock()
	closed := s.closed
	s.mu.Unlock()
	if closed {
		return in.wrap("finish", ErrClosed)
	}
	if err := in.fresh(); err != nil {
		return in.wrap("finish", errors.Join(err, s.disk.removeAll(final)))
	}
	term := max(in.m.Term, in.m.IndexTerm)
	if mutant.On(mutant.InstallForgetsTerm) {
		term = in.m.IndexTerm
	}
	err = s.changeRecord(in.id, func(r *metaRecord) { *r = metaRecord{flags: recordCreated, term: term} }, "")
	if err == nil {
		s.log.Info("installed a replica", "group", in.id.group, "replica", in.id.replica, "source", in.m.Replica,
			"index", in.m.Index, "term", term, "files", len(in.files))
	}
	return in.wrap("finish", err)
}

// fresh compares what wants the replica with the floor.
func (in *Installer) fresh() error {
	if wanted, floor := in.revision.Load(), in.s.Floor(); wanted < floor {
		return fmt.Errorf("revision %d, replicas were deleted at %d: %w", wanted, floor, ErrStale)
	}
	return nil
}

// seal checks that everything up to Index is there, and ends the newest segment with the checkpoint at it.
func (in *Installer) seal() error {
	if err := in.beginTail(); err != nil {
		return err
	}
	st := in.tail.st
	term := in.m.TailPrevTerm
	if n := len(st.runs); n > 0 {
		term = st.runs[n-1].term
	}
	switch {
	case st.last != in.m.Index:
		return fmt.Errorf("the tail ends at entry %d, not %d", st.last, in.m.Index)
	case term != in.cp.Term || st.next != in.cp.Next:
		return &DamagedError{What: "the checkpoint", Problem: fmt.Errorf("it says term %d, next offset %d; the entries end with %d, %d", in.cp.Term, in.cp.Next, term, st.next)}
	}
	raw, err := in.cp.encode()
	if err != nil {
		return err
	}
	st.commit = in.cp.Index
	err = in.tail.file.update(room{none: true}, func(tx *bolt.Tx) error {
		if err := tx.Bucket(bucketCheckpoint).Put(keyOnly, raw); err != nil {
			return err
		}
		return tx.Bucket(bucketState).Put(keyOnly, st.encode())
	})
	if err != nil {
		return errors.Join(err, in.dropTail())
	}
	if err := in.s.disk.syncDir(in.dir); err != nil {
		return errors.Join(err, in.abort()) // names may be missing on the disk, and the next sync would not say so
	}
	in.tail.file.drop()
	return nil
}
