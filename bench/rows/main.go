package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/runnel-io/runnel/bench/disk"
	"github.com/runnel-io/runnel/bench/proc"
)

const (
	// replicas of each topic, and so how many times each record is on this disk.
	replicas = 3
	// limitBatch is the batch that the raw disk writes: the SDK's largest by default.
	limitBatch = 1_000_000
)

type options struct {
	rows     string
	runs     int
	duration time.Duration
	limit    bool
	profile  bool
	results  string
}

func main() {
	var o options
	flag.StringVar(&o.rows, "row", "", "rows to run, comma-separated (default: all)")
	flag.IntVar(&o.runs, "runs", 3, "runs of each row")
	flag.DurationVar(&o.duration, "duration", 5*time.Second, "measured time of a run")
	flag.BoolVar(&o.limit, "limit", false, "measure the raw disk beside each throughput row")
	flag.BoolVar(&o.profile, "profile", false, "take the brokers' profiles while each row runs, once")
	flag.StringVar(&o.results, "results", "bench/results", "folder that results and profiles go to")
	proc.Main("rows", 0, func(ctx context.Context, dir string) error { return run(ctx, o, dir) })
}

func run(ctx context.Context, o options, dir string) (err error) {
	var names []string
	if o.rows != "" {
		names = strings.Split(o.rows, ",")
	}
	picked, err := pick(names)
	if err != nil {
		return err
	}
	brokerctl, err := proc.Build(ctx, dir, "brokerctl")
	if err != nil {
		return err
	}
	var args []string
	if o.profile { // sampling blocked goroutines and contended locks costs a little: not while nobody looks
		args = append(args, "--pprof")
	}
	cluster, err := proc.Start(ctx, proc.Options{Dir: dir, Brokers: 3, Args: args})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cluster.KillAll()) }()
	b := bencher{brokerctl: brokerctl, cluster: cluster}
	var all []measured
	half := 250_000.0 // until the first row has told its maximum
	for _, r := range picked {
		m := measured{Row: r.id}
		for n := range o.runs {
			if o.limit && r.bound {
				raw, err := disk.Append(dir, replicas, limitBatch, 2*time.Second)
				if err != nil {
					return err
				}
				m.Limit = append(m.Limit, raw.MBPerSecond)
			}
			profiled := make(chan error, 1)
			if o.profile && n == 0 {
				go func() { profiled <- profile(ctx, cluster, o.results, r.id, o.duration) }()
			} else {
				profiled <- nil
			}
			res, err := b.run(ctx, r, o.duration, half)
			if err = errors.Join(err, <-profiled); err != nil {
				return err
			}
			m.Runs = append(m.Runs, res)
		}
		fmt.Fprintln(os.Stderr, progress(r, m))
		if r.id == "200b-1" {
			half = m.mid().RecordsPerSecond / 2
		}
		all = append(all, m)
	}
	fmt.Println(render(picked, all))
	return save(ctx, o, all)
}
