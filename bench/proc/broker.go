package proc

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Broker is one brokerd process, running or not, with its folder and addresses.
type Broker struct {
	Number                     int
	Client, Peer, Gossip, HTTP string // listened on
	// Told are the addresses that others are told, if they are not those: of a proxy in front of the broker.
	Told Told

	dir, program     string
	via, args, seeds []string

	mu   sync.Mutex
	cmd  *exec.Cmd     // nil: not running
	done chan struct{} // closed when the process was waited for
}

// Told are addresses that lead to a broker by way of something else. All are set or none.
type Told struct{ Client, Peer, Gossip string }

// Address is where clients find the broker.
func (b *Broker) Address() string { return cmp.Or(b.Told.Client, b.Client) }

// Move gives a broker that does not run another host, at which it is started next, and others are told the same.
func (b *Broker) Move(host string) {
	b.Client, b.Peer, b.Gossip, b.HTTP, b.Told = at(host, 7070), at(host, 7071), at(host, 7072), at(host, 7073), Told{}
}

// Run has a broker that does not run be another program from its next start on.
func (b *Broker) Run(program string) { b.program = program }

// Find gives a broker other seeds from its next start on.
func (b *Broker) Find(seeds []string) { b.seeds = seeds }

// Start runs the process; it does not wait until it is ready.
func (b *Broker) Start() error { return b.StartWith() }

// StartWith is Start with more flags, for this time.
func (b *Broker) StartWith(flags ...string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.cmd != nil {
		return fmt.Errorf("broker %d runs already", b.Number)
	}
	log, err := os.OpenFile(b.LogFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close() // the child has its own descriptor
	args := []string{
		"--data-dir", b.dir, "--listen", b.Client, "--peer-listen", b.Peer,
		"--gossip-listen", b.Gossip, "--http-listen", b.HTTP, "--cluster-found-wait", "0s",
	}
	if b.Told != (Told{}) {
		args = append(args, "--advertise-client", b.Told.Client, "--advertise-peer", b.Told.Peer, "--advertise-gossip", b.Told.Gossip)
	}
	if len(b.seeds) > 0 {
		args = append(args, "--seeds", strings.Join(b.seeds, ","))
	}
	line := slices.Concat(b.via, []string{b.program}, args, b.args, flags)
	cmd := exec.Command(line[0], line[1:]...)
	cmd.Stdout, cmd.Stderr, cmd.Env = log, log, cleanEnv()
	if err := cmd.Start(); err != nil {
		return err
	}
	b.cmd, b.done = cmd, make(chan struct{})
	go func(done chan struct{}) { // ends with the process, which Kill, Stop or KillAll end
		_ = cmd.Wait() // how it ended is of no interest: it was killed, or its log tells
		b.mu.Lock()
		b.cmd = nil
		b.mu.Unlock()
		close(done)
	}(b.done)
	return nil
}

// Running tells whether the process lives.
func (b *Broker) Running() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.cmd != nil
}

// PID of the running process, 0 if it does not run.
func (b *Broker) PID() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.cmd == nil {
		return 0
	}
	return b.cmd.Process.Pid
}

// Ready waits until /readyz answers 200. A process that ends, or ctx, ends the wait with the last reason heard.
func (b *Broker) Ready(ctx context.Context) error {
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	client := &http.Client{Timeout: 2 * time.Second}
	defer client.CloseIdleConnections()
	for {
		b.mu.Lock()
		done := b.done
		b.mu.Unlock()
		last := b.probe(ctx, client)
		if last == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("broker %d is not ready: %w; its log: %s", b.Number, last, b.LogFile())
		case <-done:
			return fmt.Errorf("broker %d stopped while starting; its log:\n%s", b.Number, b.logTail())
		case <-ticker.C:
		}
	}
}

func (b *Broker) probe(ctx context.Context, client *http.Client) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+b.HTTP+"/readyz", nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 4096))
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s", strings.TrimSpace(string(text)))
	}
	return nil
}

// Kill is SIGKILL and a wait for the end.
func (b *Broker) Kill() error {
	return errors.Join(b.signalKill(), b.Wait())
}

// Stop is SIGTERM and a wait, at most until ctx ends, then SIGKILL and an error.
func (b *Broker) Stop(ctx context.Context) error {
	return errors.Join(b.terminate(), b.await(ctx))
}

// Wait returns once the process is gone.
func (b *Broker) Wait() error {
	b.mu.Lock()
	done := b.done
	b.mu.Unlock()
	if done != nil {
		<-done
	}
	return nil
}

func (b *Broker) await(ctx context.Context) error {
	b.mu.Lock()
	done := b.done
	b.mu.Unlock()
	if done == nil {
		return nil
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return errors.Join(fmt.Errorf("broker %d did not stop after SIGTERM: %w", b.Number, ctx.Err()), b.Kill())
	}
}

func (b *Broker) signalKill() error { return b.signal(syscall.SIGKILL) }
func (b *Broker) terminate() error  { return b.signal(syscall.SIGTERM) }

// Signal sends a signal to the running process; none if it does not run.
func (b *Broker) Signal(s syscall.Signal) error { return b.signal(s) }

func (b *Broker) signal(s syscall.Signal) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.cmd == nil {
		return nil
	}
	if err := b.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("broker %d: %w", b.Number, err)
	}
	return nil
}

// Wipe empties the data folder of a broker that does not run, as a lost disk does. The folder itself stays: it may be a file system's.
func (b *Broker) Wipe() error {
	if b.Running() {
		return fmt.Errorf("broker %d runs", b.Number)
	}
	entries, err := os.ReadDir(b.dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	for _, e := range entries {
		if err := os.RemoveAll(filepath.Join(b.dir, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// DataDir is the broker's data folder.
func (b *Broker) DataDir() string { return b.dir }

// LogFile is where the process's output goes, start after start.
func (b *Broker) LogFile() string {
	return filepath.Join(filepath.Dir(b.dir), fmt.Sprintf("broker-%d.log", b.Number))
}

func (b *Broker) logTail() string {
	raw, err := os.ReadFile(b.LogFile())
	if err != nil {
		return err.Error()
	}
	return string(raw[max(0, len(raw)-4096):])
}
