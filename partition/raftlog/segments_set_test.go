package raftlog

import (
	"testing"
	"time"
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
			appendAll(t, l, Write{Commit: index, Entries: batches(t, index, 1, int64(index)-2, 1, 4000)})
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
