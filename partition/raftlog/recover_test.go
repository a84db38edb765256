package raftlog

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
)

// changes are entries with changes of the configuration, from index on.
func changes(t *testing.T, index, term uint64, ccs ...*raftpb.ConfChangeV2) (es []*raftpb.Entry) {
	t.Helper()
	for i, cc := range ccs {
		data, err := proto.Marshal(cc)
		must(t, err)
		e := entry(index+uint64(i), term, data)
		e.Type = raftpb.EntryConfChangeV2.Enum()
		es = append(es, e)
	}
	return es
}

func single(typ raftpb.ConfChangeType, id uint64) *raftpb.ConfChangeV2 {
	return &raftpb.ConfChangeV2{Changes: []*raftpb.ConfChangeSingle{{Type: typ.Enum(), NodeId: new(id)}}}
}

// written opens the recovered log, and gives its configuration at the end and how many entries follow what was there.
func written(t *testing.T, s *Store, ents []*raftpb.Entry, term uint64) (cs *raftpb.ConfState, more int) {
	t.Helper()
	l, err := s.OpenLog(testGroup, testReplica, LogOptions{SegmentBytes: smallSegment})
	must(t, err)
	defer func() { must(t, l.Close()) }()
	checkEntries(t, l, ents)
	hs, _, err := l.InitialState()
	must(t, err)
	last, _ := l.LastIndex()
	if hs.GetCommit() != last || hs.GetTerm() != term || hs.GetVote() != testReplica || termAt(l.runs, last) != term {
		t.Fatalf("%v and a last entry %d of term %d; want all of it committed, term %d and its own vote", hs, last, termAt(l.runs, last), term)
	}
	c, err := l.confAtEnd()
	must(t, err)
	return c.conf(), int(last) - int(ents[len(ents)-1].GetIndex())
}

func TestRule30RecoverKeepsAllThatIsThereAndNobodyElse(t *testing.T) {
	s := openStore(t, t.TempDir())
	l := openLog(t, s, LogOptions{SegmentBytes: smallSegment})
	ents := fillSegments(t, l, 20)
	ents = append(ents, changes(t, 22, 1, single(raftpb.ConfChangeAddLearnerNode, 9))...)
	ents = append(ents, batches(t, 23, 4, 20, 3, 100)...) // nobody knows whether these were committed
	appendAll(t, l, Write{Term: 5, Vote: 2, Commit: 12, Entries: ents[20:]})
	if err := s.Recover(testGroup, testReplica, []uint64{1, 2}); err == nil {
		t.Fatal("recovered a log that runs")
	}
	must(t, l.Close())
	if err := s.Recover(testGroup, testReplica, []uint64{1, testReplica}); err == nil {
		t.Fatal("recovered a replica that is lost")
	}
	// Of strangers nothing is to be given up.
	must(t, s.Recover(testGroup, testReplica, []uint64{77}))
	l = openLog(t, s, LogOptions{SegmentBytes: smallSegment})
	if last, _ := l.LastIndex(); last != 25 {
		t.Fatalf("it wrote up to entry %d", last)
	}
	must(t, l.Close())

	for range 2 { // the second time there is nothing to do
		must(t, s.Recover(testGroup, testReplica, []uint64{1, 2}))
		cs, more := written(t, s, ents, 6)
		if !slices.Equal(cs.GetVoters(), []uint64{testReplica}) || len(cs.GetLearners())+len(cs.GetVotersOutgoing()) > 0 || more != 2 {
			t.Fatalf("%d entries more, and %v", more, cs)
		}
	}
	// It has grown since, and is asked once more.
	l = openLog(t, s, LogOptions{SegmentBytes: smallSegment})
	ents = append(ents, readBack(t, l, 26, 28)...)
	ents = append(ents, changes(t, 28, 6, single(raftpb.ConfChangeAddNode, 50))...)
	appendAll(t, l, Write{Commit: 28, Entries: ents[len(ents)-1:]})
	must(t, l.Close())
	must(t, s.Recover(testGroup, testReplica, []uint64{1, 2}))
	if cs, more := written(t, s, ents, 6); more != 0 || len(cs.GetVoters()) != 2 {
		t.Fatalf("%d entries more, and %v", more, cs)
	}
}

func readBack(t *testing.T, l *Log, lo, hi uint64) []*raftpb.Entry {
	t.Helper()
	es, err := l.readEntries(lo, hi, 1<<30)
	must(t, err)
	return es
}

// A broker that is killed at any point of a recovery has the replica as it was, or recovered; asked again it is recovered.
func TestRule30RecoverGoesOnAfterAKill(t *testing.T) {
	for killAt := 1; ; killAt++ {
		dir, killed, step := t.TempDir(), t.TempDir(), 1<<30
		s := openStore(t, dir, func(o *Options) {
			o.Hooks.Commit = func(_ string, commit func() error) error {
				if step++; step == killAt {
					must(t, os.CopyFS(killed, os.DirFS(dir)))
				}
				return commit()
			}
		})
		l := openLog(t, s, LogOptions{SegmentBytes: smallSegment})
		ents := fillSegments(t, l, 10)
		must(t, l.Close())
		step = 0
		must(t, s.Recover(testGroup, testReplica, []uint64{1, 2}))
		commits := step
		step = 1 << 30
		cs, more := written(t, s, ents, 2)
		if commits < killAt {
			if killAt < 3 {
				t.Fatalf("only %d commits", commits)
			}
			return
		}
		s = openStore(t, killed)
		was, err := s.OpenLog(testGroup, testReplica, LogOptions{SegmentBytes: smallSegment})
		must(t, err)
		if last, _ := was.LastIndex(); last != 11 {
			t.Fatalf("killed at commit %d it ends at entry %d", killAt, last)
		}
		must(t, was.Close())
		must(t, s.Recover(testGroup, testReplica, []uint64{1, 2}))
		again, moreAgain := written(t, s, ents, 2) // a term that was raised before the kill is used
		if again.String() != cs.String() || more != moreAgain {
			t.Fatalf("killed at commit %d, then recovered: %v and %d entries, not %v and %d", killAt, again, moreAgain, cs, more)
		}
	}
}

// A failed write is not tried again, here as elsewhere.
func TestRule02RecoverThatFailsQuarantines(t *testing.T) {
	fail := false
	s := openStore(t, t.TempDir(), func(o *Options) {
		o.Hooks.Commit = func(path string, commit func() error) error {
			if fail && filepath.Ext(path) == ".seg" {
				return syscall.EIO
			}
			return commit()
		}
	})
	l := openLog(t, s, LogOptions{SegmentBytes: smallSegment})
	fillSegments(t, l, 10)
	must(t, l.Close())
	fail = true
	if err := s.Recover(testGroup, testReplica, []uint64{1, 2}); !errors.Is(err, syscall.EIO) {
		t.Fatal(err)
	}
	if s.Replicas()[0].Quarantine == "" {
		t.Fatal("it goes on")
	}
}

// On a full disk a recovery is tried again and again. That costs one term, not one a try.
func TestRule30RecoverOnAFullDiskRaisesTheTermOnce(t *testing.T) {
	full := false
	s := openStore(t, t.TempDir(), func(o *Options) {
		o.Hooks.Commit = func(path string, commit func() error) error {
			if full && filepath.Ext(path) == ".seg" {
				return syscall.ENOSPC
			}
			return commit()
		}
	})
	l := openLog(t, s, LogOptions{SegmentBytes: smallSegment})
	ents := fillSegments(t, l, 10)
	appendAll(t, l, Write{Term: 7, Vote: 2})
	must(t, l.Close())
	full = true
	for range 3 {
		if err := s.Recover(testGroup, testReplica, []uint64{1, 2}); !errors.Is(err, syscall.ENOSPC) || Lasting(err) {
			t.Fatal(err)
		}
	}
	full = false
	must(t, s.Recover(testGroup, testReplica, []uint64{1, 2}))
	if cs, more := written(t, s, ents, 8); more != 2 || len(cs.GetVoters()) != 1 {
		t.Fatalf("%d entries more, and %v", more, cs)
	}
}

// A replica that slept through the moves of its companions knows only those that left, and none of those that were lost.
func TestRule30ALogThatIsBehindTellsWhomItKnows(t *testing.T) {
	s := openStore(t, t.TempDir())
	l := openLog(t, s, LogOptions{SegmentBytes: smallSegment})
	ents := fillSegments(t, l, 5)
	more := changes(t, 7, 1, single(raftpb.ConfChangeAddLearnerNode, 9)) // which may not be committed
	appendAll(t, l, Write{Entries: more})
	ents = append(ents, more...)
	if _, err := s.ConfAtEnd(testGroup, testReplica); err == nil {
		t.Fatal("read the configuration of a log that runs")
	}
	must(t, l.Close())
	must(t, s.Recover(testGroup, testReplica, []uint64{50, 51}))
	cs, err := s.ConfAtEnd(testGroup, testReplica)
	must(t, err)
	if !slices.Equal(cs.GetVoters(), []uint64{1, 2, 3}) || !slices.Equal(cs.GetLearners(), []uint64{9}) {
		t.Fatalf("configuration %v", cs)
	}
	must(t, s.Recover(testGroup, testReplica, []uint64{50, 51, 9}))
	if cs, more := written(t, s, ents, 2); more != 2 || !slices.Equal(cs.GetVoters(), []uint64{testReplica}) || len(cs.GetLearners()) > 0 {
		t.Fatalf("%d entries more, and %v", more, cs)
	}
}

func TestRule30RecoverAloneNamesNobodyAndTellsTheMachine(t *testing.T) {
	s := openStore(t, t.TempDir())
	l := openLog(t, s, LogOptions{SegmentBytes: smallSegment})
	ents := fillSegments(t, l, 20)
	must(t, l.Close())
	command := batches(t, 24, 1, 20, 1, 10)[0].GetData()
	changed, err := s.RecoverAlone(testGroup, testReplica, command)
	must(t, err)
	if !changed {
		t.Fatal("nothing was done")
	}
	cs, more := written(t, s, ents, 2)
	if !slices.Equal(cs.GetVoters(), []uint64{testReplica}) || more != 3 {
		t.Fatalf("%d entries more, and %v", more, cs)
	}
	l = openLog(t, s, LogOptions{SegmentBytes: smallSegment})
	last, _ := l.LastIndex()
	if got := readBack(t, l, last, last+1); string(got[0].GetData()) != string(command) || got[0].GetType() != raftpb.EntryNormal {
		t.Errorf("the last entry is %v", got[0])
	}
	must(t, l.Close())
	// There is nobody else any more.
	if changed, err = s.RecoverAlone(testGroup, testReplica, command); changed || err != nil {
		t.Errorf("once more: %v, %v", changed, err)
	}
}

// What never reached the disk before an unclean stop must not be taken for durable because a tool looked into the folder meanwhile.
func TestAToolLeavesAnUncleanStopUnclean(t *testing.T) {
	for _, clean := range []bool{false, true} {
		dir := t.TempDir()
		s := openStore(t, dir)
		if clean {
			must(t, s.Close())
		} else {
			crash(t, s)
		}
		tool := openStore(t, dir, func(o *Options) { o.Tool = true })
		must(t, tool.Close())
		if s = openStore(t, dir); s.unclean == clean {
			t.Errorf("clean %v: the next start takes it for unclean %v", clean, s.unclean)
		}
	}
}
