package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/runnel-io/runnel/bench/workload"
	"github.com/runnel-io/runnel/rpc/client"
)

// eio has an fdatasync of a running broker fail, by a strace that is attached to it for as long as that takes.
func (r *run) eio(ctx context.Context, s step) (string, error) {
	m, err := r.hit(s, nil)
	if err != nil {
		return "", err
	}
	defer m.give()
	doubt := m.doubt.Load()
	m.harm()
	when := 1 + s.Variant%3
	out := filepath.Join(r.cluster.Dir, fmt.Sprintf("strace-%d-%d.out", m.Number, r.now().Milliseconds()))
	cmd := exec.Command("strace", "-f", "-qq", "-p", strconv.Itoa(m.PID()), "-o", out, "-e", "trace=fdatasync", "-e", fmt.Sprintf("inject=fdatasync:error=EIO:when=%d", when))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		return "", fmt.Errorf("%w: no fdatasync can be made to fail: %w; install strace", errUnable, err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }() // ends with the process, which is ended below
	poll, cancel := context.WithTimeout(ctx, 4*time.Second)
	defer cancel()
	injected, attached := 0, true
	for injected == 0 && attached && poll.Err() == nil {
		nap(poll, 10*time.Millisecond)
		if injected, err = count(out, "(INJECTED)"); err != nil && !errors.Is(err, os.ErrNotExist) {
			return "", err
		}
		select {
		case err = <-ended: // the broker has ended, or strace may not attach
			attached = false
		default:
		}
	}
	if attached {
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) { // it detaches
			return "", err
		}
		<-ended
	}
	injected, _ = count(out, "(INJECTED)") // it may have no output
	switch {
	case injected > 0:
		return fmt.Sprintf("broker %d, %d fdatasyncs, each the %d. of a thread", m.Number, injected, when), nil
	case !attached && m.Running():
		return "", fmt.Errorf("%w: strace cannot trace broker %d: %w: %s", errUnable, m.Number, err, stderr.String())
	}
	m.doubt.Store(doubt) // nothing was hit
	return "", errUnfit  // the broker wrote nothing
}

// count counts the lines of a file with a text.
func count(path, text string) (int, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	n := 0
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if strings.Contains(lines.Text(), text) {
			n++
		}
	}
	return n, lines.Err()
}

// noSpace fills the disk of the machine that has a small one: to below the reserve, or to the last byte. Where no file system can be
// mounted, the broker is started with a reserve above what is free.
func (r *run) noSpace(ctx context.Context, s step) (string, error) {
	m, err := r.hit(s, func(m *machine) bool { return m == r.smallMachine })
	if err != nil {
		return "", err
	}
	defer m.give()
	long := s.For + 1500*time.Millisecond // a broker looks each second
	before, err := count(m.LogFile(), refuses)
	if err != nil {
		return "", err
	}
	how, undo, err := m.fillUp(r.filled)
	if err == nil {
		nap(ctx, long)
	}
	after, cerr := count(m.LogFile(), refuses)
	if err := errors.Join(err, cerr, undo()); err != nil {
		return "", err
	}
	if after == before {
		return "", errUnfit // it had no time to look, or refused nothing
	}
	r.filled++
	return fmt.Sprintf("broker %d, %s for %s", m.Number, how, long.Round(time.Millisecond)), nil
}

// fillUp has the machine's disk be full, in the way that it can be, and answers how, and what undoes it. To the last byte it is filled the first
// time, and then by turns.
func (m *machine) fillUp(nth int) (how string, undo func() error, err error) {
	if !m.small {
		undo = func() error { return errors.Join(m.crash(), m.boot()) }
		return "by a reserve above its disk,", undo, errors.Join(m.crash(), m.start("--disk-reserve-bytes", "1000000000000000"))
	}
	m.harm()
	if nth%2 == 0 {
		return "a disk filled to the last byte", m.empty, m.fill(0)
	}
	return "a disk filled to half of the reserve", m.empty, m.fill(reserve / 2)
}

// refuses is what a broker says when its disk has less than the reserve.
const refuses = "records are refused"

// readAll reads each replica that a machine holds, from the machine itself. That a replica cannot be read is what is to be: it is given up. A
// damaged batch that is served is a violation, whoever reads it. An error says that the machine was not asked.
func (r *run) readAll(ctx context.Context, m *machine) error {
	brokers := &workload.Brokers{TLS: r.target().TLS}
	defer brokers.Close()
	for _, t := range r.topics {
		call, cancel := context.WithTimeout(ctx, 2*time.Second)
		starts, err := r.cl.ListOffsets(call, t.Name, client.AtStart())
		cancel()
		if err != nil {
			return err
		}
		for p, start := range starts {
			call, cancel := context.WithTimeout(ctx, 2*time.Second)
			err := brokers.Scan(call, m.Client, workload.Slot{Topic: t.Name, Partition: p}, start)
			late := call.Err()
			cancel()
			var damaged *workload.DamageError
			switch {
			case errors.As(err, &damaged):
				r.violate("I4", "broker %d, %s/%d: %v", m.Number, t.Name, p, err)
			case err != nil && (late != nil || !m.Running()):
				return err
			}
		}
	}
	return nil
}
