package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"go.etcd.io/raft/v3"

	"github.com/runnel-io/runnel/partition/raftlog"
	"github.com/runnel-io/runnel/partition/record"
)

// logVerifier compares one log.
type logVerifier struct {
	*verifier
	id   replicaID
	l    *raftlog.Log
	want *expected
	flux *mark // under way

	first, last uint64
	read        []sum // what is there from first on
}

// run answers an error when the log refuses a read; what is wrong with what it gave is in found.
func (v *logVerifier) run() error {
	hs, _, err := v.l.InitialState()
	if err != nil {
		return err
	}
	v.first, _ = v.l.FirstIndex()
	v.last, _ = v.l.LastIndex()
	if v.flux != nil && v.flux.Op != "append" && v.flux.Op != "recover" {
		v.flux = nil // it changes none of what follows
	}
	v.vote(hs.GetTerm(), hs.GetVote())
	v.bounds(hs.GetCommit())
	if err := v.entries(); err != nil {
		return err
	}
	v.points()
	if v.deep {
		if err := v.served(); err != nil {
			return err
		}
	}
	v.entriesOf[v.id] = v.foundOf(hs.GetTerm(), hs.GetVote(), hs.GetCommit())
	return nil
}

// vote checks that neither term nor vote went back.
func (v *logVerifier) vote(term, vote uint64) {
	v.facts["I15"]++
	is := [2]uint64{term, vote}
	if is == [2]uint64{v.want.term, v.want.vote} {
		return
	}
	if f := v.flux; f != nil {
		if f.Term != 0 && is == [2]uint64{f.Term, f.Vote} || f.Op == "recover" && vote == f.Vote && term <= f.Term+1 && term >= f.Term {
			return
		}
	}
	v.bad("I15", "%s has term %d, vote %d; it answered with %d, %d", v.id, term, vote, v.want.term, v.want.vote)
}

// bounds checks where the log begins, ends, and how far it counts as committed.
func (v *logVerifier) bounds(commit uint64) {
	most, least := v.want.commit, v.want.last()
	if f := v.flux; f != nil {
		most = max(most, f.Commit)
		if f.Any {
			most = v.last
		}
		if f.First > 0 {
			least = min(least, f.First-1)
		}
	}
	v.facts["I12"]++
	if commit > v.last || commit > most {
		v.bad("I12", "%s counts as committed up to %d; its last entry is %d, it was told %d", v.id, commit, v.last, most)
	}
	v.facts["I1"]++
	if v.last < least {
		v.bad("I1", "%s ends at entry %d, acknowledged were %d", v.id, v.last, least)
	}
	v.facts["I20"]++
	segs := v.l.Segments()
	if v.first > v.want.base && (segs[0].Base > v.want.logStart || v.want.logStart == 0) {
		v.bad("I20", "%s begins at entry %d, offset %d; it was trimmed to %d", v.id, v.first, segs[0].Base, v.want.logStart)
	}
	if start := v.l.StartOffset(); start > v.want.logStart {
		v.bad("I20", "%s has the log start %d; it was trimmed to %d", v.id, start, v.want.logStart)
	}
}

// entries reads the whole log as a follower is sent it.
func (v *logVerifier) entries() error {
	isNew := false
	for i, tries := v.first, 0; i <= v.last; {
		ents, err := v.l.Entries(i, v.last+1, 1<<30)
		if errors.Is(err, raft.ErrCompacted) && tries == 0 {
			tries++ // it is being read back
			if _, err := v.l.Snapshot(); err == nil {
				v.bad("I12", "%s: a miss at entry %d is not followed by \"not now\"", v.id, i)
			}
			continue
		}
		if err != nil {
			return fmt.Errorf("entry %d: %w", i, err)
		}
		tries = 0
		for _, e := range ents {
			got := sum{Term: e.GetTerm(), Data: hashEntry(e)}
			if e.GetIndex() != i {
				v.bad("I5", "%s gives entry %d as entry %d", v.id, e.GetIndex(), i)
			}
			isNew = v.entry(i, got, isNew)
			i++
		}
	}
	v.facts["I5"]++
	if n := len(v.read); n > 0 && v.read[n-1].Next != v.l.LastNext() {
		v.bad("I5", "%s goes on at offset %d after entry %d, it should at %d", v.id, v.l.LastNext(), v.last, v.read[n-1].Next)
	}
	return nil
}

// entry compares one. Of a write under way there is all that was before, or some of the new ones.
func (v *logVerifier) entry(i uint64, got sum, isNew bool) (nowNew bool) {
	same := func(w sum) bool { return w.Term == got.Term && w.Data == got.Data }
	inFlux := v.flux != nil && v.flux.First > 0 && i >= v.flux.First
	if !inFlux || !isNew {
		if at := i - v.want.base; i >= v.want.base && at < uint64(len(v.want.entries)) && same(v.want.entries[at]) {
			v.facts["I1"]++
			v.read = append(v.read, v.want.entries[at])
			return false
		}
	}
	if inFlux && (isNew || i == v.flux.First) {
		if v.flux.Any {
			next := v.want.next(v.want.last())
			v.read = append(v.read, sum{Term: got.Term, Data: got.Data, Base: next, Next: next})
			return true
		}
		if at := i - v.flux.First; at < uint64(len(v.flux.Entries)) && same(v.flux.Entries[at]) {
			v.facts["I4"]++
			v.read = append(v.read, v.flux.Entries[at])
			return true
		}
	}
	switch {
	case i <= v.want.last() && !inFlux:
		v.bad("I1", "%s: entry %d is not the one that was acknowledged (term %d)", v.id, i, got.Term)
	default:
		v.bad("I4", "%s: entry %d of term %d was never written", v.id, i, got.Term)
	}
	v.read = append(v.read, got)
	return isNew
}

// points checks that the checkpoint is one that was offered.
func (v *logVerifier) points() {
	c := v.l.Checkpoint()
	v.facts["I14"]++
	if p, ok := v.want.points[c.Index]; !ok || p != *pointOf(&c) {
		v.bad("I14", "%s has a checkpoint at %d that was never taken", v.id, c.Index)
	}
}

// served reads the whole log as consumers do.
func (v *logVerifier) served() error {
	at := map[int64]sum{}
	for _, s := range v.read {
		if s.Payload != 0 {
			at[s.Base] = s
		}
	}
	start, end := v.l.StartOffset(), v.l.LastNext()
	seen := 0
	for offset := start; offset < end; {
		out, next, err := v.l.ReadBatches(offset, end, 1<<20, nil)
		if err != nil {
			return fmt.Errorf("read from offset %d on: %w", offset, err)
		}
		if next == offset {
			break
		}
		for b, err := range record.Batches(out) {
			if err != nil {
				v.bad("I4", "%s serves a batch that cannot be read: %v", v.id, err)
				return nil
			}
			h, err := record.ParseHeader(b)
			if err != nil {
				v.bad("I4", "%s serves a batch that cannot be read: %v", v.id, err)
				return nil
			}
			v.facts["I5"]++
			if w, ok := at[h.BaseOffset]; !ok || w.Payload != hash(b) {
				v.bad("I5", "%s serves another batch at offset %d than was written", v.id, h.BaseOffset)
			}
			seen++
		}
		offset = next
	}
	for base, s := range at {
		if s.Next <= start {
			delete(at, base)
		}
	}
	if seen != len(at) {
		v.bad("I9", "%s serves %d batches from offset %d on, it has %d", v.id, seen, start, len(at))
	}
	if v.peer == nil {
		return nil
	}
	return v.sought(at, start, end)
}

// sought reads each batch by itself, from the last to the first. A search comes by other pages than a reader that goes on.
func (v *logVerifier) sought(at map[int64]sum, start, end int64) error {
	for _, base := range slices.Backward(slices.Sorted(maps.Keys(at))) {
		from := max(base, start)
		out, _, err := v.l.ReadBatches(from, end, 1, nil)
		if err != nil {
			return fmt.Errorf("read the batch at offset %d: %w", from, err)
		}
		v.facts["I5"]++
		if hash(out) != at[base].Payload {
			v.bad("I5", "%s serves another batch at offset %d than was written", v.id, base)
		}
	}
	return nil
}
