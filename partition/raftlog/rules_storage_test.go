package raftlog

import (
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
)

func indexes(ents []*raftpb.Entry) (out []uint64) {
	for _, e := range ents {
		out = append(out, e.GetIndex())
	}
	return out
}

// What lies above applied is in memory right after an open, and never leaves it, however small the budget.
func TestRule18TailIsPinnedAboveApplied(t *testing.T) {
	dir := t.TempDir()
	reg := prometheus.NewRegistry()
	tiny := func(o *Options) { o.TailBytes = 1 << 10; o.Registerer = reg }
	s := openStore(t, dir, tiny)
	l := openLog(t, s, LogOptions{})
	ents := batches(t, 2, 1, 0, 50, 3000)
	for _, e := range ents {
		appendAll(t, l, Write{Entries: []*raftpb.Entry{e}})
	}
	check := func(applied uint64) {
		t.Helper()
		for lo := applied + 1; lo <= 51; lo++ {
			got, err := l.Entries(lo, 52, 5000)
			if err != nil || len(got) != 1 || sameEntry(got[0], ents[lo-2]) != nil {
				t.Fatalf("entries from %d, applied %d: %v, %v", lo, applied, indexes(got), err)
			}
		}
		if n := testutil.ToFloat64(s.m.inlineReads); n != 0 {
			t.Fatalf("%v reads made the worker wait", n)
		}
	}
	check(1)
	appendAll(t, l, Write{Commit: 20})
	l.SetApplied(20)
	l.evict(^uint64(0))
	check(20)
	if l.tail.first != 21 {
		t.Fatalf("the tail starts at %d after an eviction, applied is 20", l.tail.first)
	}
	crash(t, s)

	reg = prometheus.NewRegistry()
	s = openStore(t, dir, tiny)
	l = openLog(t, s, LogOptions{})
	check(l.FoldTo())

	// A new leader commits what was uncommitted before the restart: raft reads it in Ready and in the campaign scan.
	rn := newNode(t, l, 1)
	term, commit := uint64(2), uint64(51)
	must(t, rn.Step(&raftpb.Message{Type: raftpb.MsgHeartbeat.Enum(), From: ptr(2), To: ptr(1), Term: &term, Commit: &commit}))
	if n := len(rn.Ready().CommittedEntries); n == 0 {
		t.Fatal("nothing to apply")
	}
	must(t, rn.Campaign())
}

func ptr(v uint64) *uint64 { return &v }

// When memory lost what it must have, the worker reads in place and a metric tells.
func TestRule18MissAboveAppliedIsReadInline(t *testing.T) {
	s := openStore(t, t.TempDir())
	l := openLog(t, s, LogOptions{})
	ents := batches(t, 2, 1, 0, 10, 3000)
	appendAll(t, l, Write{Entries: ents})
	forget(l)
	l.mu.Lock()
	l.applied = 1
	l.mu.Unlock()
	got, err := l.Entries(2, 12, 1<<20)
	must(t, err)
	if len(got) != 10 || testutil.ToFloat64(s.m.inlineReads) != 1 {
		t.Fatalf("%d entries, %v inline reads", len(got), testutil.ToFloat64(s.m.inlineReads))
	}
}

// A send that misses: ErrCompacted, then one "not now" from Snapshot, then, when the prefetch ended, the entries.
func TestRule18MissForSendingPrefetches(t *testing.T) {
	s := openStore(t, t.TempDir())
	var runs []func()
	ready := 0
	l := openLog(t, s, LogOptions{Spawn: func(run func()) { runs = append(runs, run) }, Ready: func() { ready++ }})
	ents := batches(t, 2, 1, 0, 300, 40_000)
	for i := 0; i < len(ents); i += 50 {
		appendAll(t, l, Write{Commit: uint64(i) + 51, Entries: ents[i : i+50]})
	}
	l.SetApplied(301)
	forget(l)
	for range 3 {
		if _, err := l.Entries(5, 302, 100_000); !errors.Is(err, raft.ErrCompacted) {
			t.Fatalf("a miss answers %v", err)
		}
	}
	if len(runs) != 1 {
		t.Fatalf("%d prefetches for one place", len(runs))
	}
	if _, err := l.Snapshot(); !errors.Is(err, raft.ErrSnapshotTemporarilyUnavailable) {
		t.Fatalf("snapshot after a miss: %v", err)
	}
	snap, err := l.Snapshot()
	if err != nil || snap.GetMetadata().GetIndex() != 1 || len(snap.GetMetadata().GetConfState().GetVoters()) != 3 {
		t.Fatalf("the flag was not consumed: %v, %v", snap, err)
	}
	misses := 0
	for next := uint64(5); next <= 301; {
		got, err := l.Entries(next, 302, 100_000)
		if errors.Is(err, raft.ErrCompacted) {
			misses++
		}
		for len(runs) > 0 {
			run := runs[0]
			runs = runs[1:]
			run()
		}
		for _, e := range got {
			must(t, sameEntry(e, ents[next-2]))
			next++
		}
	}
	if misses != 1 || ready < 2 {
		t.Fatalf("%d misses on the way, %d times ready: reading ahead does not work", misses, ready)
	}
	if got, err := l.Entries(l.first, l.first+1, 1); !errors.Is(err, raft.ErrCompacted) {
		t.Fatalf("entries %v, %v", indexes(got), err)
	}
	must(t, l.Close())
}

func TestRule18TermNeverMisses(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	l := openLog(t, s, LogOptions{SegmentBytes: smallSegment})
	want := []uint64{0, 1}
	base := int64(0)
	for i := uint64(2); i < 60; i++ {
		term := 1 + i/7
		appendAll(t, l, Write{Term: term, Commit: i, Entries: batches(t, i, term, base, 1, 4096)})
		base++
		want = append(want, term)
	}
	l.SetApplied(59)
	check := func() {
		t.Helper()
		fi, _ := l.FirstIndex()
		for i := fi - 1; i < 60; i++ {
			if term, err := l.Term(i); err != nil || term != want[i] {
				t.Fatalf("term of %d: %d, %v, want %d", i, term, err, want[i])
			}
		}
		if _, err := l.Term(60); !errors.Is(err, raft.ErrUnavailable) {
			t.Fatalf("term above the end: %v", err)
		}
	}
	forget(l)
	check()
	l.OfferCheckpoint(Checkpoint{Index: 59, Term: want[59], Conf: founders(), Next: base})
	must(t, l.Maintain())
	l.Trim(30)
	must(t, l.Maintain())
	fi, _ := l.FirstIndex()
	if fi <= 20 {
		t.Fatalf("first index %d", fi)
	}
	check()
	if _, err := l.Term(fi - 2); !errors.Is(err, raft.ErrCompacted) {
		t.Fatalf("term below the log: %v", err)
	}
	crash(t, s)
	s = openStore(t, dir)
	l = openLog(t, s, LogOptions{SegmentBytes: smallSegment})
	check()
}

// One budget for all logs: the oldest bytes of the broker go first, whosever they are.
func TestTailBudgetIsSharedByAllLogs(t *testing.T) {
	s := openStore(t, t.TempDir(), func(o *Options) { o.TailBytes = 1 << 20; o.Hooks.NoSync = true })
	var logs []*Log
	for i := uint64(1); i <= 4; i++ {
		must(t, s.Create(i, i, founders()))
		l, err := s.OpenLog(i, i, LogOptions{})
		must(t, err)
		logs = append(logs, l)
	}
	write := func(l *Log, n int) {
		last, _ := l.LastIndex()
		appendAll(t, l, Write{Commit: last + uint64(n), Entries: batches(t, last+1, 1, l.LastNext(), n, 10_000)})
		l.SetApplied(last + uint64(n))
	}
	write(logs[0], 80)
	if logs[0].tail.len() != 80 {
		t.Fatalf("%d entries in memory, all fit", logs[0].tail.len())
	}
	for range 40 {
		write(logs[1], 10)
	}
	if n := logs[0].tail.len(); n != 0 {
		t.Fatalf("an idle log keeps %d entries while others need the memory", n)
	}
	if used := s.tails.used.Load(); used > 1<<20+200_000 {
		t.Fatalf("%d bytes in use", used)
	}
	for _, l := range logs {
		must(t, l.Close())
	}
	if used := s.tails.used.Load(); used != 0 {
		t.Fatalf("%d bytes leaked", used)
	}
}

// Readers, prefetches, the worker and the append task at once, with truncations and trims under the readers.
func TestReadersDoNotDisturbTheAppendTask(t *testing.T) {
	s := openStore(t, t.TempDir(), func(o *Options) {
		o.Hooks.NoSync = true
		o.MaxOpenSealed, o.MaxOpenActive, o.TailBytes = 1, 1, 32<<10
	})
	l := openLog(t, s, LogOptions{SegmentBytes: smallSegment})
	var wg sync.WaitGroup
	var mu sync.Mutex
	hw, stop := int64(0), false
	state := func() (int64, bool) {
		mu.Lock()
		defer mu.Unlock()
		return hw, stop
	}
	for range 3 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for done := false; !done; {
				var limit int64
				limit, done = state()
				start := l.StartOffset()
				out, next, err := l.ReadBatches(start, limit, 50_000, nil)
				switch {
				case errors.Is(err, ErrTrimmed):
				case err != nil:
					t.Error(err)
					return
				case limit > start && (next == start || len(out) == 0):
					t.Errorf("nothing read at %d below %d", start, limit)
					return
				}
				if _, _, err := l.BatchAtTime(startMS+start, limit); err != nil {
					t.Error(err)
					return
				}
			}
		}()
	}
	wg.Add(1)
	go func() { // what a lagging follower has read ahead: always the next to be trimmed
		defer wg.Done()
		for done := false; !done; {
			_, done = state()
			fi, _ := l.FirstIndex()
			l.prefetch(fi)
		}
	}()
	index, base, term := uint64(2), int64(0), uint64(1)
	for round := range 120 {
		ents := batches(t, index, term, base, 6, 3000)
		appendAll(t, l, Write{Term: term, Entries: ents})
		// Half of it is committed, the rest overwritten by the next round.
		index, base, term = index+3, base+3, term+1
		appendAll(t, l, Write{Commit: index - 1})
		l.SetApplied(index - 1)
		mu.Lock()
		hw = base
		mu.Unlock()
		if round%10 == 9 {
			tm, err := l.Term(index - 1)
			must(t, err)
			l.OfferCheckpoint(Checkpoint{Index: index - 1, Term: tm, Conf: founders(), Next: base})
			must(t, l.Maintain())
			l.Trim(base - 20)
			must(t, l.Maintain())
		}
	}
	mu.Lock()
	stop = true
	mu.Unlock()
	wg.Wait()
	if err := l.failed(); err != nil {
		t.Fatal(err)
	}
	if got := readAll(t, l, l.StartOffset(), base, 1<<20); !slices.Contains(got, base-1) {
		t.Fatalf("the last batch is missing: %v", got)
	}
}
