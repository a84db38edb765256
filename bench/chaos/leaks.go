package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// What a broker may use at the end beside what the one that used most did before the first fault: I23. Replicas move, so brokers differ,
// and a broker keeps memory that it had; what grows with each fault goes beyond this.
var allowance = map[string]struct{ times, plus float64 }{
	"goroutines": {1.5, 100}, "descriptors": {1.5, 100}, "MiB": {2, 300},
}

// use is what a broker's process uses of each.
type use struct {
	age time.Duration
	of  map[string]float64
}

// most is the most that any uses of each.
func most(uses []use) map[string]float64 {
	out := map[string]float64{}
	for _, u := range uses {
		for what, n := range u.of {
			out[what] = max(out[what], n)
		}
	}
	return out
}

// held counts what was compared of processes that are old enough to have leaked, and answers the greatest age.
func held(uses []use, old time.Duration) (facts int, oldest time.Duration) {
	for _, u := range uses {
		oldest = max(oldest, u.age)
		if u.age < old {
			continue
		}
		for what := range allowance {
			if u.of[what] > 0 {
				facts++
			}
		}
	}
	return facts, oldest
}

// usage asks each member.
func (r *run) usage(ctx context.Context) (out []use, err error) {
	for _, m := range r.machines {
		if !m.member.Load() || !m.Running() {
			continue
		}
		goroutines, err := m.Metric(ctx, "go_goroutines")
		if err != nil {
			return nil, err
		}
		memory, err := anonymous(m.PID())
		if err != nil {
			return nil, err
		}
		fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", m.PID()))
		if err != nil {
			return nil, err
		}
		out = append(out, use{m.age(), map[string]float64{"goroutines": goroutines, "descriptors": float64(len(fds)), "MiB": memory}})
	}
	return out, nil
}

// anonymous is a process's memory in MiB without what it has mapped of files: pages of logs come and go with reading.
func anonymous(pid int) (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "RssAnon:"); ok {
			kib, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 64)
			return kib / 1024, err
		}
	}
	return 0, fmt.Errorf("/proc/%d/status has no RssAnon", pid)
}

// leaked is what of now is above what before allows.
func leaked(before, now map[string]float64) []string {
	var out []string
	for what, a := range allowance {
		if n, most := now[what], before[what]*a.times+a.plus; n > most {
			out = append(out, fmt.Sprintf("%.0f %s, more than %.0f (%.0f before the first fault)", n, what, most, before[what]))
		}
	}
	return out
}

// leaks checks I23 at rest. What ends a while after its cause is waited for. Processes younger than old are no facts: what leaks has had no time to.
// Nothing is compared once the topics of a round with a violation were kept: those need files as well.
func (r *run) leaks(ctx context.Context, n int, old time.Duration) {
	if r.kept {
		return
	}
	const settle = 20 * time.Second
	var uses []use
	err := until(ctx, settle, func(ctx context.Context) string {
		now, err := r.usage(ctx)
		if err != nil {
			return err.Error()
		}
		uses = now
		if l := leaked(r.baseline, most(uses)); len(l) > 0 {
			return fmt.Sprint(l)
		}
		return ""
	})
	if err != nil && ctx.Err() == nil {
		r.violate("I23", "a broker uses more than before: %v", err)
	}
	facts, oldest := held(uses, old)
	r.fact("I23", facts)
	if facts == 0 {
		r.lacks(n, fmt.Sprintf("a process that is %.0f s old, for I23,", old.Seconds()))
	}
	now := most(uses)
	fmt.Printf("%7.1f s  the most that a broker uses, before and now: goroutines %.0f, %.0f; descriptors %.0f, %.0f; MiB %.0f, %.0f; the oldest is %.0f s old\n",
		r.now().Seconds(), r.baseline["goroutines"], now["goroutines"], r.baseline["descriptors"], now["descriptors"], r.baseline["MiB"], now["MiB"],
		oldest.Seconds())
}
