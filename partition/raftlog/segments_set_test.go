package raftlog

import (
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"
)

// A log that runs goes by another size and age of segments from its next append on, in both directions.
func TestSegmentsAreFullByWhatIsSetLast(t *testing.T) {
	c := &testClock{ms: startMS}
	s := openStore(t, t.TempDir(), func(o *Options) { o.Clock = c })
	l := openLog(t, s, LogOptions{SegmentBytes: 1 << 20})
	index := uint64(2)
	more := func(n int) int {
		t.Helper()
		before := len(l.Segments())
		for range n {
			e := entry(index, 1, batchData(t, int64(index)-2, 1, c.ms, 1, 4000))
			appendAll(t, l, Write{Commit: index, Entries: []*raftpb.Entry{e}})
			index++
		}
		return len(l.Segments()) - before
	}
	if n := more(20); n != 0 {
		t.Fatalf("%d segments more after 80 KB of 1 MiB", n)
	}
	l.SetSegments(16<<10, 0)
	if n := more(20); n < 4 || n > 10 {
		t.Errorf("%d segments more after 80 KB in ones of 16 KiB", n)
	}
	l.SetSegments(0, 0) // as the store has it
	if n := more(20); n != 0 {
		t.Errorf("%d segments more after 80 KB of 256 MiB", n)
	}
	l.SetSegments(0, time.Minute)
	c.ms += 2 * time.Minute.Milliseconds()
	if n := more(1); n != 1 {
		t.Errorf("%d segments more after two minutes in ones of a minute", n)
	}
}

// A follower that catches up on what was appended long ago must not take each of its segments for old, nor make as many files as it gets entries.
func TestEntriesFromLongAgoShareASegment(t *testing.T) {
	c := &testClock{ms: startMS + (2 * time.Hour).Milliseconds()}
	s := openStore(t, t.TempDir(), func(o *Options) { o.Clock = c })
	l := openLog(t, s, LogOptions{SegmentAge: time.Hour})
	at := func(index uint64, ms int64) {
		e := entry(index, 1, batchData(t, int64(index)-2, 1, ms, 1, 100))
		appendAll(t, l, Write{Commit: index, Entries: []*raftpb.Entry{e}})
	}
	for index := range uint64(50) {
		at(2+index, startMS+int64(index))
	}
	if n := len(l.Segments()); n != 1 {
		t.Errorf("50 entries of 50 ms are in %d segments", n)
	}
	at(52, startMS+time.Hour.Milliseconds()) // an hour after the first
	if n := len(l.Segments()); n != 2 {
		t.Errorf("%d segments after an hour of the log, want 2", n)
	}
}
