package raftlog

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	bolt "go.etcd.io/bbolt"
	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
)

// commitHook counts commits by file and fails them on demand.
type commitHook struct {
	mu    sync.Mutex
	n     map[string]int
	fail  func(path string) error // before the commit: the data sync failed
	after func(path string) error // after it: the meta sync failed
}

func (c *commitHook) hooks() Hooks {
	c.n = map[string]int{}
	return Hooks{Commit: func(path string, commit func() error) error {
		c.mu.Lock()
		c.n[filepath.Base(path)]++
		fail, after := c.fail, c.after
		c.mu.Unlock()
		if fail != nil {
			if err := fail(path); err != nil {
				return err
			}
		}
		if err := commit(); err != nil {
			return err
		}
		if after != nil {
			return after(path)
		}
		return nil
	}}
}

func (c *commitHook) total() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for _, k := range c.n {
		n += k
	}
	return n
}

func (c *commitHook) set(fail, after func(string) error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fail, c.after = fail, after
}

func eio(suffix string) func(string) error {
	return func(path string) error {
		if strings.HasSuffix(path, suffix) {
			return syscall.EIO
		}
		return nil
	}
}

// A term change and the entries it came with: a crash between the two leaves a term ahead of the log, which raft takes,
// and never a commit ahead of it, which panics every restart.
func TestRule01TermIsDurableBeforeEntriesAndCommitNeverAhead(t *testing.T) {
	dir := t.TempDir()
	hook := &commitHook{}
	s := openStore(t, dir, func(o *Options) { o.Hooks = hook.hooks() })
	l := openLog(t, s, LogOptions{})
	hook.set(eio(segSuffix), nil)
	err := l.Append([]Write{{Term: 2, Vote: 1, Commit: 4, Entries: batches(t, 2, 2, 0, 3, 10)}})
	if !errors.Is(err, syscall.EIO) {
		t.Fatalf("append: %v", err)
	}
	crash(t, s)

	// What a kill at that moment leaves: the same folder without the quarantine.
	clearQuarantine(t, dir)
	s = openStore(t, dir)
	l = openLog(t, s, LogOptions{})
	hs, cs, err := l.InitialState()
	must(t, err)
	if hs.GetTerm() != 2 || hs.GetVote() != 1 || hs.GetCommit() != 1 || len(cs.GetVoters()) != 3 {
		t.Fatalf("after the crash: %v, %v", hs, cs)
	}
	newNode(t, l, 1) // panics when commit is ahead
}

// The same where one append spans a roll: its first transaction knows of a commit that only its second one reaches.
func TestRule01CommitIsCappedAtTheLastEntryOfEachTransaction(t *testing.T) {
	dir := t.TempDir()
	hook := &commitHook{}
	s := openStore(t, dir, func(o *Options) { o.Hooks = hook.hooks() })
	l := openLog(t, s, LogOptions{SegmentBytes: smallSegment})
	hook.set(eio(tmpSuffix), nil)
	if err := l.Append([]Write{{Commit: 21, Entries: batches(t, 2, 1, 0, 20, 4096)}}); !errors.Is(err, syscall.EIO) {
		t.Fatalf("append: %v", err)
	}
	crash(t, s)
	clearQuarantine(t, dir)
	s = openStore(t, dir)
	l = openLog(t, s, LogOptions{SegmentBytes: smallSegment})
	hs, _, _ := l.InitialState()
	if last, _ := l.LastIndex(); last < 3 || last > 20 || hs.GetCommit() != last {
		t.Fatalf("commit %d, last %d", hs.GetCommit(), last)
	}
}

func clearQuarantine(t *testing.T, dir string) {
	t.Helper()
	db, err := bolt.Open(filepath.Join(dir, "meta.db"), 0o600, nil)
	must(t, err)
	must(t, db.Update(func(tx *bolt.Tx) error {
		id := replicaID{testGroup, testReplica}
		b := tx.Bucket(bucketReplicas)
		r, err := decodeMetaRecord(b.Get(id.key()))
		if err != nil {
			return err
		}
		r.flags &^= recordQuarantined
		return putMeta(tx, bucketReplicas, id.key(), r.encode())
	}))
	must(t, db.Close())
}

func newNode(t *testing.T, l *Log, id uint64) *raft.RawNode {
	t.Helper()
	rn, err := raft.NewRawNode(&raft.Config{
		ID: id, Applied: l.FoldTo(), ElectionTick: 10, HeartbeatTick: 1, Storage: l, MaxSizePerMsg: 64 << 10,
		MaxCommittedSizePerReady: 64 << 10, MaxInflightMsgs: 16, AsyncStorageWrites: true, CheckQuorum: true, PreVote: true,
		DisableProposalForwarding: true, StepDownOnRemoval: true, Logger: discardLogger{},
	})
	must(t, err)
	return rn
}

// Votes of many replicas that come while a commit is under way share the next one.
func TestRule01VotesAreGroupCommitted(t *testing.T) {
	hook := &commitHook{}
	s := openStore(t, t.TempDir(), func(o *Options) { o.Hooks = hook.hooks() })
	const n = 20
	var logs []*Log
	for i := uint64(1); i <= n; i++ {
		must(t, s.Create(i, i, founders()))
		l, err := s.OpenLog(i, i, LogOptions{})
		must(t, err)
		logs = append(logs, l)
	}
	started, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	hook.set(func(string) error {
		once.Do(func() { close(started); <-release })
		return nil
	}, nil)
	before := hook.total()
	var wg sync.WaitGroup
	vote := func(l *Log) {
		wg.Add(1)
		go func() {
			defer wg.Done()
			if err := l.Append([]Write{{Term: 5, Vote: 2}}); err != nil {
				t.Error(err)
			}
		}()
	}
	vote(logs[0])
	<-started
	for _, l := range logs[1:] {
		vote(l)
	}
	// All others queue before any can commit.
	for queued := 0; queued < n-1; {
		s.meta.mu.Lock()
		queued = len(s.meta.queue)
		s.meta.mu.Unlock()
		runtime.Gosched()
	}
	close(release)
	wg.Wait()
	if got := hook.total() - before; got != 2 {
		t.Fatalf("%d commits for %d votes, want 2", got, n)
	}
	for _, l := range logs {
		if hs, _, _ := l.InitialState(); hs.GetTerm() != 5 || hs.GetVote() != 2 {
			t.Fatalf("hard state %v", hs)
		}
	}
}

func TestRule01TermAndVoteNeverGoBack(t *testing.T) {
	for _, w := range []Write{{Term: 2, Vote: 1}, {Term: 3, Vote: 2}} {
		s := openStore(t, t.TempDir())
		l := openLog(t, s, LogOptions{})
		appendAll(t, l, Write{Term: 3, Vote: 1})
		var p *PoisonedError
		if err := l.Append([]Write{w}); !errors.As(err, &p) {
			t.Fatalf("write %+v after term 3, vote 1: %v", w, err)
		}
	}
}

func TestRule01LostFolderIsQuarantinedAndUnknownFolderRebuilt(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	l := openLog(t, s, LogOptions{})
	folder := l.dir
	must(t, s.Close())
	must(t, os.RemoveAll(folder))
	s = openStore(t, dir)
	var q *QuarantinedError
	if _, err := s.OpenLog(testGroup, testReplica, LogOptions{}); !errors.As(err, &q) {
		t.Fatalf("open without the folder: %v", err)
	}
	must(t, s.Create(testGroup, testReplica, founders())) // idempotent: must not recreate
	if _, err := os.Stat(folder); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("the folder was recreated: %v", err)
	}

	// A folder that meta.db does not know.
	stray := s.replicaDir(replicaID{9, 9})
	must(t, os.MkdirAll(stray, 0o750))
	must(t, os.WriteFile(filepath.Join(stray, segName(2)), []byte("half made"), 0o600))
	must(t, s.Create(9, 9, founders()))
	_, err := s.OpenLog(9, 9, LogOptions{})
	must(t, err)
}

func TestRule01LostMetaIsANewIncarnation(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	openLog(t, s, LogOptions{})
	must(t, s.SetIdentity(Identity{ClusterID: "c", BrokerID: 4}))
	old := s.Identity()
	must(t, s.Close())
	s = openStore(t, dir)
	if got := s.Identity(); got != old || got.Incarnation == "" {
		t.Fatalf("identity %+v after a restart, was %+v", got, old)
	}
	must(t, s.Close())
	must(t, os.WriteFile(filepath.Join(dir, "meta.db"), make([]byte, 64<<10), 0o600))
	s = openStore(t, dir)
	if got := s.Identity(); got.Incarnation == old.Incarnation || got.BrokerID != 0 || got.ClusterID != "" {
		t.Fatalf("a wiped disk kept its identity: %+v", got)
	}
	if _, err := s.OpenLog(testGroup, testReplica, LogOptions{}); !errors.Is(err, ErrUnknownReplica) {
		t.Fatalf("a wiped disk knows its replica: %v", err)
	}
}

// E1: a failed data sync and a failed meta sync, which leaves the data visible, both end the replica for good.
func TestRule02FailedSyncQuarantinesDurably(t *testing.T) {
	for _, metaSync := range []bool{false, true} {
		dir := t.TempDir()
		hook := &commitHook{}
		s := openStore(t, dir, func(o *Options) { o.Hooks = hook.hooks() })
		var told atomic.Int32
		l := openLog(t, s, LogOptions{Poisoned: func(error) { told.Add(1) }})
		appendAll(t, l, Write{Entries: batches(t, 2, 1, 0, 3, 10)})
		if metaSync {
			hook.set(nil, eio(segSuffix))
		} else {
			hook.set(eio(segSuffix), nil)
		}
		var p *PoisonedError
		if err := l.Append([]Write{{Entries: batches(t, 5, 1, 3, 1, 10)}}); !errors.As(err, &p) {
			t.Fatalf("append over a failing disk: %v", err)
		}
		hook.set(nil, nil)
		if err := l.Append([]Write{{Entries: batches(t, 5, 1, 3, 1, 10)}}); !errors.As(err, &p) {
			t.Fatalf("append after the failure: %v", err)
		}
		if last, _ := l.LastIndex(); last != 4 {
			t.Fatalf("last index %d counts what failed", last)
		}
		if err := l.Maintain(); !errors.As(err, &p) {
			t.Fatalf("maintain after the failure: %v", err)
		}
		if told.Load() != 1 {
			t.Fatalf("the owner was told %d times", told.Load())
		}
		crash(t, s)
		s = openStore(t, dir)
		var q *QuarantinedError
		if _, err := s.OpenLog(testGroup, testReplica, LogOptions{}); !errors.As(err, &q) {
			t.Fatalf("open after a failed sync (meta sync %v): %v", metaSync, err)
		}
		if rs := s.Replicas(); len(rs) != 1 || !strings.Contains(rs[0].Quarantine, "input/output error") {
			t.Fatalf("replicas %+v", rs)
		}
	}
}

func TestRule02FailedMetaStopsTheBroker(t *testing.T) {
	hook := &commitHook{}
	var fatal atomic.Int32
	s := openStore(t, t.TempDir(), func(o *Options) {
		o.Hooks = hook.hooks()
		o.Fatal = func(error) { fatal.Add(1) }
	})
	l := openLog(t, s, LogOptions{})
	must(t, s.Create(8, 8, founders()))
	other, err := s.OpenLog(8, 8, LogOptions{})
	must(t, err)
	hook.set(nil, eio("meta.db"))
	if err := l.Append([]Write{{Term: 2, Vote: 1}}); err == nil {
		t.Fatal("a vote was acknowledged that may not be on disk")
	}
	hook.set(nil, nil)
	var p *PoisonedError
	if err := other.Append([]Write{{Entries: batches(t, 2, 1, 0, 1, 10)}}); !errors.As(err, &p) {
		t.Fatalf("another replica acknowledges after meta.db failed: %v", err)
	}
	if fatal.Load() != 1 {
		t.Fatalf("the broker was told %d times to stop", fatal.Load())
	}
}

func TestRule02FlippedBitPoisonsOnRead(t *testing.T) {
	for _, size := range []int{100, 9000} {
		dir := t.TempDir()
		s := openStore(t, dir)
		l := openLog(t, s, LogOptions{SegmentBytes: 64 << 10})
		ents := batches(t, 2, 1, 0, 40, size)
		appendAll(t, l, Write{Commit: 41, Entries: ents})
		path := l.segs[0].file.path
		must(t, s.Close())
		b, err := os.ReadFile(path)
		must(t, err)
		at := strings.Index(string(b), string(ents[3].Data[len(ents[3].Data)-60:]))
		b[at+7] ^= 4
		must(t, os.WriteFile(path, b, 0o600))

		s = openStore(t, dir)
		var q *QuarantinedError
		l, err = s.OpenLog(testGroup, testReplica, LogOptions{SegmentBytes: 64 << 10})
		if errors.As(err, &q) {
			continue // found while opening already
		}
		must(t, err)
		forget(l)
		var p *PoisonedError
		_, _, err = l.ReadBatches(0, 40, 10<<20, nil)
		if !errors.As(err, &p) {
			t.Fatalf("a flipped bit was served: %v", err)
		}
		if rs := s.Replicas(); rs[0].Quarantine == "" {
			t.Fatal("the damage was not recorded")
		}
	}
}

func TestRule03FoundingCheckpointIsEqualOnAllFounders(t *testing.T) {
	var first *Log
	for i := range uint64(3) {
		s := openStore(t, t.TempDir())
		must(t, s.Create(5, i+1, founders()))
		must(t, s.Create(5, i+1, founders()))
		l, err := s.OpenLog(5, i+1, LogOptions{})
		must(t, err)
		fi, _ := l.FirstIndex()
		li, _ := l.LastIndex()
		term, err := l.Term(1)
		hs, _, _ := l.InitialState()
		if fi != 2 || li != 1 || term != 1 || err != nil || hs.GetTerm() != 1 || hs.GetCommit() != 1 || l.FoldTo() != 1 {
			t.Fatalf("founding: first %d, last %d, term %d, %v, %v", fi, li, term, err, hs)
		}
		if first != nil && first.Checkpoint().Conf.String() != l.Checkpoint().Conf.String() {
			t.Fatal("founders differ")
		}
		first = l
		rn := newNode(t, l, i+1)
		must(t, rn.Campaign())
		if !rn.HasReady() {
			t.Fatal("a founder cannot campaign at once")
		}
		for _, m := range rn.Ready().Messages {
			if m.GetType() == raftpb.MsgPreVote && m.GetIndex() != 1 {
				t.Fatalf("the first vote request starts at index %d", m.GetIndex())
			}
		}
	}
}

type discardLogger struct{}

func (discardLogger) Debug(...any)              {}
func (discardLogger) Debugf(string, ...any)     {}
func (discardLogger) Error(...any)              {}
func (discardLogger) Errorf(string, ...any)     {}
func (discardLogger) Info(...any)               {}
func (discardLogger) Infof(string, ...any)      {}
func (discardLogger) Warning(...any)            {}
func (discardLogger) Warningf(string, ...any)   {}
func (discardLogger) Fatal(v ...any)            { panic(v) }
func (discardLogger) Fatalf(f string, v ...any) { panic(f) }
func (discardLogger) Panic(v ...any)            { panic(v) }
func (discardLogger) Panicf(f string, v ...any) { panic(f) }

// What a killed process left in the page cache alone is on disk before a start goes by it: another would take it for promised.
func TestRule02StartSyncsWhatItBelieves(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	l := openLog(t, s, LogOptions{SegmentBytes: smallSegment})
	fillSegments(t, l, 20)
	newest := filepath.Base(l.segs[len(l.segs)-1].file.path)
	crash(t, s)

	var done []string
	note := func(kind, path string) { done = append(done, kind+" "+filepath.Base(path)) }
	s = openStore(t, dir, func(o *Options) {
		o.Hooks.FS = func(op FSOp) error { note(op.Kind, op.Path); return nil }
		o.Hooks.File = func(op FileOp) error { note(op.Kind, op.Path); return nil }
		o.Hooks.Opened = func(path string, _ *bolt.DB) { note("open", path) }
	})
	l = openLog(t, s, LogOptions{SegmentBytes: smallSegment})
	want := []string{"sync meta.db", "syncdir " + filepath.Base(dir), "open meta.db", "sync " + newest, "syncdir " + filepath.Base(l.dir), "open " + newest}
	if len(done) < len(want) || !slices.Equal(done[:len(want)], want) {
		t.Fatalf("a start after a kill did %q, want first %q", done, want)
	}
	must(t, s.Close())

	// A disk that cannot keep it makes it known: the replica is not to run.
	crashed := openStore(t, dir)
	openLog(t, crashed, LogOptions{SegmentBytes: smallSegment})
	crash(t, crashed)
	s = openStore(t, dir, func(o *Options) {
		o.Hooks.File = func(op FileOp) error { return eio(newest)(op.Path) }
	})
	var q *QuarantinedError
	if _, err := s.OpenLog(testGroup, testReplica, LogOptions{SegmentBytes: smallSegment}); !errors.As(err, &q) {
		t.Fatalf("the newest segment cannot be synced: %v", err)
	}
}
