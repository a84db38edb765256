package raftlog

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/runnel-io/runnel/partition/env"
)

// waitClock fires each timer at once, or never, and counts the waits.
type waitClock struct {
	testClock
	never bool
	waits []time.Duration
	asked chan struct{} // told of each timer, if not nil
}

type firedTimer struct{}

func (firedTimer) Stop() bool               { return false }
func (firedTimer) Reset(time.Duration) bool { return false }

func (c *waitClock) AfterFunc(d time.Duration, f func()) env.Timer {
	c.waits = append(c.waits, d)
	if c.asked != nil {
		c.asked <- struct{}{}
	}
	if !c.never {
		f()
	}
	return firedTimer{}
}

// scarce lets opening paths with a suffix fail n times after it went well skip times; n of -1 = always.
type scarce struct {
	suffix  string
	skip, n int
	code    error
}

func (s *scarce) open(path string) error {
	if s.n == 0 || s.suffix == "" || !strings.HasSuffix(path, s.suffix) {
		return nil
	}
	if s.skip > 0 {
		s.skip--
		return nil
	}
	s.n--
	return s.code
}

// scarceLog is a log with one full segment whose file is closed; the next entry rolls.
func scarceLog(t *testing.T, dir string, clock *waitClock, sc *scarce) (*Store, *Log) {
	t.Helper()
	clock.ms = startMS
	s := openStore(t, dir, func(o *Options) {
		o.Clock, o.Hooks.Open = clock, sc.open
	})
	l := openLog(t, s, LogOptions{SegmentBytes: smallSegment})
	for n := uint64(0); l.segs[0].bytes+4096+entryHeaderLen <= smallSegment; n++ {
		appendAll(t, l, Write{Entries: batches(t, n+2, 1, int64(n), 1, 4000)})
	}
	closeFiles(t, l)
	return s, l
}

func closeFiles(t *testing.T, l *Log) {
	t.Helper()
	for _, seg := range l.segs {
		if !seg.file.closeIdle() {
			t.Fatal("a file is in use")
		}
	}
}

// Wherever an append has to open something, it waits for a shortage to end and then goes on as if nothing had been.
func TestAppendWaitsForAShortageToEnd(t *testing.T) {
	for _, tc := range []struct {
		name, suffix string
		index        func(l *Log) uint64 // of the first entry to write
		size         int
	}{
		{"file", segName(2), func(l *Log) uint64 { return l.last + 1 }, 10},
		{"new file", tmpSuffix, func(l *Log) uint64 { return l.last + 1 }, 9000},
		{"folder of a new file", "7-0000000000000003", func(l *Log) uint64 { return l.last + 1 }, 9000},
		{"truncated file", segName(2), func(*Log) uint64 { return 3 }, 10},
	} {
		for _, code := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM} {
			t.Run(tc.name+" "+code.Error(), func(t *testing.T) {
				clock, sc := &waitClock{}, &scarce{code: code}
				s, l := scarceLog(t, t.TempDir(), clock, sc)
				at := tc.index(l)
				ents := batches(t, at, 2, int64(at)-2, 3, tc.size)
				sc.suffix, sc.n = tc.suffix, 3
				must(t, l.Append([]Write{{Term: 2, Vote: 1, Entries: ents}}))
				must(t, l.failed())
				checkEntries(t, l, ents)
				if !slices.Equal(clock.waits, shortageWaits[:3]) || testutil.ToFloat64(s.m.shortages) != 3 {
					t.Fatalf("waited %v, counted %v", clock.waits, testutil.ToFloat64(s.m.shortages))
				}
			})
		}
	}
}

// A shortage that lasts ends the append with an error that leaves the log as it was, and the same call works later: also one
// that overwrites entries and tells that what replaces them is committed.
func TestAppendThatCouldNotBeginMayBeMadeAgain(t *testing.T) {
	for _, tc := range []struct {
		name, suffix string
		from         func(l *Log) uint64
	}{
		{"at the end", tmpSuffix, func(l *Log) uint64 { return l.last + 1 }},
		{"folder", "7-0000000000000003", func(l *Log) uint64 { return l.last + 1 }},
		{"over uncommitted entries", segName(2), func(*Log) uint64 { return 3 }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			clock, sc := &waitClock{}, &scarce{code: syscall.EMFILE}
			s, l := scarceLog(t, dir, clock, sc)
			last, at := l.last, tc.from(l)
			ents := batches(t, at, 2, int64(at)-2, 3, 9000)
			ws := []Write{{Term: 2, Vote: 1, Commit: at + 2, Entries: ents}}
			sc.suffix, sc.n = tc.suffix, -1
			var short *ResourceError
			var p *PoisonedError
			if err := l.Append(ws); !errors.As(err, &short) || errors.As(err, &p) || !errors.Is(err, syscall.EMFILE) {
				t.Fatalf("answers %v", err)
			}
			if !slices.Equal(clock.waits, shortageWaits[:]) {
				t.Fatalf("waited %v", clock.waits)
			}
			must(t, l.failed())
			if files, err := filepath.Glob(filepath.Join(l.dir, "*"+segSuffix)); err != nil || len(files) != 1 || l.last != last {
				t.Fatalf("files %v, last %d, was %d, %v", files, l.last, last, err)
			}
			sc.n = 0
			must(t, l.Append(ws))
			checkEntries(t, l, ents)
			if l.commit != at+2 {
				t.Fatalf("commit %d, told %d", l.commit, at+2)
			}
			crash(t, s)
			l = openLog(t, openStore(t, dir), LogOptions{SegmentBytes: smallSegment})
			checkEntries(t, l, ents)
			if hs, _, _ := l.InitialState(); hs.GetTerm() != 2 || hs.GetCommit() != at+2 {
				t.Fatalf("state %v", hs)
			}
		})
	}
}

// A folder is opened once, before what its sync is for: a shortage that begins right after it stops nothing half way.
func TestShortageCannotComeBetweenAChangeAndItsSync(t *testing.T) {
	sc := &scarce{code: syscall.EMFILE}
	_, l := scarceLog(t, t.TempDir(), &waitClock{}, sc)
	scarcely := func(f func() error) {
		t.Helper()
		sc.suffix, sc.skip, sc.n = filepath.Base(l.dir), 1, -1
		must(t, f())
		sc.n = 0
	}
	base := l.next
	roll := batches(t, l.last+1, 1, base, 1, 9000)
	scarcely(func() error { return l.Append([]Write{{Entries: roll}}) })
	for i := range int64(20) {
		appendAll(t, l, Write{Entries: batches(t, l.last+1, 1, base+1+i, 1, 9000)})
	}
	if len(l.segs) < 4 {
		t.Fatalf("%d segments", len(l.segs))
	}
	at := l.segs[2].first + 1
	scarcely(func() error { return l.Append([]Write{{Term: 2, Entries: batches(t, at, 2, l.segs[2].base+1, 1, 10)}}) })
	appendAll(t, l, Write{Commit: l.last})
	l.SetApplied(l.last)
	l.OfferCheckpoint(Checkpoint{Index: l.last, Term: 2, Conf: founders(), Next: l.next})
	must(t, l.Maintain())
	l.Trim(l.next)
	scarcely(l.Maintain)
	if len(l.segs) != 1 {
		t.Fatalf("%d segments", len(l.segs))
	}
}

// Several files go in a truncation. The folder is opened before the first, so that none is gone without a sync.
func TestShortageStopsATruncationBeforeAFileIsGone(t *testing.T) {
	clock, sc := &waitClock{testClock: testClock{ms: startMS}}, &scarce{code: syscall.EMFILE}
	s := openStore(t, t.TempDir(), func(o *Options) { o.Clock, o.Hooks.Open = clock, sc.open })
	l := openLog(t, s, LogOptions{SegmentBytes: smallSegment})
	before := fillSegments(t, l, 40)
	ws := []Write{{Term: 2, Entries: batches(t, 4, 2, 2, 2, 100)}}
	sc.suffix, sc.n = filepath.Base(l.dir), -1
	if err := l.Append(ws); !isShortage(err) {
		t.Fatalf("answers %v", err)
	}
	checkEntries(t, l, before)
	sc.n = 0
	must(t, l.Append(ws))
	checkEntries(t, l, append(before[:2:2], ws[0].Entries...))
}

// The same error from within a commit, or after a part of the call was written, is in doubt as any other.
func TestShortageInTheMiddleOfAWriteIsPoison(t *testing.T) {
	hook := &commitHook{}
	s := openStore(t, t.TempDir(), func(o *Options) { o.Hooks = hook.hooks() })
	l := openLog(t, s, LogOptions{})
	hook.set(func(path string) error {
		if strings.HasSuffix(path, segSuffix) {
			return syscall.ENOMEM
		}
		return nil
	}, nil)
	var p *PoisonedError
	if err := l.Append([]Write{{Entries: batches(t, 2, 1, 0, 1, 10)}}); !errors.As(err, &p) || isShortage(err) {
		t.Fatalf("answers %v", err)
	}

	sc := &scarce{code: syscall.EMFILE}
	s, l = scarceLog(t, t.TempDir(), &waitClock{}, sc)
	sc.suffix, sc.n = tmpSuffix, -1
	ents := append(batches(t, l.last+1, 1, l.next, 1, 10), batches(t, l.last+2, 1, l.next+1, 3, 9000)...)
	if err := l.Append([]Write{{Entries: ents}}); !errors.As(err, &p) || isShortage(err) {
		t.Fatalf("answers %v", err)
	}
	if s.Replicas()[0].Quarantine == "" {
		t.Fatal("not quarantined")
	}
}

func TestCloseEndsTheWaitForResources(t *testing.T) {
	clock, sc := &waitClock{asked: make(chan struct{})}, &scarce{code: syscall.EMFILE}
	clock.never = true
	s, l := scarceLog(t, t.TempDir(), clock, sc)
	sc.suffix, sc.n = tmpSuffix, -1
	done := make(chan error)
	ents := batches(t, l.last+1, 1, l.next, 1, 9000)
	go func() { done <- l.Append([]Write{{Entries: ents}}) }()
	<-clock.asked
	must(t, l.Close())
	if err := <-done; !isShortage(err) {
		t.Fatalf("answers %v", err)
	}
	if q := s.Replicas()[0].Quarantine; q != "" {
		t.Fatalf("quarantined: %s", q)
	}
}

// Upkeep is put off, never waited for, and done by the next call. A stop without its last checkpoint costs nothing but a
// longer start.
func TestUpkeepIsPutOffInAShortage(t *testing.T) {
	dir := t.TempDir()
	clock, sc := &waitClock{}, &scarce{code: syscall.ENFILE}
	s := openStore(t, dir, func(o *Options) { o.Clock, o.Hooks.Open = clock, sc.open })
	clock.ms = startMS
	l := coldLog(t, s, LogOptions{SegmentAge: time.Hour})
	n := len(l.segs)
	l.Trim(l.LastNext())
	clock.ms += 2 * time.Hour.Milliseconds()
	appendAll(t, l, Write{Entries: batches(t, 42, 1, l.next, 1, 10), Commit: 42})
	l.SetApplied(42)
	l.OfferCheckpoint(Checkpoint{Index: 42, Term: 1, Conf: founders(), Next: l.next})
	closeFiles(t, l)
	for _, suffix := range []string{segSuffix, tmpSuffix, filepath.Base(l.dir)} {
		sc.suffix, sc.n = suffix, -1
		must(t, l.Maintain())
		must(t, l.failed())
		if got := len(l.segs); got < n {
			t.Fatalf("%d segments with %q, were %d", got, suffix, n)
		}
	}
	sc.n = 0
	must(t, l.Maintain())
	if len(l.segs) != 2 || l.ckpt.Index != 42 || len(clock.waits) != 0 {
		t.Fatalf("%d segments, checkpoint %d, waited %v", len(l.segs), l.ckpt.Index, clock.waits)
	}
	appendAll(t, l, Write{Entries: batches(t, 43, 1, l.next, 1, 10), Commit: 43})
	l.OfferCheckpoint(Checkpoint{Index: 43, Term: 1, Conf: founders(), Next: l.next})
	closeFiles(t, l)
	sc.suffix, sc.n = segSuffix, -1
	if err := l.Close(); !isShortage(err) {
		t.Fatalf("close answers %v", err)
	}
	sc.n = 0
	l = openLog(t, s, LogOptions{})
	if l.last != 43 || l.ckpt.Index != 42 {
		t.Fatalf("last %d, checkpoint %d", l.last, l.ckpt.Index)
	}
}

func TestOpenFilesByDefaultLeaveHalfOfTheLimits(t *testing.T) {
	for _, tc := range []struct {
		descriptors, mappings uint64
		sealed, active        int
	}{
		{1 << 40, 1 << 40, 256, 1024},
		{1 << 20, 65530, 256, 1024},
		{4096, 65530, 256, 1024},
		{1024, 65530, 128, 384},
		{1 << 20, 2000, 250, 750},
		{16, 16, 8, 8},
	} {
		sealed, active := openFiles(tc.descriptors, tc.mappings)
		if sealed != tc.sealed || active != tc.active {
			t.Errorf("%d descriptors, %d mappings: %d sealed, %d active, want %d, %d", tc.descriptors, tc.mappings, sealed, active, tc.sealed, tc.active)
		}
	}
	s := openStore(t, t.TempDir())
	if sealed, active := openFiles(systemLimits()); s.files.sealed.max != sealed || s.files.active.max != active {
		t.Fatalf("a store keeps %d, %d open, want %d, %d", s.files.sealed.max, s.files.active.max, sealed, active)
	}
	s = openStore(t, t.TempDir(), func(o *Options) { o.MaxOpenSealed, o.MaxOpenActive = 5, 6 })
	if s.files.sealed.max != 5 || s.files.active.max != 6 {
		t.Fatal("what was asked for is not what is kept open")
	}
}
