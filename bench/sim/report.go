package sim

import (
	"fmt"
	"strings"
	"time"

	"github.com/runnel-io/runnel/bench/check"
)

// Report is what a run found.
type Report struct {
	Seed       uint64
	Violations []check.Violation `json:",omitempty"`
	Hash       uint64
	Machines   int
	// Facts holds, by invariant, how many facts were checked; Faults, by kind, how many fired; Operations, by kind and outcome, how many
	// the clients and operators made.
	Facts, Faults, Operations map[string]int
	Acked, Sent               int           // batches of producers
	Slowest                   time.Duration // of the writes after healing
	Events                    int
	Quarantined               int // replicas that were given up
	Cuts                      Cuts
}

// Cuts counts how often a machine lost its power, how often that took something back, and of how much: the contents of files and names in folders.
type Cuts struct{ All, Losing, Files, Names int }

// Claimed are the invariants of which each run of some hundred seeds must check facts.
var Claimed = []string{
	"I1", "I2", "I3", "I4", "I5", "I6", "I7", "I8", "I9", "I10", "I11", "I12", "I13", "I14", "I15", "I16", "I18", "I19", "I20", check.Trimmed, "I21", "I22",
}

// always are those of which each single run must.
var always = []string{"I1", "I2", "I4", "I5", "I6", "I7", "I8", "I9", "I10", "I11", "I12", "I13", "I14", "I15", "I16", "I21"}

// What a single run must have to prove anything.
const (
	leastMachines = 5
	leastAcked    = 200
	leastFaults   = 5
	// leastOK is of its operations, each try counted, of which faults make many; of all runs together it must be half. Of batches, however often
	// they were tried, half in each run.
	leastOK = 0.1
)

// Vacuous tells why a run proves too little; "" if it does not.
func (r *Report) Vacuous() string {
	faults := 0
	for _, n := range r.Faults {
		faults += n
	}
	switch {
	case r.Machines < leastMachines:
		return "too few machines"
	case r.Acked < leastAcked:
		return "too few acknowledged operations"
	case 2*r.Acked < r.Sent:
		return fmt.Sprintf("%d of %d batches were acknowledged", r.Acked, r.Sent)
	case faults < leastFaults:
		return "too few faults"
	case okShare(r.Operations) < leastOK:
		return fmt.Sprintf("%.0f%% of the operations succeeded", 100*okShare(r.Operations))
	}
	for _, k := range always {
		if r.Facts[k] == 0 {
			return k + " was never checked"
		}
	}
	return ""
}

// okShare is how many of all operations, of clients and operators, each try counted, are known to have succeeded. What readers fetch is left out:
// they ask all the time, most are answered that nothing is there yet, and the others would not show.
func okShare(operations map[string]int) float64 {
	ok, all := 0, 0
	for k, n := range operations {
		if strings.HasPrefix(k, "fetch ") {
			continue
		}
		all += n
		if strings.HasSuffix(k, " ok") {
			ok += n
		}
	}
	return float64(ok) / float64(max(all, 1))
}

func (c *Cluster) finished() Report {
	r := &c.report
	r.Seed, r.Hash, r.Machines, r.Facts = c.cfg.Seed, c.w.Hash(), len(c.machines), c.facts
	return *r
}
