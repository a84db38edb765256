package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// What one run of a layer is, and how long it may take.
const (
	simFrom   = 1  // the first seed
	simChunk  = 10 // seeds a run
	simLimit  = 5 * time.Minute
	unitLimit = 5 * time.Minute

	crashStates = 4000
	crashSeed   = 1
	crashLimit  = 5 * time.Minute

	chaosSeed  = 1
	chaosFor   = 60 * time.Second
	chaosLimit = 5 * time.Minute
)

// lab has the programs, built with all mutants in them.
type lab struct {
	root, dir string
}

// build makes the programs that the entries need.
func (l *lab) build(ctx context.Context, es []entry) error {
	done := map[string]bool{}
	for i := range es {
		for _, b := range l.programs(&es[i]) {
			if done[b.out] {
				continue
			}
			done[b.out] = true
			began := time.Now()
			cmd := exec.CommandContext(ctx, "go", slices.Concat(b.how, []string{"-tags", "mutants", "-o", b.out, b.pkg})...)
			cmd.Dir = l.root
			if out, err := cmd.CombinedOutput(); err != nil {
				return fmt.Errorf("go %s of %s: %w\n%s", b.how[0], b.pkg, err, out)
			}
			fmt.Printf("built %s with mutants in %s\n", b.pkg, time.Since(began).Round(time.Second))
		}
	}
	return nil
}

// program is something to build.
type program struct {
	how      []string
	pkg, out string
}

func (l *lab) out(name string) string {
	return filepath.Join(l.dir, strings.ReplaceAll(name, "/", "-"))
}

func (l *lab) programs(e *entry) []program {
	tests := func(pkg string) program {
		return program{[]string{"test", "-c"}, "./" + pkg, l.out(pkg + ".test")}
	}
	command := func(pkg string) program { return program{[]string{"build"}, "./" + pkg, l.out(pkg)} }
	switch e.layer {
	case unit:
		return []program{tests(e.pkg)}
	case sim:
		return []program{tests("bench/sim")}
	case crash:
		return []program{command("bench/crash")}
	case chaos:
		return []program{command("bench/chaos"), command("cmd/brokerd")}
	}
	panic("no such layer: " + string(e.layer))
}

// run is one run of a layer. Two entries with an equal run share the one without a bug.
type run struct {
	program, dir string
	temp         string // folder that goes with the lab's
	args         []string
	limit        time.Duration
}

func (r *run) key() string { return r.program + " " + strings.Join(r.args, " ") }

// runs gives an entry's runs, each with a place for its files.
func (l *lab) runs(e *entry, seeds int) []run {
	rs := l.layerRuns(e, seeds)
	for i := range rs {
		rs[i].temp = l.dir
	}
	return rs
}

// layerRuns gives an entry's runs in order: the next one is made if the one before did not catch it.
func (l *lab) layerRuns(e *entry, seeds int) []run {
	switch e.layer {
	case unit:
		return []run{{
			program: l.out(e.pkg + ".test"), dir: filepath.Join(l.root, e.pkg), limit: unitLimit,
			args: []string{"-test.run", "^(" + e.tests + ")$", "-test.v", "-test.short"},
		}}
	case sim:
		var rs []run
		for from := simFrom; from < simFrom+seeds; from += simChunk {
			rs = append(rs, run{
				program: l.out("bench/sim.test"), dir: filepath.Join(l.root, "bench/sim"), limit: simLimit,
				args: []string{"-test.run", "^TestSeeds$", "-sim.seeds", strconv.Itoa(simChunk), "-sim.from", strconv.Itoa(from)},
			})
		}
		return rs
	case crash:
		return []run{{
			program: l.out("bench/crash"), dir: l.root, limit: crashLimit,
			args: []string{"-states", strconv.Itoa(crashStates), "-seed", strconv.Itoa(crashSeed)},
		}}
	case chaos:
		return []run{{
			program: l.out("bench/chaos"), dir: l.root, limit: chaosLimit,
			args: []string{"-brokerd", l.out("cmd/brokerd"), "-duration", chaosFor.String(), "-seed", strconv.Itoa(chaosSeed), "-faults", e.faults},
		}}
	}
	panic("no such layer: " + string(e.layer))
}

// do makes a run with a bug, or without one if mutant is "". An error means that it could not be made.
func (r *run) do(ctx context.Context, mutant string) (result, error) {
	limited, cancel := context.WithTimeout(ctx, r.limit)
	defer cancel()
	cmd := exec.CommandContext(limited, r.program, r.args...)
	cmd.Dir = r.dir
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "MUTANT=") })
	cmd.Env = append(cmd.Env, "TMPDIR="+r.temp) // where red runs leave what they found
	if mutant != "" {
		cmd.Env = append(cmd.Env, "MUTANT="+mutant)
	}
	cmd.WaitDelay = 10 * time.Second // for what the program itself has started
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return result{}, ctx.Err()
	case err == nil || errors.As(err, &exit):
		return result{code: cmd.ProcessState.ExitCode(), late: limited.Err() != nil, output: out.String()}, nil
	}
	return result{}, err
}
