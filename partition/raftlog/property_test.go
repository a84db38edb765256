package raftlog

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"testing"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"pgregory.net/rapid"

	"github.com/runnel-io/runnel/partition/record"
)

// logModel is the log as a list in memory.
type logModel struct {
	ents       []*raftpb.Entry // from index 2 on
	metas      []record.Meta
	term, vote uint64
	commit     uint64
	applied    uint64
	logStart   int64
	trimmed    int64 // highest log start ever; logStart falls back to the checkpoint's at a reopen
	ckpt       Checkpoint
	offered    *Checkpoint
}

func (m *logModel) last() uint64 { return uint64(len(m.ents)) + 1 }
func (m *logModel) next(i uint64) int64 {
	if i < 2 {
		return 0
	}
	return m.metas[i-2].Next
}
func (m *logModel) termOf(i uint64) uint64 {
	if i < 2 {
		return 1
	}
	return m.ents[i-2].GetTerm()
}

func (m *logModel) overwrite(ents []*raftpb.Entry) {
	at := ents[0].GetIndex() - 2
	m.ents, m.metas = slices.Clone(m.ents[:at]), slices.Clone(m.metas[:at])
	for _, e := range ents {
		next := m.next(m.last())
		m.ents = append(m.ents, e)
		m.metas = append(m.metas, record.Fold(e.GetIndex(), e.GetTerm(), e.GetType() != raftpb.EntryNormal, e.Data, next))
	}
}

// TestLogBehavesLikeAList drives a log and the model with the same random steps and compares all that can be asked.
func TestLogBehavesLikeAList(t *testing.T) {
	root := cutDir(t)
	runs := 0
	rapid.Check(t, func(rt *rapid.T) {
		runs++
		dir, err := os.MkdirTemp(root, "run")
		must(t, err)
		defer func() { _ = os.RemoveAll(dir) }()
		opts := Options{
			Dir: dir, Clock: &testClock{ms: startMS}, Hooks: Hooks{NoSync: true}, MaxOpenSealed: 2, MaxOpenActive: 1,
			TailBytes: 64 << 10,
		}
		lo := LogOptions{SegmentBytes: 16 << 10}
		var s *Store
		var l *Log
		open := func() {
			var err error
			if s, err = Open(opts); err != nil {
				rt.Fatal(err)
			}
			if err := s.Create(testGroup, testReplica, founders()); err != nil {
				rt.Fatal(err)
			}
			if l, err = s.OpenLog(testGroup, testReplica, lo); err != nil {
				rt.Fatal(err)
			}
		}
		open()
		m := &logModel{term: 1, commit: 1, applied: 1, ckpt: Checkpoint{Index: 1, Term: 1}}
		check := func(err error) {
			if err != nil {
				rt.Fatal(err)
			}
		}
		newEntries := func(first uint64) []*raftpb.Entry {
			next := m.next(first - 1)
			var out []*raftpb.Entry
			for range rapid.IntRange(1, 8).Draw(rt, "n") {
				i := first + uint64(len(out))
				var e *raftpb.Entry
				switch rapid.IntRange(0, 9).Draw(rt, "kind") {
				case 0:
					e = entry(i, m.term, nil)
				case 1:
					e = entry(i, m.term, commandData(fmt.Sprint("cmd", i), startMS))
				case 2:
					e = confEntry(i, m.term)
				case 3:
					e = entry(i, m.term, batchData(t, next+1, m.term, startMS, 1, 50)) // void
				default:
					size := rapid.SampledFrom([]int{10, 1000, 4000, 5000, 20000}).Draw(rt, "size")
					ts := int64(rapid.IntRange(0, 1000).Draw(rt, "ts"))
					n := rapid.IntRange(1, 3).Draw(rt, "records")
					e = entry(i, m.term, batchData(t, next, m.term, startMS+ts, n, size))
					next += int64(n)
				}
				out = append(out, e)
			}
			return out
		}
		reopened := func() {
			m.offered = nil
			m.logStart = max(m.ckpt.LogStart, 0)
			m.applied = l.FoldTo()
			want := m.commitStored(l)
			for i := m.ckpt.Index + 1; i <= want; i++ {
				if m.metas[i-2].Conf {
					want = i - 1
				}
			}
			if l.FoldTo() != want {
				rt.Fatalf("fold to %d, want %d; ckpt %d commit %d", l.FoldTo(), want, l.Checkpoint().Index, m.commit)
			}
		}
		rt.Repeat(map[string]func(*rapid.T){
			"append": func(rt *rapid.T) {
				ents := newEntries(m.last() + 1)
				m.overwrite(ents)
				check(l.Append([]Write{{Entries: ents}}))
			},
			"appendSeveral": func(rt *rapid.T) {
				a := newEntries(m.last() + 1)
				m.overwrite(a)
				at := a[0].GetIndex() + uint64(rapid.IntRange(0, len(a)).Draw(rt, "at"))
				m.term++
				b := newEntries(at)
				m.overwrite(b)
				check(l.Append([]Write{{Entries: a}, {Term: m.term, Entries: b}, {}}))
				m.vote = 0
			},
			"truncate": func(rt *rapid.T) {
				if m.last() <= m.commit {
					return
				}
				m.term++
				m.vote = uint64(rapid.IntRange(0, 3).Draw(rt, "vote"))
				ents := newEntries(uint64(rapid.IntRange(int(m.commit)+1, int(m.last())).Draw(rt, "from")))
				m.overwrite(ents)
				check(l.Append([]Write{{Term: m.term, Vote: m.vote, Entries: ents}}))
			},
			"commit": func(rt *rapid.T) {
				m.commit = uint64(rapid.IntRange(int(m.commit), int(m.last())).Draw(rt, "commit"))
				check(l.Append([]Write{{Commit: m.commit}}))
				m.applied = uint64(rapid.IntRange(int(m.applied), max(int(m.applied), int(m.commit))).Draw(rt, "applied"))
				l.SetApplied(m.applied)
			},
			"checkpoint": func(rt *rapid.T) {
				if m.applied <= m.ckpt.Index || m.offered != nil {
					return
				}
				c := Checkpoint{Index: m.applied, Term: m.termOf(m.applied), Conf: founders(), Next: m.next(m.applied), LogStart: m.logStart}
				m.offered = &c
				l.OfferCheckpoint(c)
			},
			"trim": func(rt *rapid.T) {
				m.logStart = max(m.logStart, int64(rapid.IntRange(0, int(m.next(m.applied))).Draw(rt, "start")))
				m.trimmed = max(m.trimmed, m.logStart)
				l.Trim(m.logStart)
			},
			"maintain": func(*rapid.T) { check(l.Maintain()) },
			"forget":   func(*rapid.T) { l.evict(^uint64(0)) },
			"reopen": func(rt *rapid.T) {
				m.ckpt = l.Checkpoint()
				if rapid.Bool().Draw(rt, "clean") {
					check(s.Close())
					if m.offered != nil {
						m.ckpt = *m.offered
					}
				} else {
					crash(t, s)
				}
				open()
				reopened()
			},
			"": func(rt *rapid.T) {
				if m.offered != nil && l.Checkpoint().Index == m.offered.Index {
					m.ckpt, m.offered = *m.offered, nil
				}
				check(m.compare(l))
			},
		})
		check(s.Close())
	})
	if runs < 10 {
		t.Fatalf("only %d runs", runs)
	}
}

// commitStored is the commit index a log found at open; it may lag, never run ahead.
func (m *logModel) commitStored(l *Log) uint64 {
	hs, _, _ := l.InitialState()
	if hs.GetCommit() > max(m.commit, m.ckpt.Index) || hs.GetCommit() < m.ckpt.Index {
		return 0
	}
	return hs.GetCommit()
}

func (m *logModel) compare(l *Log) error {
	first, _ := l.FirstIndex()
	last, _ := l.LastIndex()
	hs, _, _ := l.InitialState()
	switch {
	case last != m.last():
		return fmt.Errorf("last index %d, want %d", last, m.last())
	case l.LastNext() != m.next(last):
		return fmt.Errorf("next offset %d, want %d", l.LastNext(), m.next(last))
	case hs.GetTerm() != m.term || hs.GetVote() != m.vote:
		return fmt.Errorf("term %d, vote %d, want %d, %d", hs.GetTerm(), hs.GetVote(), m.term, m.vote)
	case first > 2 && m.next(first-1) > m.trimmed:
		return fmt.Errorf("first index %d cuts offsets from %d on", first, m.trimmed)
	}
	for i := first - 1; i <= last; i++ {
		if term, err := l.Term(i); err != nil || term != m.termOf(i) {
			return fmt.Errorf("term of %d is %d, %w, want %d", i, term, err, m.termOf(i))
		}
	}
	for i := max(first, m.applied+1); i <= last; {
		ents, err := l.Entries(i, last+1, 10_000)
		if err != nil || len(ents) == 0 {
			return fmt.Errorf("entries from %d above applied %d: %d, %w", i, m.applied, len(ents), err)
		}
		for _, e := range ents {
			if err := sameEntry(e, m.ents[i-2]); err != nil {
				return err
			}
			i++
		}
	}
	if first > 2 {
		if _, err := l.Entries(first-1, last+1, 1); !errors.Is(err, raft.ErrCompacted) {
			return fmt.Errorf("entries below the first index: %w", err)
		}
	}
	return m.compareReads(l)
}

// compareReads reads all batches, and finds each by offset and by time.
func (m *logModel) compareReads(l *Log) error {
	start, limit := l.StartOffset(), m.next(m.last())
	if start < m.logStart {
		return fmt.Errorf("log start %d, want %d", start, m.logStart)
	}
	var want []record.Meta
	runMax := int64(-1)
	timed := map[int64]int64{}
	for _, e := range m.metas {
		if e.Kind != record.KindBatch || e.Void {
			continue
		}
		if e.Next > start {
			if e.MaxTimestamp > runMax {
				timed[e.MaxTimestamp] = max(e.Base, start)
			}
			want = append(want, e)
		}
		runMax = max(runMax, e.MaxTimestamp)
	}
	var got []int64
	for off := start; off < limit; {
		out, next, err := l.ReadBatches(off, limit, 9000, nil)
		if err != nil || next <= off {
			return fmt.Errorf("read at %d of %d: next %d, %w", off, limit, next, err)
		}
		for b, err := range record.Batches(out) {
			if err != nil {
				return err
			}
			h, err := record.ParseHeader(b)
			if err != nil {
				return err
			}
			got = append(got, h.BaseOffset)
		}
		off = next
	}
	if len(got) != len(want) {
		return fmt.Errorf("read %d batches of %d", len(got), len(want))
	}
	for i, e := range want {
		if got[i] != e.Base {
			return fmt.Errorf("batch at %d, want %d", got[i], e.Base)
		}
	}
	for ts, base := range timed {
		if b, found, err := l.BatchAtTime(ts, limit); err != nil || !found || b != base {
			return fmt.Errorf("batch at time %d: %d, %v, %w, want %d", ts, b, found, err, base)
		}
	}
	if start > 0 {
		if _, _, err := l.ReadBatches(start-1, limit, 10, nil); !errors.Is(err, ErrTrimmed) {
			return fmt.Errorf("read below the log start: %w", err)
		}
	}
	return nil
}
