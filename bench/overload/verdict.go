package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"

	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// What a run must have made and deleted, thousands of topics, each answered; a run that is shorter than fullSeconds for each load as much less.
const (
	leastTopics   = 2000
	leastTogether = 100 // where they come only beside all other loads
	fullSeconds   = 30
)

// comeBack waits for the brokers to hold what they held before.
func (r *overload) comeBack(ctx context.Context) error {
	if err := r.cluster.Settled(ctx, 3); err != nil {
		r.violated("what the deleted topics leave: %v", err)
	}
	ctx, cancel := context.WithTimeout(ctx, comesBackWithin)
	defer cancel()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		var held []string
		for i, b := range r.cluster.Brokers {
			now, err := look(ctx, b)
			if err != nil && ctx.Err() == nil {
				return err
			}
			was := r.before[i]
			if now.heap > comesBack*was.heap+slack {
				held = append(held, fmt.Sprintf("broker %d's heap has %s MiB, before %s", b.Number, mib(int64(now.heap)), mib(int64(was.heap))))
			}
			if now.goroutines > was.goroutines+leakSlack || now.fds > was.fds+leakSlack {
				held = append(held, fmt.Sprintf("broker %d has %.0f goroutines and %.0f open files, before %.0f and %.0f", b.Number, now.goroutines, now.fds, was.goroutines, was.fds))
			}
		}
		if len(held) == 0 && ctx.Err() == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			r.violated("%s after the load: %s", comesBackWithin, strings.Join(held, "; "))
			return nil
		}
	}
}

// judge ends the well-behaved client and compares everything with what is promised.
func (r *overload) judge(ctx context.Context) error {
	v, err := r.well.Stop(ctx)
	if err != nil {
		return err
	}
	again, err := r.well.Reread(ctx, r.cluster.Seeds())
	if err != nil {
		return err
	}
	for _, v := range []error{v.Err(), again.Err()} {
		if v != nil {
			r.violated("the well-behaved client: %v", v)
		}
	}
	for _, p := range r.phases {
		for i, m := range p.memory {
			if m > p.limit {
				r.violated("%s: broker %d held %s MiB, the limit is %s", p.name, i+1, mib(m), mib(p.limit))
			}
		}
		for i, c := range p.climbs {
			if c.tooMuch() {
				r.violated("%s: broker %d's memory climbs: %s MiB in the last third of the time, %s in the one before", p.name, i+1, mib(c.last), mib(c.middle))
			}
		}
		if p.waits.Longest > r.o.most {
			r.violated("%s: the well-behaved client waited %s, the limit is %s", p.name, p.waits.Longest.Round(time.Millisecond), r.o.most)
		}
		if p.waits.Probes == 0 {
			r.violated("%s: nothing was acknowledged to the well-behaved client", p.name)
		}
		for reason := range p.errors {
			// Who loses the leadership cannot say what became of a batch in flight. It may be sent again as it is; the SDK does, and none
			// of it reaches a user.
			if !fair(reason) && reason != "lost_leadership" {
				r.violated("%s: brokers answered %s, which is no answer to too much load", p.name, reason)
			}
		}
	}
	for _, name := range order {
		if t := r.tallies[name]; t == nil {
			if r.runs(name) > 0 {
				r.violated("the load %s never ran", name)
			}
		} else if t.Worst != "" {
			r.violated("%s", t.Worst)
		}
	}
	for _, b := range r.cluster.Brokers {
		s, err := look(ctx, b)
		if err != nil {
			return err
		}
		maps.DeleteFunc(s.closed, func(_ string, n float64) bool { return n == 0 })
		r.closed = append(r.closed, s.closed)
	}
	r.vacuous()
	return nil
}

// runs is in how many phases a load comes.
func (r *overload) runs(load string) int64 {
	n := int64(0)
	for _, p := range r.o.phases {
		if p == load || p == together {
			n++
		}
	}
	return n
}

// vacuous finds loads that asked for less than they are named for.
func (r *overload) vacuous() {
	least := func(load, what string, n int64) {
		if t := r.tallies[load]; t != nil && t.Counts[what] < n {
			r.violated("%s: %d %s, that is less than %d and no overload", load, t.Counts[what], what, n)
		}
	}
	least("idle", "open", r.runs("idle")*int64(r.o.n["idle"]))
	least("readers", "never read", r.runs("readers")*int64(r.o.n["readers"]))
	least("readers", "bytes read slowly", trickle*int64(r.o.duration.Seconds()))
	least("largest", "acknowledged", int64(r.o.n["largest"]))
	topics := int64(leastTogether) // beside the other loads there are some hundred
	if slices.Contains(r.o.phases, "topics") {
		topics = int64(leastTopics * min(1, r.o.duration.Seconds()/fullSeconds))
	}
	least("topics", "made", topics)
	least("topics", "deleted", topics)
}

// definite are the errors for good that overload brings about.
var definite = map[string]string{
	"offset_out_of_range": "retention has overtaken a consumer",
	"unknown_topic":       "it was deleted",
	"unknown_partition":   "the same",
}

// fair tells whether an error may be the answer to too much load: whoever asked in vain may ask again, or what was asked for is no more.
func fair(reason string) bool {
	_, ok := definite[reason]
	return ok || kindOf(reason) == runnelv1.ErrorKind_ERROR_KIND_RETRIABLE
}

func kindOf(reason string) runnelv1.ErrorKind {
	v, ok := runnelv1.ErrorReason_value["ERROR_REASON_"+strings.ToUpper(reason)]
	if !ok {
		return runnelv1.ErrorKind_ERROR_KIND_UNSPECIFIED
	}
	return runnelv1.KindOf(runnelv1.ErrorReason(v))
}

func (p phase) line() string {
	return fmt.Sprintf("%-12s %5d probes, p50 %s, p99 %s, longest %s; memory at most %s of %s MiB, thirds %s; errors given: %s", p.name, p.waits.Probes,
		ms(p.waits.P50), ms(p.waits.P99), ms(p.waits.Longest), mib(slices.Max(p.memory)), mib(p.limit), p.thirds(), reasons(p.errors))
}

// thirds are the means of the middle and the last third of the time, by broker.
func (p phase) thirds() string {
	var out []string
	for _, c := range p.climbs {
		out = append(out, mib(c.middle)+" to "+mib(c.last))
	}
	if len(out) == 0 {
		return "not told"
	}
	return strings.Join(out, ", ")
}

func reasons(m map[string]float64) string {
	if len(m) == 0 {
		return "none"
	}
	var out []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = append(out, fmt.Sprintf("%s %.0f", k, m[k]))
	}
	return strings.Join(out, ", ")
}

// render makes the table, and a line for each load.
func (r *overload) render() string {
	t := table.NewWriter()
	t.AppendHeader(table.Row{"While", "Probes", "p50 ms", "p99 ms", "p99.9 ms", "Longest ms", "Own memory of each broker at most, MiB", "Limit", "Middle to last third, mean", "Errors given to clients"})
	for _, p := range r.phases {
		var held []string
		for _, m := range p.memory {
			held = append(held, mib(m))
		}
		t.AppendRow(table.Row{p.name, p.waits.Probes, ms(p.waits.P50), ms(p.waits.P99), ms(p.waits.P999), ms(p.waits.Longest), strings.Join(held, " / "), mib(p.limit), p.thirds(), reasons(p.errors)})
	}
	out := t.Render()
	out += fmt.Sprintf("\none producer gets %.0f records/s of %d bytes through; the producers ask for %.0f or more", r.capacity, floodRecord, times*r.capacity)
	for _, name := range order {
		tally := r.tallies[name]
		if tally == nil {
			continue
		}
		var parts []string
		for _, k := range slices.Sorted(maps.Keys(tally.Counts)) {
			parts = append(parts, fmt.Sprintf("%s %d", k, tally.Counts[k]))
		}
		for _, k := range slices.Sorted(maps.Keys(tally.Errors)) {
			parts = append(parts, fmt.Sprintf("error %s %d", k, tally.Errors[k]))
		}
		out += fmt.Sprintf("\n%-10s %s", name+":", strings.Join(parts, ", "))
	}
	for i, closed := range r.closed {
		out += fmt.Sprintf("\nbroker %d's connections of clients ended: %s", i+1, reasons(closed))
	}
	return out
}

func mib(n int64) string { return fmt.Sprintf("%.0f", float64(n)/(1<<20)) }

func ms(d time.Duration) string { return fmt.Sprintf("%.1f", float64(d.Microseconds())/1000) }
