package raftlog

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/runnel-io/runnel/partition/raftlog/powercut"
)

// Whatever step fails, nothing half done counts: the same install can be tried on, or given up and begun again.
func TestInstallFailsAtAnyStepAndIsTriedAgain(t *testing.T) {
	s := openStore(t, t.TempDir())
	l, ents, cp := shippedLog(t, s, 16)
	for failAt, done := 1, false; !done; failAt++ {
		step := 1 << 30 // not while the store opens
		fail := func() error {
			if step++; step == failAt {
				return syscall.EIO
			}
			return nil
		}
		to := openStore(t, cutDir(t), func(o *Options) {
			o.Hooks = Hooks{
				NoSync: true,
				FS:     func(FSOp) error { return fail() },
				File:   func(FileOp) error { return fail() },
				Commit: func(path string, commit func() error) error {
					if strings.HasSuffix(path, "meta.db") {
						return commit() // ends the whole store
					}
					if err := fail(); err != nil {
						return errors.Join(err, commit()) // the data is there, and yet the commit has failed
					}
					return commit()
				},
			}
		})
		step = 0
		in, err := to.Install(testGroup, newReplica)
		if err == nil {
			sh := ship(t, l, cp)
			if err = transfer(sh, in); err == nil {
				err = in.Finish()
			}
			if err != nil && !in.over { // tried on
				if failAt%2 == 0 {
					must(t, in.Abort())
				} else {
					must(t, transfer(sh, in))
					must(t, in.Finish())
				}
			}
		}
		done = step < failAt
		if err == nil != done {
			t.Fatalf("step %d failed: %v", failAt, err)
		}
		if len(to.Replicas()) == 0 {
			in = install(t, to)
			must(t, transfer(ship(t, l, cp), in))
			must(t, in.Finish())
		}
		checkInstalled(t, to, ents, cp, 2)
		must(t, to.Close())
		if done && failAt < 20 {
			t.Fatalf("only %d steps", failAt)
		}
	}
}

// After a failed sync or commit nobody knows what is on disk, and the next sync may say that all is well: what it was of goes.
func TestRule02FailedSyncOfAnInstallIsNotTriedAgain(t *testing.T) {
	s := openStore(t, t.TempDir())
	l, ents, cp := shippedLog(t, s, 16)
	failing := ""
	to := openStore(t, t.TempDir(), func(o *Options) {
		o.Hooks.File = func(op FileOp) error {
			if op.Kind == failing {
				return syscall.EIO
			}
			return nil
		}
		o.Hooks.Commit = func(_ string, commit func() error) error {
			if err := commit(); err != nil || failing != "commit" {
				return err
			}
			return syscall.EIO
		}
	})
	sh := ship(t, l, cp)
	in := install(t, to)
	must(t, in.Begin(sh.Manifest()))
	for _, failing = range []string{"sync", "commit"} {
		if err := transferFile(sh, in, 0); !errors.Is(err, syscall.EIO) {
			t.Fatalf("a failed %s: %v", failing, err)
		}
		if have, done := in.Have(0); have != 0 || done {
			t.Fatalf("after a failed %s %d bytes are trusted", failing, have)
		}
	}
	failing = ""
	for i := range sh.Manifest().Files {
		must(t, transferFile(sh, in, i))
	}
	must(t, in.WriteTail(nil)) // makes the segment
	p, _, err := sh.Tail(in.TailNext(), 1000, nil)
	must(t, err)
	must(t, in.WriteTail(p))
	failing = "commit"
	p, _, err = sh.Tail(in.TailNext(), 1000, nil)
	must(t, err)
	if err := in.WriteTail(p); !errors.Is(err, syscall.EIO) {
		t.Fatalf("a failed commit: %v", err)
	}
	if in.TailNext() != sh.Manifest().TailFirst {
		t.Fatal("a tail with a failed commit is trusted")
	}
	failing = ""
	must(t, transferRest(sh, in))
	must(t, in.Finish())
	checkInstalled(t, to, ents, cp, 2)
}

// An install ends in nothing or in the whole replica, wherever the power is cut.
func TestRule19PowerCutLeavesNothingOrTheReplica(t *testing.T) {
	s := openStore(t, t.TempDir())
	l, ents, cp := shippedLog(t, s, 24)
	rec := &powercut.Recorder{Root: t.TempDir()}
	to := openStore(t, rec.Root, func(o *Options) { o.Hooks = hooksOf(rec) })
	must(t, to.SetIdentity(Identity{ClusterID: "c", BrokerID: 1}))
	rec.Mark(1)
	in := install(t, to)
	must(t, transfer(ship(t, l, cp), in))
	must(t, in.Finish())
	rec.Mark(2)
	got := checkInstalled(t, to, ents, cp, 2)
	appendAll(t, got, Write{Term: 3, Vote: 1, Commit: cp.Index + 1, Entries: batches(t, cp.Index+1, 3, cp.Next, 1, 10)})
	rec.Mark(3)
	crash(t, to)

	work, rnd, disk, cuts, there := cutDir(t), rand.New(rand.NewPCG(3, 4)), powercut.NewDisk(), 0, 0
	stride := 1
	if testing.Short() {
		stride = 3
	}
	for n, e := range rec.Events() {
		disk.Step(e)
		if n%stride != 0 && n < len(rec.Events())-40 { // each step of the switch, which comes last
			continue
		}
		for mode := range powercut.NumModes {
			dir := filepath.Join(work, "cut")
			must(t, os.RemoveAll(dir))
			must(t, disk.Cut(mode, rnd, dir))
			cuts++
			installed, err := afterInstallCut(dir, ents, cp)
			if err == nil && !installed && disk.Acked >= 2 {
				err = errors.New("the installed replica is gone")
			}
			if err != nil {
				t.Fatalf("cut after event %d of %d (%s %s), mode %d: %v", n, len(rec.Events()), e.Kind, e.Path, mode, err)
			}
			if installed {
				there++
			}
		}
	}
	if cuts < 60 || there < 10 || there == cuts {
		t.Fatalf("%d cuts, the replica there after %d", cuts, there)
	}
}

// afterInstallCut opens what a cut left. If the replica is there, it must be whole; if not, there must be nothing that keeps it from
// being installed again.
func afterInstallCut(dir string, ents []*raftpb.Entry, cp Checkpoint) (installed bool, err error) {
	s, err := Open(Options{Dir: dir, Clock: &testClock{ms: startMS}, Hooks: Hooks{NoSync: true}})
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	des, err := os.ReadDir(filepath.Join(dir, "replicas"))
	if err != nil {
		return false, err
	}
	for _, de := range des {
		if strings.HasSuffix(de.Name(), installSuffix) {
			return false, fmt.Errorf("%s is left", de.Name())
		}
	}
	if len(s.Replicas()) == 0 {
		in, err := s.Install(testGroup, newReplica)
		if err != nil {
			return false, err
		}
		return false, in.Abort()
	}
	l, err := s.OpenLog(testGroup, newReplica, LogOptions{SegmentBytes: smallSegment})
	if err != nil {
		return true, err
	}
	hs, _, err := l.InitialState()
	if err != nil {
		return true, err
	}
	if hs.GetTerm() < 2 || hs.GetCommit() < cp.Index {
		return true, fmt.Errorf("term %d, commit %d, installed with 2, %d", hs.GetTerm(), hs.GetCommit(), cp.Index)
	}
	got, err := l.readEntries(2, cp.Index+1, noLimit)
	if err != nil {
		return true, err
	}
	for i, e := range got {
		if err := sameEntry(e, ents[i]); err != nil {
			return true, err
		}
	}
	if len(got) != int(cp.Index)-1 {
		return true, fmt.Errorf("%d entries, want %d", len(got), cp.Index-1)
	}
	return true, nil
}
