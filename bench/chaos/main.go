package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/runnel-io/runnel/bench/proc"
)

// The exit statuses.
const (
	exitViolated = 1 // promises were broken, and printed
	exitUnable   = 2 // the run could not be made
	exitVacuous  = 3 // the run shows nothing: a fault that never fired, few operations, nothing to compare
)

var (
	errViolated = errors.New("promises were broken")
	errVacuous  = errors.New("the run shows nothing")
	errUnable   = errors.New("the run could not be made") // it is this machine's fault, not the cluster's
)

type options struct {
	brokerd  string
	duration time.Duration
	round    time.Duration
	seed     uint64
	kinds    []string
	least    int // faults
	keep     bool
}

func main() {
	var o options
	var faults, temp string
	flag.StringVar(&o.brokerd, "brokerd", "", "the program (default: it is built)")
	flag.DurationVar(&o.duration, "duration", 3*time.Minute, "how long faults go on; starting and checking come on top")
	flag.DurationVar(&o.round, "round", 10*time.Minute, "after this time everything is healed and checked; a longer run goes on with new topics")
	flag.Uint64Var(&o.seed, "seed", 0, "seed of the schedule of faults (default: one is drawn and printed)")
	flag.StringVar(&faults, "faults", "all", "kinds of faults, comma-separated; all,-eio is all but one")
	flag.IntVar(&o.least, "least", 0, "a run in which fewer faults fired proves too little")
	flag.BoolVar(&o.keep, "keep", false, "keep logs and data of a good run too")
	flag.StringVar(&temp, "temp", "", "folder for data and logs (default: the system's for temporary files)")
	flag.Parse()
	if o.seed == 0 {
		o.seed = uint64(time.Now().UnixNano()) % 1_000_000
	}
	var err error
	if o.kinds, err = parseKinds(faults); err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		os.Exit(exitUnable)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err = proc.InTemp(temp, "chaos", func(dir string) error {
		err := chaos(ctx, o, dir)
		if err == nil && o.keep {
			return errKept
		}
		return err
	})
	switch {
	case err == nil:
	case errors.Is(err, errKept):
		fmt.Println(err)
	case errors.Is(err, errViolated):
		exit(err, exitViolated)
	case errors.Is(err, errVacuous):
		exit(err, exitVacuous)
	default:
		exit(err, exitUnable)
	}
}

var errKept = errors.New("a good run")

func exit(err error, status int) {
	fmt.Fprintln(os.Stderr, "chaos:", err)
	os.Exit(status)
}

// chaos makes a run in a folder.
func chaos(ctx context.Context, o options, dir string) (err error) {
	fmt.Printf("seed %d, faults for %s\n", o.seed, o.duration)
	r, err := start(ctx, o, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.close(err != nil || o.keep)) }()
	for left, n := o.duration, 0; left > 0; n++ {
		length := min(left, o.round)
		if left-length < o.round/2 { // the rest is no round of its own
			length = left
		}
		if err := r.roundOf(ctx, n, length); err != nil {
			return r.broken(ctx, n, err)
		}
		left -= length
	}
	return r.verdict()
}
