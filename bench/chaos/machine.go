package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/runnel-io/runnel/bench/chaos/proxy"
	"github.com/runnel-io/runnel/bench/proc"
)

// machine is one broker's process with its disk and its place behind the proxy.
type machine struct {
	*proc.Broker
	net *proxy.Network

	busy    chan struct{} // one token: whoever holds it may stop, start and damage the machine
	member  atomic.Bool   // it belongs to the cluster; the spare one does not
	doubt   atomic.Int32  // how often all copies must be seen whole until its disk is sound; see damage.go
	small   bool          // its disk is a small file system of its own
	filler  string        // a file that fills the disk, "" if there is none
	born    atomic.Int64  // when its process was started, in nanoseconds
	leaving bool          // its broker is being removed, and may end itself; guarded by run.mu
}

func newMachine(b *proc.Broker, net *proxy.Network) *machine {
	m := &machine{Broker: b, net: net, busy: make(chan struct{}, 1)}
	m.busy <- struct{}{}
	return m
}

// take waits until nobody else works on the machine.
func (m *machine) take(ctx context.Context) error {
	select {
	case <-m.busy:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// tryTake takes the machine if nobody works on it.
func (m *machine) tryTake() bool {
	select {
	case <-m.busy:
		return true
	default:
		return false
	}
}

func (m *machine) give() { m.busy <- struct{}{} }

// crash is SIGKILL; connections to the machine are refused from then on.
func (m *machine) crash() error {
	m.net.Shut(m.Number)
	return m.Kill()
}

// boot starts the process, if it does not run.
func (m *machine) boot() error {
	if m.Running() {
		return nil
	}
	return m.start()
}

// start starts the process with more flags.
func (m *machine) start(flags ...string) error {
	m.born.Store(time.Now().UnixNano())
	return errors.Join(m.StartWith(flags...), m.net.Open(m.Number))
}

// age is how long ago its process was started.
func (m *machine) age() time.Duration { return time.Since(time.Unix(0, m.born.Load())) }

const (
	// smallDisk holds what a run writes; a tmpfs takes memory for what is written only.
	smallDisk = 512 << 20
	// reserve is disk.reserve.bytes of the brokers.
	reserve = 16 << 20
)

// mountSmall gives the machine's data folder a small file system of its own.
func (m *machine) mountSmall() error {
	if err := os.MkdirAll(m.DataDir(), 0o755); err != nil {
		return err
	}
	if err := unix.Mount("tmpfs", m.DataDir(), "tmpfs", 0, fmt.Sprintf("size=%d", smallDisk)); err != nil {
		return fmt.Errorf("a small disk for broker %d: %w", m.Number, err)
	}
	m.small = true
	return nil
}

// unmount gives the small file system back. What is to be kept is copied before.
func (m *machine) unmount(keep bool) error {
	if !m.small {
		return nil
	}
	kept := m.DataDir() + ".kept"
	if keep {
		if err := os.CopyFS(kept, os.DirFS(m.DataDir())); err != nil {
			return errors.Join(err, unix.Unmount(m.DataDir(), unix.MNT_DETACH))
		}
	}
	if err := unix.Unmount(m.DataDir(), unix.MNT_DETACH); err != nil {
		return err
	}
	if keep {
		return errors.Join(os.Remove(m.DataDir()), os.Rename(kept, m.DataDir()))
	}
	return nil
}

// fill writes a file until so many bytes are left on the disk, or none. The broker writes meanwhile.
func (m *machine) fill(left int64) error {
	var st unix.Statfs_t
	if err := unix.Statfs(m.DataDir(), &st); err != nil {
		return err
	}
	path := filepath.Join(m.DataDir(), "filler")
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	m.filler = path
	// What does not fit is given back whole, so the pieces get smaller.
	at, want := int64(0), int64(st.Bavail)*st.Bsize-left
	for piece := want; at < want && piece >= st.Bsize; {
		switch err := unix.Fallocate(int(f.Fd()), 0, at, min(piece, want-at)); {
		case err == nil:
			at += min(piece, want-at)
		case errors.Is(err, syscall.ENOSPC):
			piece /= 2
		case !errors.Is(err, syscall.EINTR):
			return fmt.Errorf("%w: filling the disk of broker %d: %w", errUnable, m.Number, err)
		}
	}
	return nil
}

// empty removes the filler.
func (m *machine) empty() error {
	if m.filler == "" {
		return nil
	}
	path := m.filler
	m.filler = ""
	return os.Remove(path)
}
