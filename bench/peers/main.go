package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

// options of the command.
type options struct {
	root, cache, temp, results string
	systems, rows              string
	clientOptions              string
	runs                       int
	duration, warmUp, limit    time.Duration
	prime, probe               time.Duration
	quick                      bool
}

func main() {
	var o options
	var task string
	flag.StringVar(&o.root, "root", "../..", "Runnel's source tree")
	flag.StringVar(&o.cache, "cache", "", "folder that keeps the fetched programs (default: runnel-peers in the user's cache folder)")
	flag.StringVar(&o.temp, "temp", "", "folder for the servers' data (default: the system's)")
	flag.StringVar(&o.results, "results", "", "folder that results go to (default: bench/results in the source tree; - is nowhere)")
	flag.StringVar(&o.systems, "system", "", "systems to measure, comma-separated (default: all)")
	flag.StringVar(&o.rows, "row", "", "rows to run, comma-separated (default: all)")
	flag.StringVar(&o.clientOptions, "option", "", "client options to try for throughput, comma-separated (default: all)")
	flag.IntVar(&o.runs, "runs", 3, "runs of each system")
	flag.DurationVar(&o.duration, "duration", 2*time.Second, "measured time of a row")
	flag.DurationVar(&o.warmUp, "warm-up", 500*time.Millisecond, "time under load before the measured time")
	flag.DurationVar(&o.prime, "prime", 10*time.Second, "load on a system that has just started, not measured: a JVM compiles meanwhile")
	flag.DurationVar(&o.probe, "probe", time.Second, "time that each client option is tried for in the first run")
	flag.DurationVar(&o.limit, "limit", 90*time.Minute, "start no run of all systems that would end after this time")
	flag.BoolVar(&o.quick, "quick", false, "a check, not a measurement: one run, few rows; results are not saved unless -results is given")
	flag.StringVar(&task, "measure", "", "carry out one measurement (for this program's own use)")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var err error
	if task != "" {
		err = child(ctx, task)
	} else {
		err = start(ctx, o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1)
	}
}

// start fills in what depends on other flags, and runs.
func start(ctx context.Context, o options) error {
	if flag.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flag.Arg(0))
	}
	if o.quick {
		o.runs, o.duration, o.prime = 1, 2*time.Second, 5*time.Second
		if o.results == "" {
			o.results = "-"
		}
	}
	if o.runs < 1 || o.duration <= 0 || o.probe <= 0 || o.warmUp < 0 || o.prime < 0 {
		return errors.New("-runs, -duration and -probe must be above zero, -warm-up and -prime not below")
	}
	if o.results == "" {
		o.results = filepath.Join(o.root, "bench", "results")
	}
	if o.cache == "" {
		base, err := os.UserCacheDir()
		if err != nil {
			return err
		}
		o.cache = filepath.Join(base, "runnel-peers")
	}
	if err := os.MkdirAll(o.cache, 0o755); err != nil {
		return err
	}
	dir, err := os.MkdirTemp(o.temp, "runnel-peers-")
	if err != nil {
		return err
	}
	// A server that does not start has its log in the error, so nothing is left that anybody would look for.
	return errors.Join(run(ctx, o, dir), os.RemoveAll(dir))
}
