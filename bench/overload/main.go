package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/runnel-io/runnel/bench/proc"
)

type options struct {
	duration time.Duration
	most     time.Duration
	brokerd  string
	n        map[string]int // of each load, at a time
	phases   []string       // loads that come by themselves, and together
}

// order is that in which the loads come.
var order = []string{"idle", "readers", "producers", "largest", "topics"}

// together is the phase in which all of them come.
const together = "all"

func main() {
	o := options{n: map[string]int{}}
	var name, seeds string
	lo := loadOptions{}
	flag.DurationVar(&o.duration, "duration", 30*time.Second, "how long each load is watched by itself; all together twice as long")
	flag.DurationVar(&o.most, "most", 20*time.Second, "longest wait of the well-behaved client that passes")
	flag.StringVar(&o.brokerd, "brokerd", "", "program to run (default: the one of this source)")
	var phases string
	flag.StringVar(&phases, "phases", strings.Join(append(slices.Clone(order), together), ","), "which loads come, each by itself, and all at once")
	wanted := map[string]*int{}
	for what, n := range map[string]int{"idle": 10_000, "readers": 30, "producers": 24, "largest": 16, "topics": 8} {
		wanted[what] = flag.Int(what, n, "how many "+what+" at a time")
	}
	flag.StringVar(&name, "load", "", "internal: the load that this process is")
	flag.StringVar(&seeds, "seeds", "", "internal")
	flag.IntVar(&lo.n, "n", 0, "internal")
	flag.Float64Var(&lo.rate, "rate", 0, "internal")
	number := flag.Uint("run", 0, "internal")
	if len(os.Args) > 1 && os.Args[1] == "-load" {
		flag.Parse()
		lo.seeds, lo.run = strings.Split(seeds, ","), uint32(*number) //nolint:gosec // a few
		if err := serveLoad(name, lo); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	proc.Main("overload", 25*time.Minute, func(ctx context.Context, dir string) error {
		for what, n := range wanted {
			o.n[what] = *n
		}
		o.phases = strings.Split(phases, ",")
		for _, p := range o.phases {
			if p != together && loads[p] == nil {
				return fmt.Errorf("-phases: there is no %q: use %s and %s", p, strings.Join(order, ", "), together)
			}
		}
		return run(ctx, o, dir)
	})
}
