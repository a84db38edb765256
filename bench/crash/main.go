// Command crash cuts the power of the storage code, tens of thousands of times.
//
// A process of its own drives raftlog.Store (meta.db too) through appends, elections, truncations, rolls, checkpoints, trims, installs,
// quarantines, deletions, stops and starts, under strace. It says in the same trace what it has promised. Package disk then gives what
// a power cut may leave after any of its system calls; each such state is opened by the real code and compared with what had been
// promised by then. After that it flips single bits. Each in a byte that anybody reads must be noticed, and the replica that gave itself
// up is installed anew from a healthy copy; after each other one every answer must be as it was (layout.go).
//
// It ends with 0 if no promise was broken, 1 if one was, 2 if it could not run or did not check what it claims to, 3 without strace.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"
)

const (
	exitBroken   = 1
	exitNotRun   = 2
	exitNoStrace = 3
)

type config struct {
	states, flips, steps, workers int
	seed                          uint64
	replay, state, flip, keep     string
}

func main() {
	var c config
	flag.IntVar(&c.states, "states", 20_000, "distinct states to open")
	flag.IntVar(&c.flips, "flips", 2000, "bits to flip; at least half of them must be noticed")
	flag.Uint64Var(&c.seed, "seed", 1, "seed of the recorded run and of the subsets")
	flag.IntVar(&c.steps, "steps", 40, "operations a replica does in each life")
	flag.IntVar(&c.workers, "workers", runtime.NumCPU(), "states opened at once")
	flag.StringVar(&c.replay, "replay", "", "folder that a failed run kept: open one state of it, -state, again")
	flag.StringVar(&c.state, "state", "", "the state to open, as the failed run named it")
	flag.StringVar(&c.flip, "flip", "", "with -state: the bit to flip in it")
	flag.StringVar(&c.keep, "keep", "", "with -state: new folder that the state's files are left in")
	life := flag.Int("life", -2, "of the recorded process: which of its lives to run; -1 and 0 are for this program alone")
	dir := flag.String("dir", "", "of the recorded process: where its data folder is")
	marks := flag.String("marks", "", "of the recorded process: where it says what it promises")
	flag.Parse()
	if *life >= -1 {
		if err := child(*life, *dir, *marks, c); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(exitBroken)
		}
		return
	}
	os.Exit(c.run())
}

// child is the recorded process.
func child(life int, dir, marks string, c config) error {
	switch life {
	case -1: // only to see whether strace may trace
		return nil
	case 0:
		return runLives(dir, marks, c.seed, c.steps)
	}
	if life > len(lives) {
		return fmt.Errorf("there are %d lives", len(lives))
	}
	return runLife(life, dir, marks, c.seed, c.steps)
}

func (c config) run() int {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Minute)
	defer cancel()
	base, err := workFolder()
	if err != nil {
		return notRun(err)
	}
	defer func() {
		if err := os.RemoveAll(base); err != nil {
			fmt.Fprintln(os.Stderr, "remove it by hand:", err)
		}
	}()
	if c.replay != "" {
		return c.one(base)
	}
	start := time.Now()
	rec, err := recordRun(ctx, base, c.seed, c.steps)
	var failed *childError
	switch {
	case errors.As(err, &failed):
		fmt.Printf("VIOLATION, seed %d, before any power cut\n  %v\n", c.seed, failed.violation())
		return exitBroken
	case errors.Is(err, errNoStrace), errors.Is(err, errNoTrace):
		fmt.Fprintln(os.Stderr, "crash:", err)
		return exitNoStrace
	case err != nil:
		return notRun(err)
	}
	printEvents(os.Stdout, rec)
	recorded := time.Since(start)
	states, err := rec.states(ctx, base, c.workers, c.states, c.seed)
	if err != nil {
		return notRun(err)
	}
	fmt.Printf("states: %d opened, %d distinct; %d went on and were opened again; recorded in %.1f s, opened in %.1f s\n",
		states.tried, states.distinct, states.facts["second lives"], recorded.Seconds(), (time.Since(start) - recorded).Seconds())
	sum := facts{}
	sum.add(states.facts)
	results := []*result{states}
	var flips *flipResult
	if c.flips > 0 && len(states.broken) == 0 {
		begun := time.Now()
		if flips, err = rec.flips(ctx, base, c.workers, c.flips, c.seed); err != nil {
			return notRun(err)
		}
		printFlips(os.Stdout, flips, time.Since(begun))
		sum.add(flips.facts)
		results = append(results, &flips.result)
	}
	printFacts(os.Stdout, sum, results...)
	var all []broken
	violations := 0
	for _, r := range results {
		all = append(all, r.broken...)
		violations += r.violations
	}
	if violations > 0 {
		kept, err := os.MkdirTemp("", "crash-")
		if err == nil {
			err = rec.keep(kept)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "the trace could not be kept:", err)
		}
		printBroken(os.Stdout, rec, kept, c.seed, all)
		fmt.Printf("\n%d violations\n", violations)
		return exitBroken
	}
	if what := vacuous(sum, rec, states, c.states, flips, c.flips); what != "" {
		return notRun(fmt.Errorf("the run shows nothing: %s", what))
	}
	fmt.Printf("\nno promise was broken in %d distinct states and by %d flipped bits\n", states.distinct, c.flips)
	return 0
}

func notRun(err error) int {
	fmt.Fprintln(os.Stderr, "crash:", err)
	return exitNotRun
}

// workFolder is in memory where there is such a place: what is replayed needs no disk.
func workFolder() (string, error) {
	if dir, err := os.MkdirTemp("/dev/shm", "runnel-crash-"); err == nil {
		return dir, nil
	}
	return os.MkdirTemp("", "runnel-crash-")
}

// one opens a single state of a run that failed.
func (c config) one(dir string) int {
	rec, err := reload(c.replay)
	if err != nil {
		return notRun(err)
	}
	p, err := parsePlace(c.state)
	if err != nil {
		return notRun(err)
	}
	if p.event >= len(rec.events) {
		return notRun(fmt.Errorf("the recording has %d events", len(rec.events)))
	}
	j, err := rec.at(p, c.seed)
	if err != nil {
		return notRun(err)
	}
	var v *verifier
	if c.flip == "" {
		v, err = bounded(func() (*verifier, error) { return runJob(*j, &platter{dir: filepath.Join(dir, "one")}, nil) })
	} else {
		var f flip
		if f, err = parseFlip(c.flip); err != nil {
			return notRun(err)
		}
		var b *base
		if b, err = newBase(*j, filepath.Join(dir, "peer")); err != nil {
			return notRun(err)
		}
		defer b.close()
		for _, ship := range []bool{false, true} {
			v, err = bounded(func() (*verifier, error) {
				v, _, err := runFlip(b, f, filepath.Join(dir, "one"), ship)
				return v, err
			})
			if err != nil || len(v.found) > 0 {
				break
			}
		}
		j.img = j.img.Flip(f.file, f.off, f.bit)
	}
	if err != nil {
		return notRun(err)
	}
	if c.keep != "" {
		if err := fill(c.keep, j.img); err != nil {
			return notRun(err)
		}
		fmt.Println("the state is in", c.keep)
	}
	for _, f := range v.found {
		fmt.Println(f)
	}
	for id, err := range v.refused {
		fmt.Printf("%s says: %v\n", id, err)
	}
	if len(v.found) > 0 {
		return exitBroken
	}
	fmt.Println("no promise is broken here")
	return 0
}
