package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/runnel-io/runnel/bench/proc"
)

// stopsWithin is how long the process inside has to end its brokers once it is told to.
const stopsWithin = 20 * time.Second

// outside makes the network, runs the rest of the program in it, and removes the network.
func outside(ctx context.Context, dir, brokerd string, hold time.Duration) (err error) {
	sweep()
	if brokerd == "" {
		if brokerd, err = proc.Build(ctx, dir, "brokerd"); err != nil {
			return err
		}
	}
	if brokerd, err = filepath.Abs(brokerd); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	l := lab{fmt.Sprintf("runnel-%d", os.Getpid())}
	defer func() { err = errors.Join(err, l.remove()) }()
	if err := l.create(); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, self, insideName, "-dir", dir, "-brokerd", brokerd, "-prefix", l.prefix, "-hold", hold.String())
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = stopsWithin
	if err := startIn(l.name(clientsName), cmd); err != nil {
		return err
	}
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("red: %w", err)
	}
	return nil
}

// startIn starts a process in the network of a namespace. Its file systems stay this one's, so it may make namespaces that this one sees.
func startIn(name string, cmd *exec.Cmd) error {
	started := make(chan error, 1)
	go func() { // ends at once, and the thread with it: it has another network than the rest
		runtime.LockOSThread()
		f, err := os.Open(filepath.Join("/run/netns", name))
		if err != nil {
			started <- err
			return
		}
		defer f.Close()
		if err := unix.Setns(int(f.Fd()), unix.CLONE_NEWNET); err != nil {
			started <- fmt.Errorf("network of %s: %w", name, err)
			return
		}
		started <- cmd.Start()
	}()
	return <-started
}

// left is the name of a namespace, and the process that made it.
var left = regexp.MustCompile(`^(runnel-([0-9]+))-`)

// sweep removes what runs that were killed have left.
func sweep() {
	all, err := namespaces()
	if err != nil {
		return
	}
	for _, name := range all {
		m := left.FindStringSubmatch(name)
		if m == nil {
			continue
		}
		pid, err := strconv.Atoi(m[2])
		if err == nil && pid != os.Getpid() && errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			fmt.Printf("removing %s, which a run that was killed has left\n", m[1])
			if err := (lab{m[1]}).remove(); err != nil {
				fmt.Println(err)
			}
		}
	}
}

// killAll kills processes; one that is gone already is none.
func killAll(pids []string) error {
	for _, p := range pids {
		pid, err := strconv.Atoi(p)
		if err != nil {
			return err
		}
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("process %d: %w", pid, err)
		}
	}
	return nil
}

// waitABit is the pause between two looks at processes that end.
func waitABit() { _ = proc.Wait(context.Background(), 10*time.Millisecond) }
