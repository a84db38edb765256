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
	oneSeed   = flag.Int64("sim.seed", -1, "run this one seed")
	tell      = flag.Bool("sim.history", false, "print the history of the one seed")
	manySeeds = flag.Int("sim.seeds", 0, "run so many seeds, from -sim.from on")
	fromSeed  = flag.Uint64("sim.from", 1, "the first of many seeds")
	spell     = flag.Duration("sim.spell", defaultSpell, "how long faults go on, in virtual time")
)

const defaultSpell = 5 * time.Second

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
	if cfg.Spell == 0 {
		cfg.Spell = *spell
	}
	cryptotest.SetGlobalRandom(t, cfg.Seed) // raft's election jitter, incarnations
	var r Report
	synctest.Test(t, func(*testing.T) { r = Run(cfg) })
	return r
}

func history(seed uint64) io.Writer {
	if *tell && *oneSeed >= 0 && uint64(*oneSeed) == seed {
		return os.Stdout
	}
	return nil
}

func judge(t *testing.T, r Report) {
	t.Helper()
	t.Logf("seed %d: %d of %d batches acked, operations %v, faults %v, slowest %s, %d quarantined, %d events, trace hash %016x",
		r.Seed, r.Acked, r.Sent, r.Operations, r.Faults, r.Slowest, r.Quarantined, r.Events, r.Hash)
	for _, v := range r.Violations {
		t.Errorf("seed %d: %s", r.Seed, v)
	}
	if why := r.Vacuous(); why != "" && len(r.Violations) == 0 {
		t.Errorf("seed %d proves too little: %s", r.Seed, why)
	}
}

func TestOneSeedReplaysBitByBit(t *testing.T) {
	var hashes []uint64
	for _, seed := range []uint64{7, 7, 8} {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			r := run(t, Config{Seed: seed})
			judge(t, r)
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
