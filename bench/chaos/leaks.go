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

// usage is the most that any member uses of each.
func (r *run) usage(ctx context.Context) (map[string]float64, error) {
	out := map[string]float64{}
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
		for what, n := range map[string]float64{"goroutines": goroutines, "descriptors": float64(len(fds)), "MiB": memory} {
			out[what] = max(out[what], n)
		}
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

// leaks checks I23 at rest. What ends a while after its cause is waited for.
func (r *run) leaks(ctx context.Context) {
	const settle = 20 * time.Second
	var now map[string]float64
	err := until(ctx, settle, func(ctx context.Context) string {
		var err error
		if now, err = r.usage(ctx); err != nil {
			return err.Error()
		}
		if l := leaked(r.baseline, now); len(l) > 0 {
			return fmt.Sprint(l)
		}
		return ""
	})
	if err != nil && ctx.Err() == nil {
		r.violate("I23", "a broker uses more than before: %v", err)
	}
	r.fact("I23", len(allowance))
	fmt.Printf("%7.1f s  the most that a broker uses, before and now: goroutines %.0f, %.0f; descriptors %.0f, %.0f; MiB %.0f, %.0f\n", r.now().Seconds(),
		r.baseline["goroutines"], now["goroutines"], r.baseline["descriptors"], now["descriptors"], r.baseline["MiB"], now["MiB"])
}
