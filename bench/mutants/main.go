package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
)

type options struct {
	only     string
	seeds    int
	parallel int
	verbose  bool
}

func main() {
	var o options
	flag.StringVar(&o.only, "only", "", "names of mutants, or of a layer, separated by commas; default: all")
	flag.IntVar(&o.seeds, "seeds", 200, "how many seeds the simulation tries at most")
	flag.IntVar(&o.parallel, "parallel", runtime.NumCPU(), "mutants at a time")
	flag.BoolVar(&o.verbose, "v", false, "print what runs that did not catch their mutant said")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := mutants(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		stop()
		os.Exit(1)
	}
}

func mutants(ctx context.Context, o options) error {
	es, err := chosen(o.only)
	if err != nil {
		return err
	}
	out, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return fmt.Errorf("go env GOMOD: %w", err)
	}
	dir, err := os.MkdirTemp("", "runnel-mutants-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	l := &lab{root: filepath.Dir(strings.TrimSpace(string(out))), dir: dir}
	if err := l.build(ctx, es); err != nil {
		return err
	}
	h := &hunt{lab: l, o: o, clean: map[string]*cleanRun{}}
	found := h.all(ctx, es)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return report(found)
}

func chosen(only string) ([]entry, error) {
	if only == "" {
		return entries, nil
	}
	var es []entry
	for name := range strings.SplitSeq(only, ",") {
		n := len(es)
		for _, e := range entries {
			if e.name == name || string(e.layer) == name {
				es = append(es, e)
			}
		}
		if len(es) == n {
			return nil, fmt.Errorf("there is no mutant or layer %q; bench/mutants/entries.go lists them", name)
		}
	}
	return es, nil
}
