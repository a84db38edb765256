package raftlog

import (
	"errors"
	"path/filepath"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"
	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"

	"github.com/runnel-io/runnel/partition/record"
)

// coldLog is a log of several segments, all applied and out of memory, with a checkpoint at its end. Trims can take all but
// the newest segment.
func coldLog(t *testing.T, s *Store, o LogOptions) *Log {
	t.Helper()
	o.SegmentBytes = smallSegment
	l := openLog(t, s, o)
	fillSegments(t, l, 40)
	appendAll(t, l, Write{Commit: 41})
	l.SetApplied(41)
	l.OfferCheckpoint(Checkpoint{Index: 41, Term: 1, Conf: founders(), Next: l.LastNext()})
	must(t, l.Maintain())
	forget(l)
	return l
}

// dropTrimmed takes the segments below FirstIndex out of the log as Maintain does, but lets a file be opened meanwhile.
func dropTrimmed(l *Log) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.segs[0].last < l.first {
		l.segs = l.segs[1:]
	}
}

// Retention overtakes a prefetch that waits for its turn: no damage, and the replica goes on.
func TestPrefetchOfWhatWasTrimmedIsNoDamage(t *testing.T) {
	s := openStore(t, t.TempDir())
	var later []func()
	ready := 0
	l := coldLog(t, s, LogOptions{Spawn: func(run func()) { later = append(later, run) }, Ready: func() { ready++ }})
	if _, err := l.Entries(2, 10, 1<<20); !errors.Is(err, raft.ErrCompacted) {
		t.Fatalf("a miss answers %v", err)
	}
	if !l.Trim(l.LastNext()) {
		t.Fatal("nothing to unlink")
	}
	must(t, l.Maintain())
	for _, run := range later {
		run()
	}
	must(t, l.failed())
	if len(later) != 1 || ready != 1 || len(l.fetching) != 0 || len(l.windows) != 0 {
		t.Fatalf("%d prefetches, %d times ready, in flight %v, %d windows", len(later), ready, l.fetching, len(l.windows))
	}
	appendAll(t, l, Write{Entries: batches(t, 42, 1, l.LastNext(), 1, 10)})
	if info := s.Replicas(); info[0].Quarantine != "" {
		t.Fatalf("quarantined: %s", info[0].Quarantine)
	}
}

// The same when it is overtaken while it reads: the trim happens while the second of three segments is opened.
func TestReadsThatATrimOvertakesAreNoDamage(t *testing.T) {
	for _, tc := range []struct {
		name string
		read func(l *Log) error
		want error
	}{
		{"prefetch", func(l *Log) error { l.prefetch(2); return nil }, nil},
		{"entries", func(l *Log) error { _, err := l.readEntries(2, 40, 1<<30); return err }, raft.ErrCompacted},
		{"fold", func(l *Log) error {
			return l.FoldEntries(2, 40, func(record.Meta, []byte) error { return nil })
		}, raft.ErrCompacted},
		{"batches", func(l *Log) error { _, _, err := l.ReadBatches(0, 40, 1<<30, nil); return err }, ErrTrimmed},
		{"time", func(l *Log) error { _, _, err := l.BatchAtTime(startMS+8, 40); return err }, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var l *Log
			victim := ""
			s := openStore(t, t.TempDir(), func(o *Options) {
				o.MaxOpenSealed = 1
				o.Hooks.Opened = func(path string, _ *bolt.DB) {
					if victim != "" && filepath.Base(path) == victim {
						victim = ""
						l.Trim(l.LastNext())
						dropTrimmed(l)
					}
				}
			})
			l = coldLog(t, s, LogOptions{})
			victim = segName(l.Segments()[1].FirstIndex)
			if err := tc.read(l); !errors.Is(err, tc.want) {
				t.Fatalf("answers %v, want %v", err, tc.want)
			}
			if victim != "" {
				t.Fatal("the segment was never opened")
			}
			must(t, l.failed())
		})
	}
}

// Entries without records stand at the end of a segment, and a reader that knows it stands behind the last batch goes on
// there. Retention takes the segment: the reader moves on, since nothing it wants was in it.
func TestReaderBehindTheLastBatchOfATrimmedSegmentMovesOn(t *testing.T) {
	s := openStore(t, t.TempDir())
	l := openLog(t, s, LogOptions{SegmentBytes: smallSegment})
	appendAll(t, l, Write{Commit: 3, Entries: batches(t, 2, 1, 0, 2, 4096)})
	for i := uint64(4); len(l.Segments()) < 2; i++ {
		appendAll(t, l, Write{Commit: i, Entries: append(batches(t, i, 1, 0, 0, 0), entry(i, 1, commandData(string(filler(6000)), startMS)))})
	}
	last, _ := l.LastIndex()
	appendAll(t, l, Write{Commit: last + 1, Entries: batches(t, last+1, 1, 2, 1, 4096)})
	l.SetApplied(last + 1)
	l.OfferCheckpoint(Checkpoint{Index: last + 1, Term: 1, Conf: founders(), Next: 3})
	must(t, l.Maintain())
	forget(l)
	if got := readAll(t, l, 0, 2, 1<<20); len(got) != 2 {
		t.Fatalf("read %v", got)
	}
	l.mu.Lock()
	l.addHintLocked(2, 4) // where such a reader stopped
	l.mu.Unlock()
	l.Trim(2)
	l.segs[0].file.drop() // Maintain's first step; the segment is still listed
	if got := readAll(t, l, 2, 3, 1<<20); len(got) != 1 || got[0] != 2 {
		t.Fatalf("read %v", got)
	}
}

// A consumer's read that retention overtakes between two segments answers that the offset is gone, not an empty end.
func TestReadOfASegmentThatWentMeanwhileIsTrimmed(t *testing.T) {
	l := coldLog(t, openStore(t, t.TempDir()), LogOptions{})
	r := batchReader{l: l, limit: 40, max: 1 << 20}
	read := r.onDisk(0, 0, 0)
	if err := l.stableRead(read); err != nil || len(r.out) == 0 {
		t.Fatalf("%d bytes, %v", len(r.out), err)
	}
	l.Trim(l.LastNext())
	must(t, l.Maintain())
	if err := l.stableRead(read); !errors.Is(err, ErrTrimmed) {
		t.Fatalf("answers %v", err)
	}
}

// The controller's log takes no offsets and is never trimmed: however many segments lie below a checkpoint, a member that
// joins, or comes back late, finds it whole.
func TestLogThatNobodyTrimmedKeepsItsStart(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	l := openLog(t, s, LogOptions{SegmentBytes: smallSegment})
	put := func() {
		t.Helper()
		last, _ := l.LastIndex()
		appendAll(t, l, Write{Commit: last + 1, Entries: []*raftpb.Entry{entry(last+1, 1, commandData(string(filler(4000)), startMS))}})
		l.SetApplied(last + 1)
	}
	check := func() {
		t.Helper()
		must(t, l.Maintain())
		if fi, _ := l.FirstIndex(); fi != 2 || l.segs[0].first != 2 {
			t.Fatalf("first index %d, the first file starts at %d: the log lost its start", fi, l.segs[0].first)
		}
	}
	for range 40 {
		put()
	}
	if l.WantsCheckpoint() {
		t.Fatal("a checkpoint is wanted to remove what was never trimmed")
	}
	last, _ := l.LastIndex()
	l.OfferCheckpoint(Checkpoint{Index: last, Term: 1, Conf: founders()})
	check()
	put()
	if n := len(l.Segments()); n < 4 {
		t.Fatalf("%d segments", n)
	}
	if l.Trim(0) {
		t.Fatal("a trim to the start has files to remove")
	}
	check()
	must(t, s.Close())
	s = openStore(t, dir)
	l = openLog(t, s, LogOptions{SegmentBytes: smallSegment})
	put()
	check()
}

// Once retention passed a segment, the checkpoint that lets its file go is wanted at once, and once only; not by a log that
// was never trimmed, and not before applied has left the segment.
func TestTrimmedFilesDoNotWaitForACheckpointBySize(t *testing.T) {
	s := openStore(t, t.TempDir())
	l := openLog(t, s, LogOptions{SegmentBytes: smallSegment})
	fillSegments(t, l, 20)
	segs := l.Segments()
	newest := segs[len(segs)-1]
	appendAll(t, l, Write{Commit: 21})
	l.SetApplied(21)
	if l.WantsCheckpoint() {
		t.Fatal("a log that was never trimmed wants a checkpoint after 100 KB")
	}
	l.mu.Lock()
	l.applied = segs[1].FirstIndex - 2
	l.mu.Unlock()
	l.Trim(newest.Base)
	if l.WantsCheckpoint() {
		t.Fatal("no file can go yet, and yet a checkpoint is wanted")
	}
	l.SetApplied(20)
	if !l.WantsCheckpoint() {
		t.Fatal("trimmed files wait for a checkpoint that nobody wants")
	}
	l.OfferCheckpoint(Checkpoint{Index: 20, Term: 1, Conf: founders(), Next: 19, LogStart: newest.Base})
	l.SetApplied(21)
	if l.WantsCheckpoint() {
		t.Fatal("wanted again before it was written")
	}
	must(t, l.Maintain())
	if !l.Trim(newest.Base) {
		t.Fatal("nothing goes")
	}
	must(t, l.Maintain())
	if got := l.Segments(); len(got) != 1 || got[0].FirstIndex != newest.FirstIndex {
		t.Fatalf("segments %+v", got)
	}
	appendAll(t, l, Write{Commit: 22, Entries: batches(t, 22, 1, 20, 1, 10)})
	l.SetApplied(22)
	if l.WantsCheckpoint() {
		t.Fatal("wanted again with nothing to remove")
	}
}

// An idle partition's segment gets old without an append: Aged says so, once Maintain rolled it no more, and what retention
// then takes goes from the disk without one, too.
func TestIdleLogGetsOldAndGivesItsFilesBack(t *testing.T) {
	clock := &testClock{ms: startMS}
	s := openStore(t, t.TempDir(), func(o *Options) { o.Clock = clock })
	l := openLog(t, s, LogOptions{SegmentAge: time.Minute})
	appendAll(t, l, Write{Commit: 4, Entries: batches(t, 2, 1, 0, 3, 10)})
	l.SetApplied(4)
	if l.Aged() {
		t.Fatal("a new segment is old")
	}
	clock.ms += 2 * time.Minute.Milliseconds()
	if !l.Aged() {
		t.Fatal("a segment twice as old as segment.ms is not old")
	}
	must(t, l.Maintain())
	if n := len(l.Segments()); n != 2 || l.Aged() {
		t.Fatalf("%d segments, aged %v: an empty segment does not get old", n, l.Aged())
	}
	clock.ms += 2 * time.Minute.Milliseconds()
	if l.Aged() {
		t.Fatal("an empty segment got old")
	}
	appendAll(t, l, Write{Commit: 5, Entries: []*raftpb.Entry{entry(5, 1, commandData("trim", clock.ms))}})
	l.SetApplied(5)
	if l.Trim(3) || !l.WantsCheckpoint() {
		t.Fatal("the trimmed file does not wait for a checkpoint")
	}
	l.OfferCheckpoint(Checkpoint{Index: 5, Term: 1, Conf: founders(), Next: 3, LogStart: 3})
	must(t, l.Maintain())
	if fi, _ := l.FirstIndex(); fi != 2 {
		t.Fatalf("Maintain moved the first index to %d; only the worker may", fi)
	}
	if !l.Aged() {
		t.Fatal("the trimmed file is left for the next append")
	}
	must(t, l.Maintain())
	if got := l.Segments(); len(got) != 1 || got[0].FirstIndex != 5 || l.Aged() {
		t.Fatalf("segments %+v, aged %v", got, l.Aged())
	}
}

func TestSegmentAgeOfZeroNeverRolls(t *testing.T) {
	clock := &testClock{ms: startMS}
	s := openStore(t, t.TempDir(), func(o *Options) { o.Clock = clock })
	l := openLog(t, s, LogOptions{})
	appendAll(t, l, Write{Commit: 4, Entries: batches(t, 2, 1, 0, 3, 10)})
	clock.ms += 1e12
	if l.Aged() {
		t.Fatal("rolls by age without an age")
	}
}

// Upkeep comes about once a minute. A log that was just opened has segments that retention may take all the same: those that no truncation
// reaches, and none above.
func TestRule04SegmentsAreFinalForRetentionBeforeUpkeepSealsThem(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	l := openLog(t, s, LogOptions{SegmentBytes: smallSegment})
	fillSegments(t, l, 40)
	segs := l.Segments()
	middle := len(segs) / 2
	appendAll(t, l, Write{Commit: segs[middle].LastIndex})
	crash(t, s)
	l = openLog(t, openStore(t, dir), LogOptions{SegmentBytes: smallSegment})
	sealed := func() (n int) {
		for _, g := range l.Segments() {
			if !g.Sealed {
				break
			}
			n++
		}
		return n
	}
	l.SetApplied(segs[middle].LastIndex - 1)
	if got := sealed(); got != middle {
		t.Errorf("%d segments are final, want %d: the next one is applied but for its last entry", got, middle)
	}
	l.SetApplied(segs[len(segs)-1].LastIndex)
	if got := sealed(); got != len(segs)-1 {
		t.Errorf("%d segments are final, want %d: all but that which takes appends", got, len(segs)-1)
	}
}

// A truncation may leave a segment whose last entry has no append time: it is no older for that than its newest record.
func TestATruncatedSegmentIsNotAsOldAsItsFirstRecord(t *testing.T) {
	const day = 24 * time.Hour
	clock := &testClock{ms: startMS}
	s := openStore(t, t.TempDir(), func(o *Options) { o.Clock = clock })
	l := openLog(t, s, LogOptions{SegmentAge: 7 * day})
	record := func(index, term uint64, base int64) *raftpb.Entry {
		return entry(index, term, batchData(t, base, term, clock.ms, 1, 100))
	}
	old := record(2, 1, 0)
	clock.ms += (7*day - 10*time.Minute).Milliseconds()
	newest := clock.ms
	appendAll(t, l, Write{Term: 1, Vote: 1, Entries: []*raftpb.Entry{old, record(3, 1, 1)}, Commit: 3})
	// The record of the leader of term 2 gives way to the empty entry of that of term 3.
	appendAll(t, l, Write{Term: 2, Vote: 2, Entries: []*raftpb.Entry{entry(4, 2, nil), record(5, 2, 2)}, Commit: 4})
	appendAll(t, l, Write{Term: 3, Vote: 3, Entries: []*raftpb.Entry{entry(5, 3, nil)}, Commit: 5})
	l.SetApplied(5)
	clock.ms += (11 * time.Minute).Milliseconds() // of age
	must(t, l.Maintain())
	if seg := l.Segments()[0]; !seg.Sealed || seg.LastAppendMS < newest {
		t.Errorf("final %v, of an age of %s; its newest record's is 11 minutes", seg.Sealed, time.Duration(clock.ms-seg.LastAppendMS)*time.Millisecond)
	}
}
