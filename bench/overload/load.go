package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// tally is what a load did and was told. It travels as JSON.
type tally struct {
	mu sync.Mutex

	// Counts by what was counted.
	Counts map[string]int64 `json:"counts"`
	// Errors by reason; Worst is the first one that its receiver could not act on: neither retriable nor definite, or without a word.
	Errors map[string]int64 `json:"errors"`
	Worst  string           `json:"worst,omitempty"`
	// Sent is what each producer got acknowledged.
	Sent []*sent `json:"sent,omitempty"`
}

func newTally() *tally { return &tally{Counts: map[string]int64{}, Errors: map[string]int64{}} }

func (t *tally) count(what string, n int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.Counts[what] += n
}

// sends notes that a producer begins.
func (t *tally) sends(topic string, run uint32, producer int) *sent {
	s := newSent(topic, run, uint32(producer))
	t.mu.Lock()
	defer t.mu.Unlock()
	t.Sent = append(t.Sent, s)
	return s
}

// failed counts an error. What the end of the load itself brings about is none.
func (t *tally) failed(ctx context.Context, what string, err error) {
	if err == nil || ctx.Err() != nil {
		return
	}
	e := runnelv1.AsError(err)
	t.mu.Lock()
	defer t.mu.Unlock()
	reason := strings.ToLower(strings.TrimPrefix(e.GetReason().String(), "ERROR_REASON_"))
	t.Errors[reason]++
	kind := e.GetKind()
	_, gone := definite[reason]
	unsent := kind == runnelv1.ErrorKind_ERROR_KIND_DEFINITE && e.GetReason() == runnelv1.ErrorReason_ERROR_REASON_TIMEOUT // waited with the client
	if t.Worst == "" && (e.GetMessage() == "" || kind != runnelv1.ErrorKind_ERROR_KIND_RETRIABLE && !gone && !unsent) {
		t.Worst = fmt.Sprintf("%s: %v (%s)", what, err, kind)
	}
}

// load is one of them; it runs until ctx ends.
type load func(ctx context.Context, o loadOptions, t *tally) error

type loadOptions struct {
	seeds []string
	n     int     // how many at a time
	rate  float64 // records a second
	run   uint32  // which of the runs of this load
}

var loads = map[string]load{"idle": idle, "readers": readers, "producers": producers, "largest": largest, "topics": churn}

// serveLoad is the program when it was started again with -load: it says "ready", runs until its input ends or a signal comes, and
// prints its tally.
func serveLoad(name string, o loadOptions) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	go func() { // ends with the process, or the process that started this one
		_, _ = bufio.NewReader(os.Stdin).ReadByte()
		stop()
	}()
	t := newTally()
	if err := loads[name](ctx, o, t); err != nil && ctx.Err() == nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return json.NewEncoder(os.Stdout).Encode(t)
}

// running is a load in a process of its own.
type running struct {
	name   string
	cmd    *exec.Cmd
	stdin  interface{ Close() error }
	out    *bufio.Reader
	errOut bytes.Buffer
}

// startLoad starts one and waits until it says that it is up, which takes as long as making 10,000 connections.
func startLoad(ctx context.Context, name string, o loadOptions) (*running, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	r := &running{name: name}
	args := []string{self, "-load", name, "-seeds", strings.Join(o.seeds, ","), "-n", fmt.Sprint(o.n), "-rate", fmt.Sprint(o.rate), "-run", fmt.Sprint(o.run)}
	if name != "idle" { // who does not answer a broker's pings for ten seconds is taken for gone
		args = append([]string{"nice", "-n", "5"}, args...)
	}
	r.cmd = exec.Command(args[0], args[1:]...)
	r.cmd.Stderr = &r.errOut
	stdin, err := r.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	r.stdin = stdin
	stdout, err := r.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	r.out = bufio.NewReader(stdout)
	if err := r.cmd.Start(); err != nil {
		return nil, err
	}
	up := make(chan error, 1)
	go func() { // ends when the process prints its first line or ends
		line, err := r.out.ReadString('\n')
		if err == nil && strings.TrimSpace(line) != "ready" {
			err = fmt.Errorf("it printed %q", line)
		}
		up <- err
	}()
	select {
	case err = <-up:
	case <-time.After(2 * time.Minute):
		err = errors.New("it was not up within two minutes")
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("the load %s did not start: %w", name, err), r.kill())
	}
	return r, nil
}

func (r *running) kill() error {
	_ = r.cmd.Process.Kill() // it may be gone
	_ = r.cmd.Wait()
	if s := r.errOut.String(); s != "" {
		return errors.New(s)
	}
	return nil
}

// end tells the load to end and answers its tally.
func (r *running) end() (*tally, error) {
	t := newTally()
	_ = r.stdin.Close() // that is how it is told
	late := time.AfterFunc(3*time.Minute, func() { _ = r.cmd.Process.Kill() })
	defer late.Stop()
	err := json.NewDecoder(r.out).Decode(t)
	if werr := r.cmd.Wait(); err != nil || werr != nil {
		return nil, fmt.Errorf("the load %s: %w\n%s", r.name, errors.Join(err, werr), r.errOut.String())
	}
	return t, nil
}

// ready says that the load is up.
func ready() { fmt.Println("ready") }
