package raftlog

import (
	"errors"
	"os"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"
	"go.etcd.io/raft/v3/raftpb"
)

// trimAll has a log keep nothing but its newest segment, as far as it may.
func trimAll(t *testing.T, l *Log, cp Checkpoint) {
	t.Helper()
	l.OfferCheckpoint(cp)
	must(t, l.Maintain())
	l.Trim(cp.Next)
	must(t, l.Maintain())
}

// The file that is being read stays readable when a trim takes it away. Then the shipment is over, and the next one has what is left.
func TestRule08TrimsDuringShippingAreHarmless(t *testing.T) {
	s, to := openStore(t, t.TempDir()), openStore(t, t.TempDir())
	l, ents, cp := shippedLog(t, s, 40)
	sh := ship(t, l, cp)
	n := len(l.Segments())
	in := install(t, to)
	must(t, in.Begin(sh.Manifest()))
	must(t, transferFile(sh, in, 0))
	buf := make([]byte, 3000)
	_, err := sh.ReadFile(1, 0, buf)
	must(t, err)
	must(t, in.WriteFile(1, 0, buf))
	trimAll(t, l, cp)
	if got := len(l.Segments()); got >= n || got != 1 {
		t.Fatalf("%d segments of %d are left: nothing was trimmed", got, n)
	}
	must(t, transferFile(sh, in, 1))
	if err := transferRest(sh, in); !errors.Is(err, ErrShipmentOver) {
		t.Fatalf("a file that is gone: %v", err)
	}
	if s.Replicas()[0].Quarantine != "" {
		t.Fatal("a trimmed file is taken for damage")
	}
	must(t, sh.Close())
	cp.LogStart = cp.Next
	must(t, transfer(ship(t, l, cp), in))
	must(t, in.Finish())
	checkInstalled(t, to, ents, cp, 2)
}

// A trim while the list of segments is drawn up: a look into one that is gone says so, and Ship makes the list anew.
func TestRule08TrimWhileTheSegmentsAreListed(t *testing.T) {
	s := openStore(t, t.TempDir())
	l, _, cp := shippedLog(t, s, 40)
	_, segs, _, err := l.planShipment(&cp)
	must(t, err)
	trimAll(t, l, cp)
	if err := segs[0].view(func(*bolt.Tx) error { return nil }); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("a segment that was trimmed: %v", err)
	}
	if sh := ship(t, l, cp); sh.Manifest().TailFirst == 2 || len(sh.Manifest().Files) != 0 {
		t.Fatalf("not trimmed: %+v", sh.Manifest())
	}
}

// However many segments a log has, a shipment holds few of them open, and so keeps few trimmed ones on the disk.
func TestShipmentHoldsFewFilesOpen(t *testing.T) {
	opened := 0
	s, to := openStore(t, t.TempDir(), func(o *Options) {
		o.Hooks.Open = func(string) error { opened++; return nil }
	}), openStore(t, t.TempDir())
	l, ents, cp := shippedLog(t, s, 60)
	sh := ship(t, l, cp)
	if len(sh.Manifest().Files) < 6 || len(sh.open) != 0 {
		t.Fatalf("%d files, of which %d are open", len(sh.Manifest().Files), len(sh.open))
	}
	opened = 0 // to list them, by the store's cache, which is bounded
	in := install(t, to)
	must(t, in.Begin(sh.Manifest()))
	for i := range sh.Manifest().Files {
		must(t, transferFile(sh, in, i))
		if len(sh.open) > shipOpen {
			t.Fatalf("%d files open", len(sh.open))
		}
	}
	if opened != len(sh.Manifest().Files) {
		t.Fatalf("%d files were opened %d times", len(sh.Manifest().Files), opened)
	}
	must(t, transferRest(sh, in))
	must(t, in.Finish())
	checkInstalled(t, to, ents, cp, 2)
	must(t, sh.Close())
	if len(sh.open) != 0 {
		t.Fatal("files are left open")
	}
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
