package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/runnel-io/runnel/bench/check"
	"github.com/runnel-io/runnel/bench/check/linear"
	"github.com/runnel-io/runnel/bench/workload"
)

const (
	// windowSize is how many operations porcupine judges at a time.
	windowSize = linear.MaxOperations / 2
	// mostDrawn bounds the windows of violations that are drawn.
	mostDrawn = 3
	// mostOutages bounds those that are listed.
	mostOutages = 3
)

// claimed are the invariants that a run with all kinds of faults must have facts for. I17, group offsets, has nothing to be held against
// yet: there are no consumer groups.
var claimed = []string{
	"I1", "I2", "I3", "I4", "I5", "I6", "I7", "I8", "I9", "I10", "I11", "I12", "I13", "I14", "I15", "I16", "I18", "I19", "I20", "I21", "I22", "I23",
}

// judge holds a round's history against the promises. If the logs could not be read, which is a violation, nothing is compared with them.
func (r *run) judge(ctx context.Context, n int, h check.History) error {
	r.identities(ctx)
	if err := r.readLogs(); err != nil {
		return err
	}
	began := time.Now()
	var found []check.Violation
	var windows, odd []linear.Window
	if h.Final != nil {
		var facts check.Facts
		found, facts = check.Count(h)
		for _, v := range found {
			r.add(v)
		}
		for i, n := range facts {
			r.fact(i, n)
		}
		windows = linear.Windows(h, windowSize)
	}
	for _, w := range windows {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := w.Check(); err != nil {
			r.violate("I8", "%v", err)
			odd = append(odd, w)
		}
	}
	fmt.Printf("%7.1f s  %d appends, %d reads, %d ends and %d windows checked in %.1f s\n", r.now().Seconds(),
		len(h.Appends), len(h.Reads), len(h.Ends), len(windows), time.Since(began).Seconds())
	r.fact("porcupine", len(windows))
	r.account()
	r.mu.Lock()
	violated := len(r.violations) > 0
	r.mu.Unlock()
	if violated {
		return r.keep(n, h, windows, odd, found)
	}
	return r.tidy(ctx)
}

// account adds a round's operations and outages to the tables, once.
func (r *run) account() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.w == nil || r.added {
		return
	}
	r.added = true
	for kind, t := range r.w.Tallies() {
		sum := r.tallies[kind]
		sum.Add(t)
		r.tallies[kind] = sum
	}
	r.outages = append(r.outages, outages(r.w.Acks(), r.since)...)
}

// broken judges a run that could not go on. Once faults have begun, that it could not is a violation, unless this machine or its user
// kept it from going on, and what was seen until then is shown.
func (r *run) broken(ctx context.Context, n int, err error) error {
	if !r.faulted || ctx.Err() != nil {
		return err
	}
	unable := errors.Is(err, errUnable)
	if !unable {
		r.violate("I21", "the run could not go on: %v", err)
	}
	var h check.History
	if r.rec != nil {
		h = r.rec.History()
	}
	drawn := errors.Join(r.draw(n, h, nil, nil, nil), r.describe(n, h))
	verdict := r.verdict()
	if unable {
		return errors.Join(err, drawn)
	}
	return errors.Join(verdict, drawn)
}

// keep leaves a round with violations, its topics too, for whoever looks into it.
func (r *run) keep(n int, h check.History, windows, odd []linear.Window, found []check.Violation) error {
	r.kept = true
	return errors.Join(r.draw(n, h, windows, odd, found), r.describe(n, h))
}

// draw writes the pages of a round with violations.
func (r *run) draw(n int, h check.History, windows, odd []linear.Window, found []check.Violation) error {
	for _, v := range found {
		if w, ok := linear.Around(windows, v.Partition, v.Offset); ok && v.Placed {
			odd = append(odd, w)
		}
	}
	var links []string
	for i, w := range odd[:min(len(odd), mostDrawn)] {
		name := fmt.Sprintf("window-%d-%d.html", n, i)
		if err := w.Draw(r.path(name)); err != nil {
			return fmt.Errorf("drawing %s: %w", name, err)
		}
		links = append(links, name)
	}
	path := r.path(fmt.Sprintf("timeline-%d.html", n))
	fmt.Printf("%7.1f s  the time line of faults and outages: %s\n", r.now().Seconds(), path)
	return r.timeline(path, h, links)
}

// verdict prints the tables, and says whether the run is good.
func (r *run) verdict() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	share := r.operations()
	r.faultTable()
	missing := r.promises()
	if c := r.net.Counts(); c.Unknown > 0 {
		fmt.Printf("\n%d of %d connections through the proxy had no known opener and were closed\n", c.Unknown, c.Connections)
	}
	switch {
	case len(r.violations) > 0:
		return fmt.Errorf("%w: %d violations, seed %d; the pages and all logs are beside the brokers' folders", errViolated, len(r.violations), r.o.seed)
	case len(r.empty) > 0:
		return fmt.Errorf("%w: never fired or looked at: %s; let it go on for longer", errVacuous, strings.Join(r.empty, ", "))
	case len(r.fired) < r.o.least:
		return fmt.Errorf("%w: %d faults fired, fewer than %d", errVacuous, len(r.fired), r.o.least)
	case share < 0.5:
		return fmt.Errorf("%w: %.0f%% of the operations were answered with success, under half", errVacuous, 100*share)
	case len(missing) > 0:
		return fmt.Errorf("%w: nothing was compared for %s", errVacuous, strings.Join(missing, ", "))
	}
	fmt.Printf("\ngood: seed %d, %d faults, 0 violations\n", r.o.seed, len(r.fired))
	return nil
}

// operations prints what clients did, and answers the share that succeeded. Following is left out of it: there each record counts.
func (r *run) operations() float64 {
	fmt.Printf("\n%-24s %10s %10s %10s\n", "operations", "ok", "failed", "unknown")
	var sum workload.Tally
	for _, k := range workload.Kinds {
		t := r.tallies[k]
		fmt.Printf("%-24s %10d %10d %10d\n", k, t.OK, t.Fail, t.Info)
		if k != workload.OpFollow {
			sum.Add(t)
		}
	}
	if all := sum.OK + sum.Fail + sum.Info; all > 0 {
		return float64(sum.OK) / float64(all)
	}
	return 0
}

// faultTable prints the faults by kind.
func (r *run) faultTable() {
	fmt.Printf("\n%-12s %6s %8s %26s\n", "fault", "fired", "put off", "longest outage, s (slot)")
	for _, k := range kinds() {
		if !slices.Contains(r.o.kinds, k) {
			continue
		}
		n := 0
		for _, f := range r.fired {
			if f.Kind == k {
				n++
			}
		}
		worst := longest(r.outages, r.fired, k)
		fmt.Printf("%-12s %6d %8d %20.1f (%d)\n", k, n, r.unfit[k], worst.long().Seconds(), worst.Slot)
	}
	fmt.Printf("%-12s %6d\n", "all", len(r.fired))
	slices.SortFunc(r.outages, func(a, b outage) int { return cmp.Compare(b.long(), a.long()) })
	for _, o := range r.outages[:min(len(r.outages), mostOutages)] {
		fmt.Printf("slot %d acknowledged nothing from %.1f to %.1f s\n", o.Slot, o.Begin.Seconds(), o.End.Seconds())
	}
}

// promises prints facts and violations by invariant, and answers those without facts that must have some.
func (r *run) promises() (missing []string) {
	fmt.Printf("\n%-12s %10s %10s\n", "invariant", "facts", "violations")
	count := map[string]int{}
	for _, v := range r.violations {
		count[v.Invariant]++
	}
	names := append(slices.Clone(claimed), check.Trimmed)
	for _, other := range slices.Sorted(maps.Keys(r.facts)) {
		if !slices.Contains(names, other) {
			names = append(names, other)
		}
	}
	if count["run"] > 0 {
		names = append(names, "run")
	}
	for _, i := range names {
		fmt.Printf("%-12s %10d %10d\n", i, r.facts[i], count[i])
	}
	must := claimed
	if r.o.duration >= trimmedWithin {
		must = append(slices.Clone(must), check.Trimmed)
	}
	if len(r.o.kinds) < len(kinds()) { // without some faults nothing fails for certain, and no identity ends
		must = slices.DeleteFunc(slices.Clone(must), func(i string) bool { return i == "I3" || i == "I22" || i == "I19" })
	}
	return r.facts.Missing(must...)
}
