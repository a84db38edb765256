package raftlog

import (
	"errors"
	"reflect"
	"slices"
	"testing"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/runnel-io/runnel/partition/record"
)

func TestAppendedEntriesSurviveReopen(t *testing.T) {
	for _, size := range []int{10, 3000, 5000, 70_000} {
		dir := t.TempDir()
		s := openStore(t, dir)
		l := openLog(t, s, LogOptions{})
		ents := batches(t, 2, 1, 0, 20, size)
		ents = append(ents, entry(22, 1, nil), entry(23, 1, commandData("trim", startMS)))
		ents = append(ents, batches(t, 24, 1, 20, 3, size)...)
		appendAll(t, l, Write{Term: 1, Vote: 2, Commit: 26, Entries: ents})
		checkEntries(t, l, ents)
		crash(t, s)

		s = openStore(t, dir)
		l = openLog(t, s, LogOptions{})
		checkEntries(t, l, ents)
		hs, cs, err := l.InitialState()
		must(t, err)
		if hs.GetTerm() != 1 || hs.GetVote() != 2 || hs.GetCommit() != 26 {
			t.Fatalf("hard state %v", hs)
		}
		if !reflect.DeepEqual(cs.GetVoters(), []uint64{1, 2, 3}) {
			t.Fatalf("conf state %v", cs)
		}
		if l.LastNext() != 23 || l.FoldTo() != 26 {
			t.Fatalf("next %d, fold to %d", l.LastNext(), l.FoldTo())
		}
		var metas []record.Meta
		must(t, l.FoldEntries(2, 26, func(m record.Meta, data []byte) error {
			want := record.Fold(m.Index, m.Term, m.Conf, ents[m.Index-2].Data, m.Base)
			if m != want {
				t.Errorf("folded %+v, want %+v", m, want)
			}
			if string(data) != map[bool]string{true: "trim"}[m.Kind == record.KindCommand] {
				t.Errorf("payload %q of entry %d", data, m.Index)
			}
			metas = append(metas, m)
			return nil
		}))
		if len(metas) != 25 {
			t.Fatalf("folded %d entries", len(metas))
		}
		must(t, s.Close())
	}
}

func TestReadBatchesFromTailAndDisk(t *testing.T) {
	for _, fromDisk := range []bool{false, true} {
		s := openStore(t, t.TempDir())
		l := openLog(t, s, LogOptions{SegmentBytes: 64 << 10})
		var ents []*raftpb.Entry
		base := int64(0)
		for i := uint64(2); i < 200; i++ {
			switch i % 7 {
			case 0:
				ents = append(ents, entry(i, 1, nil))
			case 3:
				ents = append(ents, entry(i, 1, batchData(t, base+5, 1, startMS, 1, 100))) // void: wrong base
			default:
				ents = append(ents, entry(i, 1, batchData(t, base, 1, startMS+base, 3, 2000)))
				base += 3
			}
		}
		appendAll(t, l, Write{Term: 1, Commit: 199, Entries: ents})
		if fromDisk {
			forget(l)
		}
		if n := len(l.Segments()); n < 4 {
			t.Fatalf("only %d segments", n)
		}
		var want []int64
		for b := int64(0); b < base; b += 3 {
			want = append(want, b)
		}
		for _, maxBytes := range []int{1, 5000, 1 << 20} {
			if got := readAll(t, l, 0, base, maxBytes); !slices.Equal(got, want) {
				t.Fatalf("from disk %v, max %d: got %v, want %v", fromDisk, maxBytes, got, want)
			}
		}
		// From the middle of a batch, and up to a limit.
		if got := readAll(t, l, 100, 151, 1<<20); !slices.Equal(got, want[33:51]) {
			t.Fatalf("got %v, want %v", got, want[33:51])
		}
		dst := []byte("kept")
		out, next, err := l.ReadBatches(base, base, 100, dst)
		if err != nil || next != base || string(out) != "kept" {
			t.Fatalf("read at the limit: %q, %d, %v", out, next, err)
		}
		out, _, err = l.ReadBatches(0, base, 1, dst)
		if err != nil || string(out[:4]) != "kept" || len(out) < 2000 {
			t.Fatalf("read appends to dst: %d bytes, %v", len(out), err)
		}
		for _, b := range []int64{0, 3, 150, base - 3} {
			got, found, err := l.BatchAtTime(startMS+b-1, base)
			if err != nil || !found || got != max(b, 0) {
				t.Fatalf("batch at the time of %d: %d, %v, %v", b, got, found, err)
			}
		}
		if _, found, err := l.BatchAtTime(startMS+base+100, base); found || err != nil {
			t.Fatalf("found a batch of the future: %v, %v", found, err)
		}
		if _, found, err := l.BatchAtTime(startMS+150, 100); found || err != nil {
			t.Fatalf("found a batch above the limit: %v, %v", found, err)
		}
	}
}

func TestFolderInUse(t *testing.T) {
	dir := t.TempDir()
	openStore(t, dir)
	_, err := Open(Options{Dir: dir, Clock: &testClock{}})
	if !errors.Is(err, ErrInUse) {
		t.Fatalf("second open: %v", err)
	}
}
