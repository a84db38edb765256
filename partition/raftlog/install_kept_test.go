package raftlog

import "testing"

// A source moves its first index before it unlinks what lies below. Stopped in between, it has those files again after its start: its next
// manifest begins earlier and ends in the same segment. What was received of that segment does not know the files that come in front of it.
func TestInstallGoesOnAfterItsSourceBeginsEarlier(t *testing.T) {
	dir := t.TempDir()
	s, to := openStore(t, dir), openStore(t, t.TempDir())
	l, ents, cp := shippedLog(t, s, 40)
	second := l.Segments()[1]
	cp.LogStart = second.Base
	l.OfferCheckpoint(cp)
	must(t, l.Maintain())
	if !l.Trim(second.Base) {
		t.Fatal("there is nothing to trim")
	}
	sh := ship(t, l, cp) // nothing is unlinked yet
	if first := sh.Manifest().Files[0].First; first != second.FirstIndex {
		t.Fatalf("the manifest begins at %d, the log at %d", first, second.FirstIndex)
	}
	in := install(t, to)
	must(t, in.Begin(sh.Manifest()))
	for i := range sh.Manifest().Files {
		must(t, transferFile(sh, in, i))
	}
	p, _, err := sh.Tail(in.TailNext(), 1, nil) // one entry
	must(t, err)
	must(t, in.WriteTail(p))
	must(t, sh.Close())
	must(t, s.Close())

	s = openStore(t, dir)
	l = openLog(t, s, LogOptions{SegmentBytes: smallSegment})
	l.SetApplied(cp.Index)
	again := ship(t, l, cp)
	m := again.Manifest()
	if m.Files[0].First >= second.FirstIndex || m.TailFirst != sh.Manifest().TailFirst {
		t.Fatalf("after the start it begins at %d and its tail at %d, before at %d and %d", m.Files[0].First, m.TailFirst, second.FirstIndex, sh.Manifest().TailFirst)
	}
	must(t, in.Begin(m))
	if have, done := in.Have(1); !done {
		t.Fatalf("the second segment has to come again: %d bytes are there", have)
	}
	must(t, transferRest(again, in))
	must(t, in.Finish())
	checkInstalled(t, to, ents, cp, 2)
}

// The other way round nothing has to come again: what the tail says of files that were trimmed since is of no account.
func TestInstallKeepsTheTailWhenItsSourceBeginsLater(t *testing.T) {
	s, to := openStore(t, t.TempDir()), openStore(t, t.TempDir())
	l, ents, cp := shippedLog(t, s, 40)
	sh := ship(t, l, cp)
	in := install(t, to)
	must(t, in.Begin(sh.Manifest()))
	must(t, transferRest(sh, in))
	next := in.TailNext()
	must(t, sh.Close())
	second := l.Segments()[1]
	cp.LogStart = second.Base
	l.OfferCheckpoint(cp)
	must(t, l.Maintain())
	l.Trim(second.Base)
	must(t, l.Maintain())
	again := ship(t, l, cp)
	must(t, in.Begin(again.Manifest()))
	if got := in.TailNext(); got != next {
		t.Fatalf("the tail goes on from entry %d, it was received up to %d", got, next-1)
	}
	must(t, transferRest(again, in))
	must(t, in.Finish())
	checkInstalled(t, to, ents, cp, 2)
}
