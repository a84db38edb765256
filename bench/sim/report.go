package sim

import (
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
	Quarantined               int
	Cuts                      Cuts
}

// Cuts counts how often a machine lost its power, how often that took something back, and of how much: the contents of files and names in folders.
type Cuts struct{ All, Losing, Files, Names int }

// Claimed are the invariants of which each run of some hundred seeds must check facts.
var Claimed = []string{
	"I1", "I2", "I3", "I4", "I5", "I6", "I7", "I8", "I9", "I10", "I11", "I12", "I13", "I14", "I15", "I16", "I18", "I19", "I20", "I21", "I22",
}

// What a single run must have to prove anything.
const (
	leastMachines = 5
	leastAcked    = 200
	leastFaults   = 5
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
	case faults < leastFaults:
		return "too few faults"
	case r.Acked*2 < r.Sent:
		return "under half of the operations were acknowledged"
	}
	return ""
}

func (c *Cluster) finished() Report {
	r := &c.report
	r.Seed, r.Hash, r.Machines, r.Facts = c.cfg.Seed, c.w.Hash(), len(c.machines), c.facts
	return *r
}
