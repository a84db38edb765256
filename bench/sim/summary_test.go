package sim

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
)

// summary is what many seeds found.
type summary struct {
	seeds, red               int
	facts, fired, operations map[string]int
	violations               map[string]int
	acked, sent, events      int
	cuts                     Cuts
	quarantined              int
	slowest                  time.Duration
	least                    float64 // share of the operations of one seed that succeeded
	why                      []string
}

func newSummary() *summary {
	return &summary{least: 1, facts: map[string]int{}, fired: map[string]int{}, operations: map[string]int{}, violations: map[string]int{}}
}

// mustSucceed are the kinds of operators' requests of which some must have been done.
var mustSucceed = []string{"create", "delete", "move", "transfer", "drain", "undrain", "add partition", "alter", "replication factor", "remove"}

// maxTold bounds how many red seeds are told of.
const maxTold = 20

func (s *summary) add(r *Report, err error) {
	s.seeds++
	var why []string
	switch {
	case err != nil:
		why = append(why, err.Error())
	case len(r.Violations) > 0:
		for _, v := range r.Violations {
			s.violations[v.Invariant]++
			why = append(why, v.String())
		}
	case r.Vacuous() != "":
		why = append(why, "it proves too little: "+r.Vacuous())
	}
	for _, m := range []struct{ to, from map[string]int }{{s.facts, r.Facts}, {s.fired, r.Faults}, {s.operations, r.Operations}} {
		for k, n := range m.from {
			m.to[k] += n
		}
	}
	s.acked, s.sent, s.events = s.acked+r.Acked, s.sent+r.Sent, s.events+r.Events
	s.cuts.All, s.cuts.Losing = s.cuts.All+r.Cuts.All, s.cuts.Losing+r.Cuts.Losing
	s.cuts.Files, s.cuts.Names = s.cuts.Files+r.Cuts.Files, s.cuts.Names+r.Cuts.Names
	s.quarantined += r.Quarantined
	if err == nil {
		s.least = min(s.least, okShare(r.Operations))
	}
	s.slowest = max(s.slowest, r.Slowest)
	if len(why) == 0 {
		return
	}
	s.red++
	text := fmt.Sprintf("seed %d is red. To see its history: SEEDS=1 SEED=%d HISTORY=1 make sim\n    %s", r.Seed, r.Seed, strings.Join(why, "\n    "))
	fmt.Println(text)
	if len(s.why) < maxTold {
		s.why = append(s.why, text)
	}
}

func (s *summary) print(out io.Writer, took time.Duration) {
	p := func(format string, args ...any) { _, _ = fmt.Fprintf(out, format+"\n", args...) }
	p("")
	p("%d seeds in %s, %d red; %d of %d batches acknowledged; %d events; a partition took its first write %s after healing at the latest",
		s.seeds, took.Round(time.Second), s.red, s.acked, s.sent, s.events, s.slowest.Round(time.Millisecond))
	p("%d power cuts; %d took back what was not synced, the contents of %d files and %d names", s.cuts.All, s.cuts.Losing, s.cuts.Files, s.cuts.Names)
	p("%d replicas were given up for damage of their disks", s.quarantined)
	p("\noperations by outcome: %.0f%% ok, %.0f%% of one seed at least", 100*okShare(s.operations), 100*s.least)
	kinds := map[string]map[string]int{}
	for k, n := range s.operations {
		i := strings.LastIndex(k, " ")
		if kinds[k[:i]] == nil {
			kinds[k[:i]] = map[string]int{}
		}
		kinds[k[:i]][k[i+1:]] += n
	}
	for _, k := range slices.Sorted(maps.Keys(kinds)) {
		p("  %-20s ok %8d   fail %7d   info %7d", k, kinds[k]["ok"], kinds[k]["fail"], kinds[k]["info"])
	}
	p("\nfaults by kind")
	for _, k := range FaultNames() {
		p("  %-20s %7d", k, s.fired[k])
	}
	p("\ninvariant   facts checked   violations")
	for _, k := range Claimed {
		p("  %-11s %11d %12d", k, s.facts[k], s.violations[k])
	}
	if n := s.violations["run"]; n > 0 {
		p("  %-11s %11s %12d", "run", "", n)
	}
}

// faults lists why the run as a whole is red. With few seeds chance may leave something out.
func (s *summary) faults(many bool) []string {
	why := slices.Clone(s.why)
	if s.red > len(why) {
		why = append(why, fmt.Sprintf("and %d more seeds are red", s.red-len(why)))
	}
	if okShare(s.operations) < 0.5 {
		why = append(why, "under half of the operations succeeded")
	}
	if !many {
		return why
	}
	for _, k := range Claimed {
		if s.facts[k] == 0 {
			why = append(why, k+" was never checked")
		}
	}
	for _, k := range FaultNames() {
		if s.fired[k] == 0 {
			why = append(why, "the fault "+k+" never fired")
		}
	}
	if s.cuts.Files == 0 || s.cuts.Names == 0 {
		why = append(why, fmt.Sprintf("no power cut lost anything that was not synced: of %d, %d files and %d names", s.cuts.All, s.cuts.Files, s.cuts.Names))
	}
	if s.quarantined == 0 {
		why = append(why, "no damaged replica was given up")
	}
	for _, o := range mustSucceed {
		if s.operations[o+" ok"] == 0 {
			why = append(why, "no operation succeeded of the kind "+o)
		}
	}
	return why
}
