package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/runnel-io/runnel/bench/chaos/proxy"
	"github.com/runnel-io/runnel/bench/check"
	"github.com/runnel-io/runnel/bench/proc"
	"github.com/runnel-io/runnel/bench/workload"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// judged is a run of which nothing but its judgement is asked.
func judged(t *testing.T) *run {
	t.Helper()
	net, err := proxy.New(nil, 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = net.Close() })
	return &run{
		o: options{kinds: kinds(), seed: 7}, net: net, cluster: &proc.Cluster{Dir: t.TempDir()}, began: time.Now(), faulted: true,
		facts: check.Facts{}, unfit: map[string]int{}, tallies: map[string]workload.Tally{},
		fired: []fired{{Kind: kill, What: "broker 3, the last one", Begin: time.Second, End: 2 * time.Second}},
	}
}

func TestARunThatCannotGoOnAfterFaultsIsAViolation(t *testing.T) {
	r := judged(t)
	err := r.broken(t.Context(), 2, errors.New("nobody leads the controller group"))
	if !errors.Is(err, errViolated) {
		t.Fatalf("it ends with %v", err)
	}
	if len(r.violations) != 1 || r.violations[0].Invariant != "I21" || !strings.Contains(r.violations[0].What, "nobody leads the controller group") {
		t.Errorf("the violations are %v", r.violations)
	}
	page, err := os.ReadFile(r.path("timeline-2.html"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"broker 3, the last one", "nobody leads the controller group"} {
		if !strings.Contains(string(page), want) {
			t.Errorf("the time line does not tell of %q", want)
		}
	}
	if _, err := os.Stat(r.path("history-2.json")); err != nil {
		t.Errorf("what was seen until then: %v", err)
	}
}

func TestARunThatCouldNotBeMadeIsNoViolation(t *testing.T) {
	before := judged(t)
	before.faulted = false
	broken := errors.New("the cluster is not whole before the first fault")
	if err := before.broken(t.Context(), 0, broken); !errors.Is(err, broken) || errors.Is(err, errViolated) {
		t.Errorf("before the first fault: %v", err)
	}
	unable := judged(t)
	if err := unable.broken(t.Context(), 0, fmt.Errorf("eio: %w: no strace", errUnable)); !errors.Is(err, errUnable) || errors.Is(err, errViolated) {
		t.Errorf("without strace: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	ended := judged(t)
	if err := ended.broken(ctx, 0, ctx.Err()); !errors.Is(err, context.Canceled) || errors.Is(err, errViolated) {
		t.Errorf("ended by its user: %v", err)
	}
	for _, r := range []*run{before, unable, ended} {
		if len(r.violations) > 0 {
			t.Errorf("violations: %v", r.violations)
		}
	}
}

func TestAKindThatDidNotFireInARoundIsTold(t *testing.T) {
	r := judged(t)
	r.o.kinds = []string{kill, wipe}
	if got := r.unfired(0); len(got) != 1 || got[0] != wipe {
		t.Errorf("in the first round: %v", got)
	}
	if got := r.unfired(3 * time.Second); len(got) != 2 { // the kill was in the round before
		t.Errorf("in the second round: %v", got)
	}
	r.lacks(1, r.unfired(3*time.Second)...)
	if err := r.verdict(); !errors.Is(err, errVacuous) || !strings.Contains(err.Error(), "kill in round 1, wipe in round 1") {
		t.Errorf("the verdict is %v", err)
	}
}

func TestTooFewFaultsProveTooLittle(t *testing.T) {
	r := judged(t)
	r.o.least = 2
	if err := r.verdict(); !errors.Is(err, errVacuous) || !strings.Contains(err.Error(), "1 faults fired, fewer than 2") {
		t.Errorf("the verdict is %v", err)
	}
}

func TestAClientThatWasServedAnUnreadableBatchTellsOfI4(t *testing.T) {
	r := judged(t)
	if err := r.served(nil); err != nil || len(r.violations) > 0 {
		t.Fatalf("of nothing is left %v, and the violations are %v", err, r.violations)
	}
	err := r.served(errors.Join(
		errors.Join(nil, fmt.Errorf("writer 1: %w", runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, "no such topic"))),
		errors.Join(
			fmt.Errorf("reader 4: %w", runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_CORRUPT_BATCH, "the batch at offset 7 cannot be read")),
			fmt.Errorf("poller 5: %w", &workload.DamageError{Offset: 8, Err: errors.New("its sum is another")}))))
	if err == nil || !strings.Contains(err.Error(), "writer 1") || strings.Contains(err.Error(), "offset") {
		t.Errorf("what is left is %v", err)
	}
	if len(r.violations) != 2 {
		t.Fatalf("the violations are %v", r.violations)
	}
	for i, who := range []string{"reader 4", "poller 5"} {
		if v := r.violations[i]; v.Invariant != "I4" || !strings.Contains(v.What, who) {
			t.Errorf("violation %d is %v", i, v)
		}
	}
}

func TestTopicsThatAreKeptForALookAreNoLeak(t *testing.T) {
	r := judged(t)
	r.violate("I1", "a record is gone")
	if err := r.keep(2, check.History{}, nil, nil, nil); err != nil {
		t.Fatal(err)
	}
	lacking := len(r.empty)
	r.leaks(t.Context(), 3, time.Minute)
	if len(r.violations) != 1 || len(r.empty) != lacking || r.facts["I23"] != 0 {
		t.Errorf("violations %v, lacking %v, %d facts", r.violations, r.empty, r.facts["I23"])
	}
}
