package raftlog

import (
	"crypto/sha256"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	bolt "go.etcd.io/bbolt"
	"go.etcd.io/raft/v3/raftpb"
)

// fillSegments appends n entries of 4 KiB one by one into segments of 32 KiB.
func fillSegments(t *testing.T, l *Log, n int) []*raftpb.Entry {
	t.Helper()
	ents := batches(t, 2, 1, 0, n, 4096)
	for _, e := range ents {
		appendAll(t, l, Write{Entries: []*raftpb.Entry{e}})
	}
	return ents
}

const smallSegment = 32 << 10

func hashFile(t *testing.T, path string) [32]byte {
	t.Helper()
	b, err := os.ReadFile(path)
	must(t, err)
	return sha256.Sum256(b)
}

func TestRule04SealedOnlyWhenCommittedAndAppliedAndNeverTouchedAgain(t *testing.T) {
	s := openStore(t, t.TempDir())
	l := openLog(t, s, LogOptions{SegmentBytes: smallSegment})
	fillSegments(t, l, 40)
	sealed := func() (n int) {
		must(t, l.Maintain())
		for _, seg := range l.Segments() {
			if seg.Sealed {
				n++
			}
		}
		return n
	}
	segs := l.Segments()
	if len(segs) < 5 || sealed() != 0 {
		t.Fatalf("%d segments, %d sealed before any commit", len(segs), sealed())
	}
	commit := segs[1].LastIndex
	appendAll(t, l, Write{Commit: commit})
	if sealed() != 0 {
		t.Fatal("sealed what is committed but not applied")
	}
	l.SetApplied(commit)
	if sealed() != 2 {
		t.Fatalf("%d sealed, want 2", sealed())
	}
	// The harshest truncation raft can ask for: from the entry after commit on, where a segment starts.
	before := []([32]byte){hashFile(t, l.segs[0].file.path), hashFile(t, l.segs[1].file.path)}
	appendAll(t, l, Write{Term: 2, Entries: batches(t, commit+1, 2, segs[1].Next, 1, 100)})
	after := []([32]byte){hashFile(t, l.segs[0].file.path), hashFile(t, l.segs[1].file.path)}
	if !slices.Equal(before, after) {
		t.Fatal("a truncation wrote into a sealed file")
	}
	if last, _ := l.LastIndex(); last != commit+1 || len(l.Segments()) != 3 {
		t.Fatalf("last %d, %d segments", last, len(l.Segments()))
	}
}

func TestRule05TruncationUnlinksFromTheHighestDownAfterTheTerm(t *testing.T) {
	var ops []string
	dir := t.TempDir()
	s := openStore(t, dir, func(o *Options) {
		o.Hooks.FS = func(op FSOp) error {
			if op.Kind == "remove" && strings.HasSuffix(op.Path, segSuffix) || op.Kind == "syncdir" {
				ops = append(ops, op.Kind+" "+filepath.Base(op.Path))
			}
			return nil
		}
		o.Hooks.Commit = func(path string, commit func() error) error {
			ops = append(ops, "commit "+filepath.Base(path))
			return commit()
		}
	})
	l := openLog(t, s, LogOptions{SegmentBytes: smallSegment})
	fillSegments(t, l, 40)
	segs := l.Segments()
	want := []string{"commit meta.db"}
	for i := len(segs) - 1; i > 1; i-- {
		want = append(want, "remove "+segName(segs[i].FirstIndex), "syncdir "+filepath.Base(l.dir))
	}
	want = append(want, "commit "+segName(segs[1].FirstIndex))
	ops = nil
	from := segs[1].FirstIndex + 2
	repl := batches(t, from, 9, int64(from-2), 3, 200)
	appendAll(t, l, Write{Term: 9, Vote: 1, Entries: repl})
	if !slices.Equal(ops, want) {
		t.Fatalf("got  %v\nwant %v", ops, want)
	}
	checkEntries(t, l, repl)
	crash(t, s)
	s = openStore(t, dir)
	l = openLog(t, s, LogOptions{SegmentBytes: smallSegment})
	checkEntries(t, l, repl)
	if last, _ := l.LastIndex(); last != from+2 {
		t.Fatalf("last %d", last)
	}
}

func TestRule05GapIsQuarantined(t *testing.T) {
	for _, victim := range []int{1, 2} {
		dir := t.TempDir()
		s := openStore(t, dir)
		l := openLog(t, s, LogOptions{SegmentBytes: smallSegment})
		fillSegments(t, l, 40)
		path := l.segs[victim].file.path
		must(t, s.Close())
		must(t, os.Remove(path))
		s = openStore(t, dir)
		var q *QuarantinedError
		if _, err := s.OpenLog(testGroup, testReplica, LogOptions{}); !errors.As(err, &q) || !strings.Contains(q.Reason, "gap") {
			t.Fatalf("open with segment %d missing: %v", victim, err)
		}
		if _, err := s.OpenLog(testGroup, testReplica, LogOptions{}); !errors.As(err, &q) {
			t.Fatalf("the quarantine does not last: %v", err)
		}
	}
}

// A segment of another replica, or one that does not follow, is found when it is opened at last.
func TestRule05ForeignSegmentIsPoison(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	l := openLog(t, s, LogOptions{SegmentBytes: smallSegment})
	fillSegments(t, l, 40)
	last, _ := l.LastIndex()
	appendAll(t, l, Write{Commit: last})
	l.SetApplied(last)
	l.OfferCheckpoint(Checkpoint{Index: last, Term: 1, Conf: founders(), Next: l.LastNext()})
	a, b := l.segs[0].file.path, l.segs[1].file.path
	must(t, s.Close())
	raw, err := os.ReadFile(a)
	must(t, err)
	must(t, os.WriteFile(b, raw, 0o600))
	s = openStore(t, dir)
	l = openLog(t, s, LogOptions{SegmentBytes: smallSegment})
	if n := len(l.Segments()); n < 4 {
		t.Fatalf("%d segments", n)
	}
	var p *PoisonedError
	if _, _, err := l.ReadBatches(0, 40, 10<<20, nil); !errors.As(err, &p) {
		t.Fatalf("a foreign segment was served: %v", err)
	}
}

func TestRule06PrefixGoesOnlyBelowACheckpointNoTruncationCanTake(t *testing.T) {
	s := openStore(t, t.TempDir())
	l := openLog(t, s, LogOptions{SegmentBytes: smallSegment})
	fillSegments(t, l, 20)
	segs := l.Segments()
	commit := segs[len(segs)-1].FirstIndex - 1 // the newest segment's first index is not committed
	appendAll(t, l, Write{Commit: commit})
	l.SetApplied(commit)
	l.Trim(segs[len(segs)-1].Base)
	if fi, _ := l.FirstIndex(); fi != 2 {
		t.Fatalf("first index %d without a checkpoint", fi)
	}
	l.OfferCheckpoint(Checkpoint{Index: commit, Term: 1, Conf: founders(), Next: int64(commit) - 1})
	must(t, l.Maintain())
	if l.Trim(0) {
		t.Fatal("the only checkpoint is where a truncation can take it, and yet the prefix may go")
	}
	appendAll(t, l, Write{Commit: commit + 1})
	l.SetApplied(commit + 1)
	if !l.Trim(0) {
		t.Fatal("the checkpoint is safe now, and yet nothing goes")
	}
	must(t, l.Maintain())
	fi, _ := l.FirstIndex()
	if got := l.Segments(); fi != commit+1 || len(got) != 1 || got[0].FirstIndex != fi {
		t.Fatalf("first index %d, segments %+v", fi, got)
	}
	if term, err := l.Term(fi - 1); err != nil || term != 1 {
		t.Fatalf("the term before the first index: %d, %v", term, err)
	}
}

func TestRule06TruncationKeepsTheNewestCheckpoint(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	l := openLog(t, s, LogOptions{SegmentBytes: smallSegment})
	fillSegments(t, l, 3)
	appendAll(t, l, Write{Commit: 4})
	l.SetApplied(4)
	l.OfferCheckpoint(Checkpoint{Index: 4, Term: 1, Conf: founders(), Next: 3, State: []byte("state")})
	base := int64(3)
	for i := uint64(5); i < 30; i++ {
		appendAll(t, l, Write{Entries: batches(t, i, 1, base, 1, 4096)})
		base++
	}
	appendAll(t, l, Write{Term: 2, Entries: batches(t, 6, 2, 4, 1, 100)})
	crash(t, s)
	s = openStore(t, dir)
	l = openLog(t, s, LogOptions{})
	if cp := l.Checkpoint(); cp.Index != 4 || string(cp.State) != "state" {
		t.Fatalf("checkpoint %+v", cp)
	}
}

func TestRule06CommitAboveTheLogIsQuarantine(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	l := openLog(t, s, LogOptions{})
	appendAll(t, l, Write{Commit: 4, Entries: batches(t, 2, 1, 0, 3, 10)})
	path := l.segs[0].file.path
	must(t, s.Close())
	db, err := bolt.Open(path, 0o600, nil)
	must(t, err)
	must(t, db.Update(func(tx *bolt.Tx) error {
		st, err := readSegState(tx)
		if err != nil {
			return err
		}
		st.commit = 5
		return tx.Bucket(bucketState).Put(keyOnly, st.encode())
	}))
	must(t, db.Close())
	s = openStore(t, dir)
	var q *QuarantinedError
	if _, err := s.OpenLog(testGroup, testReplica, LogOptions{}); !errors.As(err, &q) {
		t.Fatalf("commit above the last entry: %v", err)
	}
}

func TestRule06FoldStopsBeforeAConfChange(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	l := openLog(t, s, LogOptions{})
	ents := batches(t, 2, 1, 0, 2, 10)
	ents = append(ents, confEntry(4, 1))
	ents = append(ents, batches(t, 5, 1, 2, 3, 10)...)
	appendAll(t, l, Write{Commit: 6, Entries: ents})
	crash(t, s)
	s = openStore(t, dir)
	l = openLog(t, s, LogOptions{})
	if l.FoldTo() != 3 {
		t.Fatalf("fold to %d, the conf change is at 4", l.FoldTo())
	}
	rn := newNode(t, l, 1)
	var got []uint64
	for rn.HasReady() {
		rd := rn.Ready()
		for _, e := range rd.CommittedEntries {
			got = append(got, e.GetIndex())
		}
		if len(rd.CommittedEntries) > 0 {
			break
		}
	}
	if !slices.Equal(got, []uint64{4, 5, 6}) {
		t.Fatalf("raft hands out %v again, want 4, 5, 6", got)
	}
}

func TestRule07FirstIndexFollowsAppliedAndTrim(t *testing.T) {
	s := openStore(t, t.TempDir())
	l := openLog(t, s, LogOptions{SegmentBytes: smallSegment})
	fillSegments(t, l, 30)
	segs := l.Segments()
	last, _ := l.LastIndex()
	appendAll(t, l, Write{Commit: last})
	at := segs[3].FirstIndex // trimmed to here, applied only to segment 2
	l.SetApplied(segs[2].FirstIndex)
	l.OfferCheckpoint(Checkpoint{Index: segs[2].FirstIndex, Term: 1, Conf: founders(), Next: segs[2].Base + 1})
	must(t, l.Maintain())
	l.Trim(segs[3].Base)
	if l.StartOffset() != segs[3].Base {
		t.Fatalf("log start %d, trimmed to %d", l.StartOffset(), segs[3].Base)
	}
	if fi, _ := l.FirstIndex(); fi != segs[2].FirstIndex {
		t.Fatalf("first index %d, applied is %d", fi, segs[2].FirstIndex)
	}
	if _, _, err := l.ReadBatches(segs[3].Base-1, 1<<40, 100, nil); !errors.Is(err, ErrTrimmed) {
		t.Fatalf("read below the log start: %v", err)
	}
	l.SetApplied(last)
	l.OfferCheckpoint(Checkpoint{Index: last, Term: 1, Conf: founders(), Next: l.LastNext()})
	must(t, l.Maintain())
	l.Trim(0) // a repeated or lower trim moves nothing back
	if fi, _ := l.FirstIndex(); fi != at || l.StartOffset() != segs[3].Base {
		t.Fatalf("first index %d, want %d; log start %d", fi, at, l.StartOffset())
	}
}

func TestRule08ShippedFileOutlivesItsName(t *testing.T) {
	s := openStore(t, t.TempDir())
	l := openLog(t, s, LogOptions{SegmentBytes: smallSegment})
	fillSegments(t, l, 30)
	last, _ := l.LastIndex()
	appendAll(t, l, Write{Commit: last})
	l.SetApplied(last)
	l.OfferCheckpoint(Checkpoint{Index: last, Term: 1, Conf: founders(), Next: l.LastNext()})
	must(t, l.Maintain())
	path := l.segs[0].file.path
	want, err := os.ReadFile(path)
	must(t, err)
	f, err := os.Open(path)
	must(t, err)
	if !l.Trim(l.LastNext()) {
		t.Fatal("nothing to unlink")
	}
	must(t, l.Maintain())
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("the file is still there: %v", err)
	}
	got, err := io.ReadAll(f)
	must(t, err)
	must(t, f.Close())
	if string(got) != string(want) {
		t.Fatal("the held file changed")
	}
}

func TestRule14WriteWithNothingNewSkipsTheDisk(t *testing.T) {
	hook := &commitHook{}
	s := openStore(t, t.TempDir(), func(o *Options) { o.Hooks = hook.hooks() })
	l := openLog(t, s, LogOptions{})
	appendAll(t, l, Write{Term: 2, Vote: 3, Entries: batches(t, 2, 2, 0, 4, 10)})
	before := hook.total()
	appendAll(t, l, Write{}, Write{Term: 2, Vote: 3}, Write{Commit: 3}, Write{Term: 2, Vote: 3, Commit: 5})
	if n := hook.total() - before; n != 0 {
		t.Fatalf("%d commits for nothing new", n)
	}
	appendAll(t, l, Write{Entries: batches(t, 6, 2, 4, 2, 10)}, Write{Entries: batches(t, 8, 2, 6, 2, 10)}, Write{Commit: 7})
	if n := hook.total() - before; n != 1 {
		t.Fatalf("%d commits for three queued writes, want one", n)
	}
	if last, _ := l.LastIndex(); last != 9 {
		t.Fatalf("last %d", last)
	}
}
