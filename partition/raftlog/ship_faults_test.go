package raftlog

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/runnel-io/runnel/partition/raftlog/powercut"
)

// trimAll has a log keep nothing but its newest segment, as far as it may.
func trimAll(t *testing.T, l *Log, cp Checkpoint) {
	t.Helper()
	l.OfferCheckpoint(cp)
	must(t, l.Maintain())
	l.Trim(cp.Next)
	must(t, l.Maintain())
}

func TestRule08TrimsDuringShippingAreHarmless(t *testing.T) {
	s, to := openStore(t, t.TempDir()), openStore(t, t.TempDir())
	l, ents, cp := shippedLog(t, s, 40)
	sh := ship(t, l, cp)
	n := len(l.Segments())
	in := install(t, to)
	must(t, in.Begin(sh.Manifest()))
	must(t, transferFile(sh, in, 0))
	trimAll(t, l, cp)
	if got := len(l.Segments()); got >= n || got != 1 {
		t.Fatalf("%d segments of %d are left: nothing was trimmed", got, n)
	}
	must(t, transferRest(sh, in))
	must(t, in.Finish())
	checkInstalled(t, to, ents, cp, 2)
}

// The tail is held although retention would have it, but not for ever and not whatever its size.
func TestRule08TailIsHeldByALease(t *testing.T) {
	for name, end := range map[string]func(l *Log, sh *Shipment, clock *testClock){
		"closed":    func(_ *Log, sh *Shipment, _ *testClock) { _ = sh.Close() },
		"unread":    func(_ *Log, _ *Shipment, clock *testClock) { clock.ms += (holdIdle + time.Second).Milliseconds() },
		"too large": func(l *Log, _ *Shipment, _ *testClock) { l.segs[len(l.segs)-2].bytes = holdBytes + 1 },
		"takes hours": func(_ *Log, sh *Shipment, clock *testClock) {
			for range 3 * 60 * 2 {
				clock.ms += 30_000
				_, _, _ = sh.Tail(sh.m.TailFirst, 1, nil)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			clock := &testClock{ms: startMS}
			s := openStore(t, t.TempDir(), func(o *Options) { o.Clock = clock })
			l, ents, cp := shippedLog(t, s, 40)
			sh := ship(t, l, cp)
			// The tail's segment is rolled and applied; only the lease keeps it.
			index, base := cp.Index+2, cp.Next+1
			more := batches(t, index, 2, base, 20, 4096)
			ents = append(ents, more...)
			for _, e := range more {
				appendAll(t, l, Write{Entries: []*raftpb.Entry{e}})
			}
			last := index + 19
			applyTo(t, l, ents, last)
			for range 3 * 60 { // hours go by, and it is read from
				clock.ms += 30_000
				if _, _, err := sh.Tail(sh.m.TailFirst, 1, nil); err != nil {
					t.Fatal(err)
				}
			}
			trimAll(t, l, checkpointAt(ents, last))
			if got := l.Segments()[0].FirstIndex; got != sh.m.TailFirst {
				t.Fatalf("the log starts at %d, the held tail at %d", got, sh.m.TailFirst)
			}
			end(l, sh, clock)
			l.Trim(0)
			must(t, l.Maintain())
			if got := l.Segments()[0].FirstIndex; got <= sh.m.TailFirst {
				t.Fatalf("the log starts at %d: the lease never ends", got)
			}
			if _, _, err := sh.Tail(sh.m.TailFirst, 1, nil); !errors.Is(err, ErrShipmentOver) {
				t.Fatalf("a trimmed tail: %v", err)
			}
		})
	}
}

// What follows an installed replica's end stays for a little, so that it can become a learner.
func TestRule08WhatFollowsAnInstallLingers(t *testing.T) {
	clock := &testClock{ms: startMS}
	s := openStore(t, t.TempDir(), func(o *Options) { o.Clock = clock })
	l, ents, cp := shippedLog(t, s, 40)
	sh := ship(t, l, cp)
	ents = append(ents, batches(t, cp.Index+2, 2, cp.Next+1, 20, 4096)...)
	for _, e := range ents[cp.Index:] {
		appendAll(t, l, Write{Entries: []*raftpb.Entry{e}})
	}
	last := cp.Index + 21
	applyTo(t, l, ents, last)
	must(t, sh.Installed())
	trimAll(t, l, checkpointAt(ents, last))
	if _, err := l.readEntries(cp.Index+1, cp.Index+2, noLimit); err != nil {
		t.Fatalf("what follows is gone at once: %v", err)
	}
	clock.ms += (holdIdle + time.Second).Milliseconds()
	l.Trim(0)
	must(t, l.Maintain())
	if first, _ := l.FirstIndex(); first <= cp.Index+1 {
		t.Fatalf("the log starts at %d for ever", first)
	}
}

// Entries above what is applied may be truncated. They are in no shipment, and a truncation changes nothing of one.
func TestRule19TruncationIsNeverSeen(t *testing.T) {
	s, to := openStore(t, t.TempDir()), openStore(t, t.TempDir())
	l := openLog(t, s, LogOptions{SegmentBytes: smallSegment})
	ents := fillSegments(t, l, 40)
	at := l.Segments()[2].LastIndex + 2
	applyTo(t, l, ents, at)
	cp := checkpointAt(ents, at)
	sh := ship(t, l, cp)
	in := install(t, to)
	must(t, in.Begin(sh.Manifest()))
	must(t, transferFile(sh, in, 0))
	appendAll(t, l, Write{Term: 7, Entries: batches(t, at+1, 7, cp.Next, 10, 4096)})
	must(t, transferRest(sh, in))
	must(t, in.Finish())
	checkInstalled(t, to, ents, cp, 1)
}

func TestRule19DamageInTransitIsDetectedAndRepaired(t *testing.T) {
	s, to := openStore(t, t.TempDir()), openStore(t, t.TempDir())
	l, ents, cp := shippedLog(t, s, 40)
	sh := ship(t, l, cp)
	in := install(t, to)
	must(t, in.Begin(sh.Manifest()))
	m := sh.Manifest()
	var d *DamagedError
	for i := range m.Files {
		p := make([]byte, m.Files[i].Bytes)
		n, err := sh.ReadFile(i, 0, p)
		must(t, err)
		p[n/2] ^= 0x10
		must(t, in.WriteFile(i, 0, p))
		sum, err := sh.Sum(context.Background(), i)
		must(t, err)
		if err := in.FinishFile(i, sum); !errors.As(err, &d) || !d.Transit {
			t.Fatalf("a flipped bit in file %d: %v", i, err)
		}
		if have, done := in.Have(i); have != 0 || done {
			t.Fatal("the damaged file is kept")
		}
		if _, err := os.Stat(in.path(in.files[i])); !errors.Is(err, os.ErrNotExist) {
			t.Fatalf("the damaged file is still there: %v", err)
		}
	}
	for i := range m.Files {
		must(t, transferFile(sh, in, i))
	}
	p, _, err := sh.Tail(m.TailFirst, 1<<20, nil)
	must(t, err)
	for _, bad := range []func(p []byte) []byte{
		func(p []byte) []byte { p[100] ^= 1; return p },
		func(p []byte) []byte { p[17] ^= 1; return p },
		func(p []byte) []byte { return p[:len(p)-1] },
		func(p []byte) []byte { return p[:40] },
	} {
		if err := in.WriteTail(bad(append([]byte(nil), p...))); !errors.As(err, &d) || !d.Transit {
			t.Fatalf("a damaged tail: %v", err)
		}
	}
	if err := in.Finish(); err == nil {
		t.Fatal("finished without a tail")
	}
	must(t, in.WriteTail(p))
	must(t, in.Finish())
	checkInstalled(t, to, ents, cp, 2)
}

// flip changes one byte of the first occurrence of what in a file.
func flip(t *testing.T, path, what string) {
	t.Helper()
	raw, err := os.ReadFile(path)
	must(t, err)
	i := strings.Index(string(raw), what)
	if i < 0 {
		t.Fatalf("%s does not hold what is to be damaged", path)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	must(t, err)
	_, err = f.WriteAt([]byte{raw[i] ^ 1}, int64(i))
	must(t, errors.Join(err, f.Close()))
}

// Damage at the source has the right hash. The source finds it when it hashes, and is quarantined; if it does not, the
// receiver finds it.
func TestRule19DamagedSourceIsNotPropagated(t *testing.T) {
	for _, sourceLooks := range []bool{true, false} {
		s, to := openStore(t, t.TempDir()), openStore(t, t.TempDir())
		l, ents, cp := shippedLog(t, s, 40)
		path := l.segs[1].file.path
		sh := ship(t, l, cp)
		if !sourceLooks { // it remembers hashes from before: as if it had been damaged since
			f, err := os.Open(path)
			must(t, err)
			flip(t, path, string(ents[10].Data[200:300]))
			raw, err := os.ReadFile(path)
			must(t, err)
			sum := sha256.Sum256(raw[:sh.m.Files[1].Bytes])
			l.segs[1].sum = &sum
			must(t, f.Close())
		} else {
			flip(t, path, string(ents[10].Data[200:300]))
		}
		in := install(t, to)
		err := transfer(sh, in)
		if sourceLooks {
			var p *PoisonedError
			if !errors.As(err, &p) {
				t.Fatalf("the source ships its damage: %v", err)
			}
			if rs := s.Replicas(); rs[0].Quarantine == "" {
				t.Fatal("the source is not quarantined")
			}
			continue
		}
		var d *DamagedError
		if !errors.As(err, &d) || d.Transit {
			t.Fatalf("the damage was installed: %v", err)
		}
		must(t, in.Abort())
	}
}

func TestRule19SpaceIsCheckedFirst(t *testing.T) {
	free := int64(1 << 30)
	s := openStore(t, t.TempDir())
	to := openStore(t, t.TempDir(), func(o *Options) {
		o.Hooks.Free = func(string) (int64, error) { return free, nil }
		o.ReserveBytes = 100 << 20
	})
	l, ents, cp := shippedLog(t, s, 40)
	sh := ship(t, l, cp)
	in := install(t, to)
	free = 100<<20 + sh.Manifest().Bytes()
	if err := in.Begin(sh.Manifest()); !errors.Is(err, syscall.ENOSPC) || Lasting(err) {
		t.Fatalf("began with too little space: %v", err)
	}
	free = 1 << 30
	must(t, transfer(sh, in))
	must(t, in.Finish())
	checkInstalled(t, to, ents, cp, 2)
}

// A shipment that is over is taken up again with a new manifest: what was received counts.
func TestInstallGoesOnWithANewManifest(t *testing.T) {
	s, to := openStore(t, t.TempDir()), openStore(t, t.TempDir())
	l, ents, cp := shippedLog(t, s, 40)
	sh := ship(t, l, cp)
	in := install(t, to)
	must(t, in.Begin(sh.Manifest()))
	must(t, transferFile(sh, in, 0))
	must(t, transferFile(sh, in, 1))
	buf := make([]byte, 3000)
	_, err := sh.ReadFile(2, 0, buf)
	must(t, err)
	must(t, in.WriteFile(2, 0, buf))
	must(t, sh.Close())
	if err := transferRest(sh, in); !errors.Is(err, ErrShipmentOver) {
		t.Fatalf("a closed shipment: %v", err)
	}
	// Meanwhile the log grew, and its first segment was trimmed.
	ents = append(ents, batches(t, cp.Index+2, 2, cp.Next+1, 30, 4096)...)
	for _, e := range ents[cp.Index:] {
		appendAll(t, l, Write{Entries: []*raftpb.Entry{e}})
	}
	last := cp.Index + 31
	applyTo(t, l, ents, last)
	second := l.Segments()[1]
	cp = checkpointAt(ents, last)
	cp.LogStart = second.Base
	l.OfferCheckpoint(cp)
	must(t, l.Maintain())
	l.Trim(second.Base)
	must(t, l.Maintain())

	again := ship(t, l, cp)
	m := again.Manifest()
	if m.Files[0].First != second.FirstIndex {
		t.Fatalf("the manifest begins at %d", m.Files[0].First)
	}
	must(t, in.Begin(m))
	if have, done := in.Have(0); !done || have != m.Files[0].Bytes {
		t.Fatalf("the second segment has to come again: %d, %v", have, done)
	}
	if have, _ := in.Have(1); have != 3000 {
		t.Fatalf("a piece of the third segment has to come again: %d", have)
	}
	must(t, transferRest(again, in))
	must(t, in.Finish())
	checkInstalled(t, to, ents, cp, 2)
	des, err := os.ReadDir(to.replicaDir(in.id))
	must(t, err)
	if len(des) != len(m.Files)+1 {
		t.Fatalf("%d files, want %d", len(des), len(m.Files)+1)
	}
}

// From another source nothing fits, since segments are cut elsewhere; and a file that only looks the same is found by its hash.
func TestInstallGoesOnFromAnotherSource(t *testing.T) {
	a, b, to := openStore(t, t.TempDir()), openStore(t, t.TempDir()), openStore(t, t.TempDir())
	l, ents, cp := shippedLog(t, a, 40)
	sh := ship(t, l, cp)
	in := install(t, to)
	must(t, transfer(sh, in))
	must(t, b.Create(testGroup, 2, founders()))
	other, err := b.OpenLog(testGroup, 2, LogOptions{SegmentBytes: smallSegment})
	must(t, err)
	appendAll(t, other, Write{Term: 3, Commit: cp.Index, Entries: ents[:cp.Index-1]})
	other.SetApplied(cp.Index)
	sh = ship(t, other, cp)
	must(t, in.Begin(sh.Manifest()))
	if have, _ := in.Have(0); have != 0 {
		t.Fatal("kept a file of another source")
	}
	must(t, transferRest(sh, in))
	must(t, in.Finish())
	checkInstalled(t, to, ents, cp, 3)
}

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
