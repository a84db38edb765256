package main

import (
	"testing"
	"time"
)

func TestOutagesAreChargedToTheFaultsAroundThem(t *testing.T) {
	s := time.Second
	acks := [][]time.Duration{
		{0, s / 4, s / 2, 3 * s, 13 * s / 4, 7 * s / 2, 5 * s}, // 2.5 s from 0.5 on, 1.5 s from 3.5 on
		{0, s / 4, s / 2},
	}
	found := outages(acks, 10*s)
	if len(found) != 2 || found[0] != (outage{0, 10*s + s/2, 13 * s}) {
		t.Fatalf("%+v", found)
	}
	faults := []fired{{Kind: kill, Begin: 10*s + s/4, End: 11 * s}, {Kind: stop, Begin: 12 * s, End: 13 * s}, {Kind: wipe, Begin: 20 * s, End: 30 * s}}
	for kind, want := range map[string]time.Duration{kill: 5 * s / 2, stop: 3 * s / 2, wipe: 0, eio: 0} {
		if got := longest(found, faults, kind).long(); got != want {
			t.Errorf("%s: %s, want %s", kind, got, want)
		}
	}
}

func TestALeakIsFound(t *testing.T) {
	before := map[string]float64{"goroutines": 200, "descriptors": 100, "MiB": 100}
	if got := leaked(before, map[string]float64{"goroutines": 400, "descriptors": 250, "MiB": 500}); len(got) != 0 {
		t.Errorf("what is allowed is called a leak: %v", got)
	}
	for what, n := range map[string]float64{"goroutines": 401, "descriptors": 251, "MiB": 501} {
		now := map[string]float64{what: n}
		if got := leaked(before, now); len(got) != 1 {
			t.Errorf("%.0f %s: %v", n, what, got)
		}
	}
}
