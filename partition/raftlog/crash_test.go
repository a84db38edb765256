package raftlog

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/runnel-io/runnel/partition/raftlog/powercut"
)

// crashOp is one acknowledged step of a crash run, with what must hold after it.
type crashOp struct {
	name       string
	first      uint64 // entries from here on may be in flux while the step runs; 0 = none
	term, vote uint64
	commit     uint64
	ents       []*raftpb.Entry // the whole log from index 2 on
	logStart   int64
}

// crashRun drives one log through appends, elections, truncations, rolls, checkpoints and trims.
func crashRun(t *testing.T, rec *powercut.Recorder, seed uint64, steps int) []crashOp {
	t.Helper()
	rnd := rand.New(rand.NewPCG(seed, 1))
	s := openStore(t, rec.Root, func(o *Options) { o.Hooks = hooksOf(rec) })
	must(t, s.SetIdentity(Identity{ClusterID: "c", BrokerID: 1}))
	l := openLog(t, s, LogOptions{SegmentBytes: 24 << 10})
	cur := crashOp{name: "created", term: 1, commit: 1}
	ops := []crashOp{cur}
	rec.Mark(1)
	next := func(ents []*raftpb.Entry) int64 {
		n := int64(0)
		for _, e := range ents {
			if e.GetType() == raftpb.EntryNormal && len(e.Data) > 0 {
				n++
			}
		}
		return n
	}
	for len(ops) < steps {
		op := cur
		op.first = 0
		w := Write{}
		last := uint64(len(op.ents)) + 1
		switch k := rnd.IntN(10); {
		case k < 2: // election; sometimes with a truncation by the new leader
			op.term += 1 + uint64(rnd.IntN(3))
			op.vote = 1 + uint64(rnd.IntN(3))
			op.name = "vote"
			w.Term, w.Vote = op.term, op.vote
			if last > op.commit && rnd.IntN(2) == 0 {
				op.name = "truncate"
				op.first = op.commit + 1 + rnd.Uint64N(last-op.commit)
			}
		case k < 7:
			op.name = "append"
			op.first = last + 1
		case k < 8:
			op.name = "commit"
			op.commit = op.commit + rnd.Uint64N(last-op.commit+1)
			w.Commit = op.commit
		case k < 9:
			op.name = "checkpoint"
			l.SetApplied(op.commit)
			must(t, l.Append([]Write{{Commit: op.commit}}))
			term, err := l.Term(op.commit)
			must(t, err)
			l.OfferCheckpoint(Checkpoint{
				Index: op.commit, Term: term, Conf: founders(), Next: next(op.ents[:op.commit-1]), LogStart: op.logStart,
				State: []byte(strings.Repeat("s", rnd.IntN(6000))),
			})
			must(t, l.Maintain())
		default:
			op.name = "trim"
			op.logStart = max(op.logStart, next(op.ents[:op.commit-1])-int64(rnd.IntN(10)))
			if l.Trim(op.logStart) {
				must(t, l.Maintain())
			}
		}
		if op.first > 0 {
			op.ents = op.ents[: op.first-2 : op.first-2]
			for range 1 + rnd.IntN(6) {
				i := uint64(len(op.ents)) + 2
				size := []int{1, 300, 3000, 6000, 9000}[rnd.IntN(5)]
				op.ents = append(op.ents, entry(i, op.term, batchData(t, next(op.ents), op.term, startMS+int64(i), 1, size)))
			}
			w.Entries = op.ents[op.first-2:]
			if rnd.IntN(3) == 0 { // as a single voter or a lagging follower is told
				op.commit = uint64(len(op.ents)) + 1
				w.Commit = op.commit
			}
		}
		if w.Term != 0 || w.Commit != 0 || len(w.Entries) > 0 {
			must(t, l.Append([]Write{w}))
		}
		ops = append(ops, op)
		rec.Mark(len(ops))
		cur = op
	}
	crash(t, s)
	return ops
}

// verifyCut opens a folder after a cut and tells what is not as it must be.
func verifyCut(t *testing.T, dir string, ops []crashOp, acked int) error {
	t.Helper()
	s, err := Open(Options{Dir: dir, Clock: &testClock{ms: startMS}, Hooks: Hooks{NoSync: true}})
	if err != nil {
		return err
	}
	defer func() { _ = s.Close() }()
	if acked == 0 {
		return nil
	}
	was, will := ops[acked-1], ops[min(acked, len(ops)-1)]
	if id := s.Identity(); id.BrokerID != 1 {
		return fmt.Errorf("identity lost: %+v", id)
	}
	l, err := s.OpenLog(testGroup, testReplica, LogOptions{SegmentBytes: 24 << 10})
	if err != nil {
		return err
	}
	hs, _, err := l.InitialState()
	if err != nil {
		return err
	}
	vote := [2]uint64{hs.GetTerm(), hs.GetVote()}
	if vote != [2]uint64{was.term, was.vote} && vote != [2]uint64{will.term, will.vote} {
		return fmt.Errorf("term and vote are %v, acknowledged %d, %d", vote, was.term, was.vote)
	}
	if hs.GetCommit() > max(was.commit, will.commit) {
		return fmt.Errorf("commit %d is above all that was committed", hs.GetCommit())
	}
	first, _ := l.FirstIndex()
	last, _ := l.LastIndex()
	if base := l.Segments()[0].Base; base > max(was.logStart, will.logStart) {
		return fmt.Errorf("the log starts at offset %d, trimmed to %d", base, max(was.logStart, will.logStart))
	}
	safe := uint64(len(was.ents)) + 1
	if will.first > 0 {
		safe = min(safe, will.first-1)
	}
	if last < safe {
		return fmt.Errorf("last index %d, acknowledged %d", last, safe)
	}
	got, err := l.readEntries(first, last+1, noLimit)
	if first <= last && err != nil {
		return err
	}
	for _, e := range got {
		i := e.GetIndex() - 2
		ok := i < uint64(len(was.ents)) && sameEntry(e, was.ents[i]) == nil ||
			i < uint64(len(will.ents)) && sameEntry(e, will.ents[i]) == nil
		if !ok {
			return fmt.Errorf("entry %d is neither the old nor the new one", e.GetIndex())
		}
	}
	return nil
}

const noLimit = 1 << 62

// hooksOf has a store's disk recorded.
func hooksOf(r *powercut.Recorder) Hooks {
	return Hooks{
		NoSync: r.NoSync, Opened: r.Opened, Commit: r.Commit,
		FS:   func(op FSOp) error { return r.FS(op.Kind, op.Path, op.To) },
		File: func(op FileOp) error { return r.File(op.Kind, op.Path, op.Off, op.Data) },
	}
}

// cutDir is a folder for the remains of cuts, in memory where there is such a place: they need no disk.
func cutDir(t *testing.T) string {
	t.Helper()
	if dir, err := os.MkdirTemp("/dev/shm", "raftlog"); err == nil {
		t.Cleanup(func() { _ = os.RemoveAll(dir) })
		return dir
	}
	return t.TempDir()
}

// cutEverywhere cuts the power after every stride-th event in every mode and collects what got lost.
func cutEverywhere(t *testing.T, rec *powercut.Recorder, ops []crashOp, stride int) (cuts int, broken []error) {
	t.Helper()
	rnd := rand.New(rand.NewPCG(9, 9))
	work := cutDir(t)
	disk := powercut.NewDisk()
	for n, e := range rec.Events() {
		disk.Step(e)
		if n%stride != 0 {
			continue
		}
		for mode := range powercut.NumModes {
			dir := filepath.Join(work, "cut")
			must(t, os.RemoveAll(dir))
			must(t, disk.Cut(mode, rnd, dir))
			cuts++
			if err := verifyCut(t, dir, ops, disk.Acked); err != nil {
				broken = append(broken, fmt.Errorf("cut after event %d (%s %s) of %d, mode %d, %d operations acknowledged, next is %q: %w",
					n, e.Kind, e.Path, len(rec.Events()), mode, disk.Acked, ops[min(disk.Acked, len(ops)-1)].name, err))
			}
		}
	}
	return cuts, broken
}

func TestPowerCutAtAnyPointLosesNothingAcknowledged(t *testing.T) {
	seeds, steps, stride := 1, 40, 5
	if !testing.Short() {
		seeds, steps, stride = 2, 60, 3
	}
	for seed := range seeds {
		rec := &powercut.Recorder{Root: t.TempDir()}
		ops := crashRun(t, rec, uint64(seed)+1, steps)
		cuts, broken := cutEverywhere(t, rec, ops, stride)
		for _, err := range broken[:min(len(broken), 5)] {
			t.Error(err)
		}
		if cuts < 100 {
			t.Fatalf("only %d cuts", cuts)
		}
	}
}

// The test above is worth something only if it sees a store that does not sync.
func TestPowerCutTestNoticesMissingSync(t *testing.T) {
	rec := &powercut.Recorder{Root: t.TempDir(), NoSync: true}
	ops := crashRun(t, rec, 1, 30)
	cuts, broken := cutEverywhere(t, rec, ops, 7)
	if len(broken) < cuts/4 {
		t.Fatalf("only %d of %d cuts of a store without syncs were noticed", len(broken), cuts)
	}
}

// The same for a store that acknowledges votes without writing them.
func TestPowerCutTestNoticesLostVotes(t *testing.T) {
	rec := &powercut.Recorder{Root: t.TempDir()}
	armed := false
	rec.Skip = func(path string) bool { return armed && strings.HasSuffix(path, "meta.db") }
	s := openStore(t, rec.Root, func(o *Options) { o.Hooks = hooksOf(rec) })
	l := openLog(t, s, LogOptions{})
	must(t, s.SetIdentity(Identity{ClusterID: "c", BrokerID: 1}))
	rec.Mark(1)
	armed = true
	must(t, l.Append([]Write{{Term: 2, Vote: 3}}))
	rec.Mark(2)
	crash(t, s)
	ops := []crashOp{{term: 1, commit: 1}, {term: 2, vote: 3, commit: 1}}
	disk := powercut.NewDisk()
	for _, e := range rec.Events() {
		disk.Step(e)
	}
	dir := t.TempDir()
	must(t, disk.Cut(powercut.All, nil, dir))
	if err := verifyCut(t, dir, ops, disk.Acked); err == nil || !strings.Contains(err.Error(), "term and vote") {
		t.Fatalf("a lost vote went unnoticed: %v", err)
	}
}
