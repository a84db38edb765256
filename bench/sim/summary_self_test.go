package sim

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/runnel-io/runnel/bench/check"
)

// sound is a report of a seed that proves something.
func sound() *Report {
	r := &Report{Machines: 5, Acked: 300, Sent: 310, Facts: map[string]int{}, Faults: map[string]int{}, Operations: map[string]int{}, Cuts: Cuts{2, 1, 1, 1}, Quarantined: 1}
	for _, k := range Claimed {
		r.Facts[k] = 1
	}
	for _, k := range FaultNames() {
		r.Faults[k] = 1
	}
	for _, k := range mustSucceed {
		r.Operations[k+" ok"] = 1
	}
	return r
}

func TestARunThatProvesNothingIsRed(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(r *Report)
		err   error
		want  string
	}{
		"sound":              {func(*Report) {}, nil, ""},
		"too few machines":   {func(r *Report) { r.Machines = 4 }, nil, "too few machines"},
		"too few operations": {func(r *Report) { r.Acked, r.Sent = 199, 200 }, nil, "too few acknowledged"},
		"batches in vain":    {func(r *Report) { r.Sent = 601 }, nil, "300 of 601 batches"},
		"too few faults":     {func(r *Report) { r.Faults = map[string]int{"kill": 4} }, nil, "too few faults"},
		"half in vain":       {func(r *Report) { r.Operations["end info"] = 20 }, nil, "under half"},
		"nearly all in vain": {func(r *Report) { r.Operations["end info"] = 190 }, nil, "5% of the operations"},
		"a seed checks not":  {func(r *Report) { delete(r.Facts, "I9") }, nil, "too little: I9 was never"},
		"a violation":        {func(r *Report) { r.Violations = []check.Violation{{Invariant: "I1", What: "lost"}} }, nil, "I1: lost"},
		"a dead process":     {func(*Report) {}, errors.New("its process ended"), "its process ended"},
		"nothing checked":    {func(r *Report) { delete(r.Facts, "I14") }, nil, "I14 was never checked"},
		"no such fault":      {func(r *Report) { delete(r.Faults, "bit flip") }, nil, "bit flip never fired"},
		"nothing unsynced":   {func(r *Report) { r.Cuts.Names = 0 }, nil, "no power cut lost anything"},
		"nothing given up":   {func(r *Report) { r.Quarantined = 0 }, nil, "no damaged replica"},
		"no such operation":  {func(r *Report) { delete(r.Operations, "move ok") }, nil, "of the kind move"},
	} {
		s, r := newSummary(), sound()
		c.spoil(r)
		s.add(r, c.err)
		why := s.faults(true)
		if c.want == "" && len(why) > 0 || c.want != "" && !slices.ContainsFunc(why, func(w string) bool { return strings.Contains(w, c.want) }) {
			t.Errorf("%s: red for %q, want %q", name, why, c.want)
		}
	}
}
