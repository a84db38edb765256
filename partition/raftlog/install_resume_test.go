package raftlog

import (
	"errors"
	"os"
	"testing"

	"go.etcd.io/raft/v3/raftpb"
)

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
