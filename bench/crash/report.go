package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/runnel-io/runnel/bench/crash/disk"
)

// claimed are the invariants that a run must have checked: one without facts is red.
var claimed = []string{"I1", "I4", "I5", "I12", "I14", "I15", "I18", "I19", "I20"}

var means = map[string]string{
	"I1":  "what was acknowledged is there, with its hash",
	"I4":  "what is there above it was being written",
	"I5":  "an offset is one value, as followers and as consumers read it",
	"I12": "commit is within the log and what it was told",
	"I14": "the checkpoint is one that was taken",
	"I15": "term and vote did not go back",
	"I18": "nothing goes but by a command, and what went stays away",
	"I19": "the broker and its replicas are who they were; quarantine lasts",
	"I20": "nothing is trimmed early",
}

func printEvents(w io.Writer, r *recording) {
	counts := map[disk.Kind]int{}
	for _, e := range r.events {
		counts[e.Kind]++
	}
	fmt.Fprintf(w, "recorded %d events:", len(r.events))
	for _, k := range slices.Sorted(maps.Keys(counts)) {
		fmt.Fprintf(w, " %d %s;", counts[k], k)
	}
	ops := map[string]int{}
	for _, e := range r.events {
		if e.Kind == disk.Mark {
			if m, err := parseMark(e.Data); err == nil && m.Done {
				ops[m.Op]++
				if m.Settled {
					ops["settle after a kill"]++
				}
			}
		}
	}
	fmt.Fprintf(w, "\noperations:")
	for _, op := range slices.Sorted(maps.Keys(ops)) {
		fmt.Fprintf(w, " %d %s;", ops[op], op)
	}
	fmt.Fprintln(w)
}

func printFlips(w io.Writer, f *flipResult, took time.Duration) {
	fmt.Fprintf(w, "flips: %d; %d noticed: %d healed from a peer, %d kept the broker from starting; %d harmless; %d replicas installed anew, %d damaged logs shipped first; in %.1f s\n",
		f.tried, f.noticed, f.healed, f.unstarted, f.harmless, f.facts["installed anew"], f.toFollower, took.Seconds())
	for _, kind := range slices.Sorted(maps.Keys(f.byKind)) {
		t := f.byKind[kind]
		fmt.Fprintf(w, "  %-36s %5d flipped, %5d noticed\n", kind, t.tried, t.noticed)
	}
}

func printFacts(w io.Writer, f facts, res ...*result) {
	fmt.Fprintf(w, "\n%-6s %10s %10s  %s\n", "", "facts", "violations", "")
	for _, i := range claimed {
		n := 0
		for _, r := range res {
			for _, b := range r.broken {
				for _, v := range b.found {
					if v.Invariant == i {
						n++
					}
				}
			}
		}
		fmt.Fprintf(w, "%-6s %10d %10d  %s\n", i, f[i], n, means[i])
	}
}

// printBroken says what was violated and how to see just that state again.
func printBroken(w io.Writer, r *recording, kept string, seed uint64, all []broken) {
	for _, b := range all {
		e := r.events[b.at.event]
		what := fmt.Sprintf("power cut after event %d of %d (%s %s), %s of the unsynced kept", b.at.event, len(r.events), e.Kind, e.Path, b.at.mode)
		again := fmt.Sprintf("go run ./bench/crash -replay %s -seed %d -state %s -keep /tmp/state", kept, seed, b.at)
		if b.flip != "" {
			what = fmt.Sprintf("bit flipped: %s, in the files as after event %d", b.flip, b.at.event)
			again += " -flip " + b.flip
		}
		fmt.Fprintf(w, "\nVIOLATION, seed %d: %s\n", seed, what)
		for _, v := range b.found {
			fmt.Fprintf(w, "  %s\n", v)
		}
		fmt.Fprintf(w, "  again: %s\n", again)
	}
}

// vacuous tells what flipping so many bits did not reach: with the 2,000 of make crash, 1,000 that are noticed, and all of those healed but a
// few that keep the broker from starting (the number of meta.db's format).
func (res *flipResult) vacuous(want int) string {
	if res.tried >= want && res.noticed >= want/2 && res.healed >= res.noticed-want/100 && res.harmless > 0 && res.toFollower > 0 {
		return ""
	}
	return fmt.Sprintf("%d of %d flips: %d noticed, %d healed, %d harmless, %d shipped", res.tried, want, res.noticed, res.healed, res.harmless, res.toFollower)
}

// vacuous tells what a run did not reach, empty if it is whole.
func vacuous(f facts, r *recording, states *result, want int, flips *flipResult, wantFlips int) string {
	var out []string
	if states.distinct < want {
		out = append(out, fmt.Sprintf("only %d distinct states of %d", states.distinct, want))
	}
	for _, i := range claimed {
		if f[i] == 0 {
			out = append(out, "no fact checked for "+i)
		}
	}
	if f["second lives"] == 0 {
		out = append(out, "no state went on")
	}
	if flips != nil {
		if what := flips.vacuous(wantFlips); what != "" {
			out = append(out, what)
		}
	}
	seen, settled := map[string]bool{}, 0
	for _, e := range r.events {
		if e.Kind == disk.Mark {
			if m, err := parseMark(e.Data); err == nil {
				seen[m.Op] = seen[m.Op] || m.Done
				if m.Settled {
					settled++
				}
			}
		}
	}
	for _, op := range []string{"open", "create", "append", "checkpoint", "trim", "reopen", "quarantine", "delete", "install", "recover", "close", "sent"} {
		if !seen[op] {
			out = append(out, "no "+op+" was recorded")
		}
	}
	if settled < 4 { // the kills but for that of the first start, which has no append
		out = append(out, fmt.Sprintf("only %d appends were settled after kills", settled))
	}
	return strings.Join(out, "; ")
}
