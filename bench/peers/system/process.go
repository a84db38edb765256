package system

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
)

// Process is one server.
type Process struct {
	Address string // for clients
	Log     string

	cmd  *exec.Cmd
	done chan struct{}
}

// Run starts a server whose output goes to log.
func Run(address, log, program string, args ...string) (*Process, error) {
	f, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer f.Close() // the child has its own descriptor
	p := &Process{Address: address, Log: log, cmd: exec.Command(program, args...), done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = f, f
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { // ends with the process, which Kill ends
		_ = p.cmd.Wait() // how it ended is of no interest: it was killed, or its log tells
		close(p.done)
	}()
	return p, nil
}

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Kill is SIGKILL, by the process's own id, and a wait for the end.
func (p *Process) Kill() error {
	err := p.cmd.Process.Signal(syscall.SIGKILL)
	<-p.done
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}

// Tail is the end of the log.
func (p *Process) Tail() string {
	raw, err := os.ReadFile(p.Log)
	if err != nil {
		return err.Error()
	}
	return string(raw[max(0, len(raw)-4096):])
}

// Processes are Servers.
type Processes []*Process

// Addresses are for clients.
func (ps Processes) Addresses() []string {
	var out []string
	for _, p := range ps {
		out = append(out, p.Address)
	}
	return out
}

// Kill ends the server of this address.
func (ps Processes) Kill(address string) error {
	for _, p := range ps {
		if p.Address == address {
			return p.Kill()
		}
	}
	return fmt.Errorf("no server at %s", address)
}

// Stop kills all that run. Their data is thrown away, so there is nothing to end cleanly.
func (ps Processes) Stop() error {
	var errs []error
	for _, p := range ps {
		errs = append(errs, p.Kill())
	}
	return errors.Join(errs...)
}
