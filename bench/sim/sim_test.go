package sim

import (
	"flag"
	"fmt"
	"io"
	"os"
	"testing"
	"testing/cryptotest"
	"testing/synctest"
	"time"
)

var (
	oneSeed   = flag.Int64("sim.seed", -1, "run this one seed; with -v print its history")
	manySeeds = flag.Int("sim.seeds", 0, "run so many seeds, from -sim.from on")
	fromSeed  = flag.Int64("sim.from", 1000, "the first of many seeds")
	spell     = flag.Duration("sim.spell", 0, "how long faults go on, in virtual time")
)

// folder is where the disks of a run are: in memory if that is there, since what a power cut loses is modelled.
func folder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "runnel-sim-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func run(t *testing.T, cfg Config) Report {
	t.Helper()
	cfg.Dir = folder(t)
	cfg.Settle = synctest.Wait
	if *spell > 0 {
		cfg.Spell = *spell
	}
	cryptotest.SetGlobalRandom(t, cfg.Seed) // raft's election jitter, incarnations
	var r Report
	synctest.Test(t, func(*testing.T) { r = Run(cfg) })
	return r
}

func history(t *testing.T) io.Writer {
	if testing.Verbose() && *oneSeed >= 0 {
		return os.Stdout
	}
	return nil
}

func judge(t *testing.T, seed uint64, r Report) {
	t.Helper()
	t.Logf("seed %d: %d of %d records acked, %d failed, %d read, %d ends, topics +%d -%d, %d terms, %d quarantined, slowest %s, %d events, faults %v, hash %x",
		seed, r.Acked, r.Sent, r.Failed, r.Reads, r.Ends, r.Topics, r.Deleted, r.Leaders, r.Quarantine, r.Slowest, r.Events, r.Faults, r.Hash)
	for _, v := range r.Violations {
		t.Errorf("seed %d: %s", seed, v)
	}
	if len(r.Violations) == 0 && r.Acked*2 < r.Sent {
		t.Errorf("seed %d: only %d of %d records were acknowledged: the run proves too little", seed, r.Acked, r.Sent)
	}
}

func TestSimulatedClustersKeepTheirPromises(t *testing.T) {
	cfg := Config{Spell: 12 * time.Second, Out: history(t)}
	fired := map[string]int{}
	var seeds []uint64
	switch {
	case *oneSeed >= 0:
		seeds = []uint64{uint64(*oneSeed)}
	case *manySeeds > 0:
		for i := range uint64(*manySeeds) {
			seeds = append(seeds, uint64(*fromSeed)+i)
		}
	case testing.Short():
		seeds = []uint64{1}
	default:
		seeds = []uint64{1, 2, 3}
	}
	for _, seed := range seeds {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			cfg.Seed = seed
			r := run(t, cfg)
			judge(t, seed, r)
			for name, n := range r.Faults {
				fired[name] += n
			}
		})
	}
	for _, name := range FaultNames() {
		if len(seeds) >= 30 && fired[name] == 0 {
			t.Errorf("the fault %q never fired", name)
		}
	}
}

func TestOneSeedReplaysBitByBit(t *testing.T) {
	cfg := Config{Spell: 5 * time.Second, Machines: 3}
	var hashes []uint64
	for _, seed := range []uint64{7, 7, 8} {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			cfg.Seed = seed
			r := run(t, cfg)
			judge(t, seed, r)
			hashes = append(hashes, r.Hash)
		})
	}
	if hashes[0] != hashes[1] {
		t.Errorf("the same seed gave two histories: %x and %x", hashes[0], hashes[1])
	}
	if hashes[0] == hashes[2] {
		t.Errorf("another seed gave the same history: %x", hashes[0])
	}
}

// found runs seeds until a seeded bug is seen as a breach of an invariant.
func found(t *testing.T, m Mutant, invariant string) {
	t.Helper()
	for seed := uint64(1); seed <= 8; seed++ {
		caught := ""
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			r := run(t, Config{Seed: seed, Machines: 3, Spell: 10 * time.Second, Mutant: m, Out: history(t)})
			for _, v := range r.Violations {
				if v.Invariant == invariant {
					caught = v.String()
					t.Logf("seed %d: %s", seed, caught)
					return
				}
			}
		})
		if caught != "" {
			return
		}
	}
	t.Errorf("the seeded bug was not seen as %s", invariant)
}

func TestAcknowledgingBeforeTheDiskIsSeenAsLoss(t *testing.T) {
	found(t, AckBeforeSync, "I1")
}

func TestForgettingVotesInAPowerCutIsSeen(t *testing.T) {
	found(t, AckBeforeSync, "I15")
}

func TestForgettingProducersAtALeaderChangeIsSeen(t *testing.T) {
	found(t, ForgetProducers, "I6")
}
