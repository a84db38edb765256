package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/runnel-io/runnel/bench/proc"
	"github.com/runnel-io/runnel/bench/trial"
	"github.com/runnel-io/runnel/rpc/client"
)

// skipped is the status of a run that could show nothing.
const skipped = 77

type options struct {
	from  string
	mixed time.Duration
	most  time.Duration
}

func main() {
	var o options
	flag.StringVar(&o.from, "from", "", "commit of the previous build (default: the one that bench/upgrade/PREVIOUS names)")
	flag.DurationVar(&o.mixed, "mixed", 10*time.Second, "how long the cluster stays mixed in the middle of each way")
	flag.DurationVar(&o.most, "most", time.Second, "longest wait for an acknowledgement that passes")
	proc.Main("upgrade", 15*time.Minute, func(ctx context.Context, dir string) error {
		err := upgrade(ctx, o, dir)
		if errors.Is(err, errMissing) {
			fmt.Println("skipped:", err)
			_ = os.RemoveAll(dir) // nothing of interest is in it
			os.Exit(skipped)
		}
		return err
	})
}

// build is a brokerd, and what it calls itself.
type build struct{ name, program string }

// run is a cluster on its ways.
type run struct {
	o             options
	dir           string
	cluster       *proc.Cluster
	cl            *client.Client // an operator's
	previous, now build
	previousLevel int            // of commands that the previous build reads
	trials        []*trial.Trial // that are over
}

func upgrade(ctx context.Context, o options, dir string) (err error) {
	pinned, err := previousCommit(previousFile)
	if err != nil {
		return err
	}
	commit := cmp.Or(o.from, pinned)
	r := &run{o: o, dir: dir}
	r.previous.name = "previous-" + commit
	if r.previous.program, err = buildPrevious(ctx, dir, commit); err != nil {
		return err
	}
	if r.previousLevel, err = levelOf(filepath.Join(dir, sourceName)); err != nil {
		return err
	}
	top, err := exec.CommandContext(ctx, "git", "rev-parse", "--show-toplevel").Output()
	if err != nil {
		return err
	}
	r.now = build{"this", filepath.Join(dir, "brokerd-this")}
	if err := compile(ctx, strings.TrimSpace(string(top)), r.now.program, r.now.name); err != nil {
		return err
	}
	r.cluster, err = proc.Start(ctx, proc.Options{Dir: dir, Brokers: brokers, Brokerd: r.previous.program})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.cluster.KillAll()) }()
	if r.cl, err = client.New(r.cluster.Seeds()); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.cl.Close()) }()
	fmt.Printf("three brokers of %s\n", r.previous.name)
	for _, way := range []struct {
		name string
		to   build
	}{{"forward", r.now}, {"back", r.previous}, {"forward again", r.now}} {
		if err := r.way(ctx, way.name, way.to); err != nil {
			return fmt.Errorf("%s: %w", way.name, err)
		}
	}
	return r.end(ctx)
}
