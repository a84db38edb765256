package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/runnel-io/runnel/bench/proc"
)

// idle is a run of machines whose processes do nothing.
func idle(t *testing.T, n int) *run {
	t.Helper()
	dir := t.TempDir()
	program := filepath.Join(dir, "idle")
	if err := os.WriteFile(program, []byte("#!/bin/sh\nexec sleep 1000\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	c, err := proc.New(context.Background(), proc.Options{Dir: dir, Brokers: n, Brokerd: program})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.KillAll(); err != nil {
			t.Error(err)
		}
	})
	r := &run{cluster: c, o: options{kinds: kinds()}, unfit: map[string]int{}, began: time.Now()}
	for i, b := range c.Brokers {
		if err := b.Start(); err != nil {
			t.Fatal(err)
		}
		m := newMachine(b, nil)
		m.member.Store(true)
		m.born.Store(time.Now().Add(time.Duration(i-n) * time.Minute).UnixNano()) // the first is the oldest
		r.machines = append(r.machines, m)
	}
	return r
}

func TestTheElderIsSparedByWhatEndsProcesses(t *testing.T) {
	r := idle(t, 3)
	r.smallMachine = r.machines[0]
	if !r.leave(r.machines[1]) {
		t.Fatal("a broker cannot be removed although there is no elder")
	}
	if !r.chooseElder() || r.elder.Load() != r.machines[2] {
		t.Fatalf("the elder is not the only broker that has no small disk and stays")
	}
	if r.leave(r.machines[2]) {
		t.Error("the elder is drained")
	}
	for _, k := range []string{kill, eio, noSpace, bitFlip, wipe} {
		m, err := r.hit(step{Kind: k, Order: []int{3, 2}}, nil)
		if err != nil || m != r.machines[1] {
			t.Fatalf("%s hits %v, %v", k, m, err)
		}
		m.give()
	}
	m, err := r.hit(step{Kind: stop, Order: []int{3, 2}}, nil)
	if err != nil || m != r.machines[2] {
		t.Fatalf("stop spares the elder: %v, %v", m, err)
	}
	m.give()
	if _, err := r.killAll(t.Context(), step{Kind: killAll}); !errors.Is(err, errUnfit) {
		t.Errorf("all brokers are killed: %v", err)
	}
	for _, m := range r.machines {
		if !m.Running() || !m.tryTake() {
			t.Errorf("broker %d was ended, or is held", m.Number)
		}
	}
}

func TestTheElderIsTheOldestThatNothingWorksOn(t *testing.T) {
	r := idle(t, 3)
	if !r.machines[0].tryTake() {
		t.Fatal("it is taken")
	}
	if !r.chooseElder() || r.elder.Load() != r.machines[1] {
		t.Errorf("the elder is %v", r.elder.Load())
	}
	if r.grown(10*time.Minute) || !r.grown(2*time.Minute) {
		t.Errorf("it is %s old", r.elder.Load().age())
	}
}

func TestAYoungProcessShowsNoLeak(t *testing.T) {
	uses := []use{
		{time.Minute, map[string]float64{"goroutines": 5, "descriptors": 6, "MiB": 7}},
		{5 * time.Minute, map[string]float64{"goroutines": 1, "descriptors": 9, "MiB": 2}},
	}
	for _, c := range []struct {
		old   time.Duration
		facts int
	}{{0, 6}, {2 * time.Minute, 3}, {5 * time.Minute, 3}, {6 * time.Minute, 0}} {
		if facts, oldest := held(uses, c.old); facts != c.facts || oldest != 5*time.Minute {
			t.Errorf("of age %s: %d facts, want %d; the oldest is %s", c.old, facts, c.facts, oldest)
		}
	}
	if now := most(uses); now["goroutines"] != 5 || now["descriptors"] != 9 || now["MiB"] != 7 {
		t.Errorf("the most is %v", now)
	}
}

func TestARunThatOnlyKillsAllHasNoElder(t *testing.T) {
	r := &run{o: options{kinds: []string{killAll}}}
	if r.oldAge(time.Minute) != 0 || !r.grown(time.Minute) {
		t.Error("it waits for an elder")
	}
	r.o.kinds = kinds()
	if r.oldAge(10*time.Minute) != 5*time.Minute || r.grown(time.Minute) {
		t.Error("it wants no elder")
	}
}
