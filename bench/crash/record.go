package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/runnel-io/runnel/bench/check"
	"github.com/runnel-io/runnel/bench/crash/disk"
)

// recording is what a process did to its disk, and what it promised meanwhile.
type recording struct {
	events  []disk.Event
	ledgers []*ledger // by event: what holds once it has happened
	base    string    // the folder that it was made in; the replayed one is rec in it
	cluster int       // the first event of the three brokers
}

var (
	errNoStrace = errors.New("strace is needed to see the store's system calls; install it (apt-get install strace, dnf install strace) and run again")
	errNoTrace  = errors.New("strace may not trace here; allow ptrace (docker run --cap-add SYS_PTRACE, sysctl kernel.yama.ptrace_scope=0) and run again")
)

// childError says that the store failed by itself, with nothing done to its disk.
type childError struct{ text string }

func (e *childError) Error() string { return "the store failed while it was recorded: " + e.text }

// violation is what that breaks, by what the store says.
func (e *childError) violation() check.Violation {
	switch {
	case strings.Contains(e.text, "a vote may be lost"):
		return violation("I15", "%v", e)
	case strings.Contains(e.text, "committed entries"), strings.Contains(e.text, "is above the last entry"):
		return violation("I12", "%v", e)
	}
	return violation("I1", "%v", e)
}

// recordRun runs the lives under strace, in a folder of base.
func recordRun(ctx context.Context, base string, seed uint64, steps int) (*recording, error) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		return nil, errNoStrace
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	if err := os.Mkdir(filepath.Join(base, "rec"), 0o750); err != nil {
		return nil, err
	}
	probe := exec.CommandContext(ctx, strace, "-f", "--seccomp-bpf", "-o", os.DevNull, self, "-life", "-1")
	if out, err := probe.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w: %s", errNoTrace, strings.TrimSpace(string(out)))
	}
	cmd := exec.CommandContext(ctx, strace, "-f", "--seccomp-bpf", "-y", "-xx", "-s", strconv.Itoa(4<<20), "-e", "trace="+disk.Calls, "-o", filepath.Join(base, "trace"),
		self, "-life", "0", "-dir", filepath.Join(base, "rec"), "-marks", filepath.Join(base, "marks"),
		"-seed", strconv.FormatUint(seed, 10), "-steps", strconv.Itoa(steps))
	if out, err := cmd.CombinedOutput(); err != nil {
		if ctx.Err() != nil {
			return nil, fmt.Errorf("recording took too long: %w", ctx.Err())
		}
		return nil, &childError{fmt.Sprintf("%v: %s", err, strings.TrimSpace(string(out)))}
	}
	return load(filepath.Join(base, "trace"), base)
}

// load reads a trace that was made in the folder base.
func load(trace, base string) (*recording, error) {
	f, err := os.Open(trace)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r := &recording{base: base, cluster: math.MaxInt}
	if r.events, err = disk.Parse(f, filepath.Join(base, "rec"), filepath.Join(base, "marks")); err != nil {
		return nil, err
	}
	l := newLedger()
	for i := range r.events {
		e := &r.events[i]
		if strings.HasPrefix(e.Path, "broker-") {
			r.cluster = min(r.cluster, i)
		}
		if e.Kind == disk.Mark {
			m, err := parseMark(e.Data)
			if err != nil {
				return nil, err
			}
			if l, err = l.take(m); err != nil {
				return nil, err
			}
		}
		r.ledgers = append(r.ledgers, l)
	}
	if l.marks == 0 {
		return nil, errors.New("the trace has no promises: nothing could be checked")
	}
	return r, nil
}

// keep copies the trace to where a later run can replay it.
func (r *recording) keep(dir string) error {
	b, err := os.ReadFile(filepath.Join(r.base, "trace"))
	if err != nil {
		return err
	}
	return errors.Join(os.WriteFile(filepath.Join(dir, "trace"), b, 0o600), os.WriteFile(filepath.Join(dir, "base"), []byte(r.base), 0o600))
}

// reload reads what keep wrote.
func reload(dir string) (*recording, error) {
	base, err := os.ReadFile(filepath.Join(dir, "base"))
	if err != nil {
		return nil, err
	}
	return load(filepath.Join(dir, "trace"), string(base))
}
