package main

import (
	"os"
	"strings"
	"testing"

	"github.com/runnel-io/runnel/bench/check"
)

func TestADiskIsSoundAgainOnceAllCopiesWereSeenWholeTwice(t *testing.T) {
	a, b := newMachine(nil, nil), newMachine(nil, nil)
	r := &run{machines: []*machine{a, b}}
	a.harm()
	if !a.damaged() || b.damaged() {
		t.Fatal("not the disk that was hit is damaged")
	}
	r.whole()
	if !a.damaged() {
		t.Fatal("what was about to show is not waited for")
	}
	a.harm() // again
	r.whole()
	if !a.damaged() {
		t.Fatal("a second fault counts for nothing")
	}
	r.whole()
	r.whole()
	if a.damaged() || b.damaged() {
		t.Fatal("a disk stays damaged for ever")
	}
}

func TestABrokerThatEndsItselfNeedsAReason(t *testing.T) {
	r := idle(t, 1)
	r.facts = check.Facts{}
	m := r.machines[0]
	if err := os.WriteFile(m.LogFile(), []byte("first\nlast words\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	m.harm()
	r.endedItself(m)
	m.doubt.Store(0)
	m.leaving = true
	r.endedItself(m)
	if len(r.violations) > 0 {
		t.Fatalf("with a reason: %v", r.violations)
	}
	m.leaving = false
	r.endedItself(m)
	if len(r.violations) != 1 || !strings.HasSuffix(r.violations[0].What, ": last words") {
		t.Fatalf("without one: %v", r.violations)
	}
}
