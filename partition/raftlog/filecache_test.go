package raftlog

import (
	"bytes"
	"errors"
	"os"
	"runtime"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

// However many segments and idle replicas there are, the open files stay within the budgets, and all still work.
func TestOpenFilesStayWithinTheBudget(t *testing.T) {
	s := openStore(t, t.TempDir(), func(o *Options) {
		o.Hooks.NoSync = true
		o.MaxOpenSealed, o.MaxOpenActive = 3, 4
	})
	var logs []*Log
	for i := uint64(1); i <= 8; i++ {
		must(t, s.Create(i, i, founders()))
		l, err := s.OpenLog(i, i, LogOptions{SegmentBytes: smallSegment})
		must(t, err)
		fillSegments(t, l, 30)
		appendAll(t, l, Write{Commit: 31})
		l.SetApplied(31)
		must(t, l.Maintain())
		forget(l)
		logs = append(logs, l)
	}
	for range 2 {
		for _, l := range logs {
			if n := len(readAll(t, l, 0, 30, 9000)); n != 30 {
				t.Fatalf("%d batches", n)
			}
			last, _ := l.LastIndex()
			appendAll(t, l, Write{Entries: batches(t, last+1, 1, l.LastNext(), 1, 100)})
			if n := testutil.ToFloat64(s.m.openFiles); n > 7 {
				t.Fatalf("%v files open", n)
			}
		}
	}
	for _, l := range logs {
		must(t, l.Close())
	}
	if n := testutil.ToFloat64(s.m.openFiles); n != 0 {
		t.Fatalf("%v files leaked", n)
	}
}

// A clean stop is marked, and only until the next start: after anything else cached pages are not trusted.
func TestOnlyACleanStopIsTrusted(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	if !s.unclean {
		t.Fatal("a new folder counts as stopped cleanly")
	}
	must(t, s.Close())
	s = openStore(t, dir)
	if s.unclean {
		t.Fatal("a clean stop was forgotten")
	}
	crash(t, s)
	s = openStore(t, dir)
	if !s.unclean {
		t.Fatal("a crash counts as a clean stop")
	}
	l := openLog(t, s, LogOptions{})
	appendAll(t, l, Write{Entries: batches(t, 2, 1, 0, 3, 100)})
	crash(t, s)
	s = openStore(t, dir)
	l = openLog(t, s, LogOptions{})
	if last, _ := l.LastIndex(); last != 4 {
		t.Fatalf("last %d", last)
	}
}

func TestDeleteRemovesDataAndIsFinishedAfterACrash(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	l := openLog(t, s, LogOptions{})
	if err := s.Delete(testGroup, testReplica); err == nil {
		t.Fatal("deleted an open log")
	}
	must(t, l.Close())
	must(t, s.changeRecord(l.id, func(r *metaRecord) { r.flags |= recordDeleting }, ""))
	crash(t, s) // before the folder went
	s = openStore(t, dir)
	if len(s.Replicas()) != 0 {
		t.Fatal("the deletion was not finished")
	}
	must(t, s.Delete(testGroup, testReplica))
	if _, err := os.Stat(l.dir); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("the data is still there: %v", err)
	}
}

// Between closing a sealed file and forgetting it nobody can open it again: the cache would not know it, and it would stay
// open for good.
func TestSealedFileIsForgottenBeforeItCanBeOpenedAgain(t *testing.T) {
	s := openStore(t, t.TempDir())
	l := openLog(t, s, LogOptions{})
	appendAll(t, l, Write{Commit: 2, Entries: batches(t, 2, 1, 0, 1, 100)})
	f := l.segs[0].file
	s.files.mu.Lock() // holds seal up where it forgets the file
	sealed := make(chan struct{})
	go func() {
		defer close(sealed)
		f.seal()
	}()
	for stack := make([]byte, 1<<20); !bytes.Contains(stack[:runtime.Stack(stack, true)], []byte("(*fileCache).forget")); {
		runtime.Gosched()
	}
	free := f.mu.TryLock()
	s.files.mu.Unlock()
	if free {
		f.mu.Unlock()
		t.Fatal("the file could be opened while seal was about to forget it")
	}
	<-sealed
	if n := len(readAll(t, l, 0, 1, 100)); n != 1 {
		t.Fatalf("%d batches", n)
	}
	forget(l)
	if n := len(readAll(t, l, 0, 1, 100)); n != 1 {
		t.Fatalf("%d batches", n)
	}
	if f.cached.in != &s.files.sealed || s.files.sealed.l.Len() != 1 {
		t.Fatal("the cache does not know the open file")
	}
}
