package raftlog

import (
	"testing"

	"go.etcd.io/raft/v3/raftpb"
)

// commands appends commands of 4 KB, committed and applied, with upkeep as the worker does it: a checkpoint when one is wanted.
func commands(t *testing.T, l *Log, n int) {
	t.Helper()
	for range n {
		last, _ := l.LastIndex()
		appendAll(t, l, Write{Commit: last + 1, Entries: []*raftpb.Entry{entry(last+1, 1, commandData(string(filler(4000)), startMS))}})
		l.SetApplied(last + 1)
		if l.WantsCheckpoint() {
			l.OfferCheckpoint(Checkpoint{Index: last + 1, Term: 1, Conf: founders(), State: []byte("all of it")})
		}
		must(t, l.Maintain())
	}
}

// The controller's log takes no offsets, and its checkpoints say all that the entries before them do: it keeps its newest segments.
func TestLogOfFoldedEntriesKeepsItsNewestSegments(t *testing.T) {
	dir := t.TempDir()
	o := LogOptions{SegmentBytes: smallSegment, KeepSegments: 3}
	s := openStore(t, dir)
	l := openLog(t, s, o)
	commands(t, l, 200)
	check := func() {
		t.Helper()
		segs := l.Segments()
		if n := len(segs); n < o.KeepSegments || n > 2*o.KeepSegments+1 {
			t.Fatalf("%d segments, want %d to %d", n, o.KeepSegments, 2*o.KeepSegments+1)
		}
		first, _ := l.FirstIndex()
		if first <= 2 || first != segs[0].FirstIndex {
			t.Fatalf("first index %d, the first file starts at %d", first, segs[0].FirstIndex)
		}
		if at := l.Checkpoint().Index; at+1 < first {
			t.Fatalf("the log starts at %d and its checkpoint is at %d", first, at)
		}
		if term, err := l.Term(first - 1); err != nil || term != 1 {
			t.Fatalf("term %d, %v of the entry before the first", term, err)
		}
	}
	check()
	for range 2 { // also from the checkpoint of before, and after a kill
		crash(t, s)
		s = openStore(t, dir)
		l = openLog(t, s, o)
		check()
		commands(t, l, 60)
		check()
	}
}

// Without a checkpoint nothing goes, however many segments there are; and a new one is wanted only when as many segments could go
// as stay.
func TestFoldedEntriesStayUntilACheckpointHasThem(t *testing.T) {
	s := openStore(t, t.TempDir())
	l := openLog(t, s, LogOptions{SegmentBytes: smallSegment, KeepSegments: 2})
	wanted := 0
	for len(l.Segments()) < 8 {
		last, _ := l.LastIndex()
		appendAll(t, l, Write{Commit: last + 1, Entries: []*raftpb.Entry{entry(last+1, 1, commandData(string(filler(4000)), startMS))}})
		l.SetApplied(last + 1)
		must(t, l.Maintain())
		if n := len(l.Segments()); l.WantsCheckpoint() != (n >= 4) {
			t.Fatalf("a checkpoint is wanted: %v, with %d segments", l.WantsCheckpoint(), n)
		} else if n >= 4 {
			wanted++
		}
	}
	if first, _ := l.FirstIndex(); first != 2 || wanted == 0 {
		t.Fatalf("the log starts at %d and no checkpoint has what went", first)
	}
}

// Whoever is installed from the log holds its tail until it has become a learner (RULES 8).
func TestFoldedEntriesStayForAShipment(t *testing.T) {
	s := openStore(t, t.TempDir())
	l := openLog(t, s, LogOptions{SegmentBytes: smallSegment, KeepSegments: 2})
	commands(t, l, 20)
	last, _ := l.LastIndex()
	sh, err := l.Ship(t.Context(), Checkpoint{Index: last, Term: 1, Conf: founders()})
	must(t, err)
	must(t, sh.Installed())
	commands(t, l, 100)
	if first, _ := l.FirstIndex(); first > last+1 {
		t.Fatalf("the log starts at %d; the one that was installed up to %d cannot go on", first, last)
	}
}
