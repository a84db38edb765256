package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/runnel-io/runnel/bench/proc"
)

// inject has the syncs of a running broker take long or fail, by a strace that is attached to it until end is called; only those of
// some files, if any are given.
func inject(dir string, b *proc.Broker, how string, files ...string) (end func() error, err error) {
	var stderr bytes.Buffer
	args := []string{"-f", "-qq", "-p", strconv.Itoa(b.PID()), "-o", filepath.Join(dir, fmt.Sprintf("strace-%d.out", b.Number)),
		"-e", "trace=fdatasync", "-e", "inject=fdatasync:" + how}
	for _, f := range files {
		args = append(args, "-P", f)
	}
	cmd := exec.Command("strace", args...)
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }() // ends with the process, which end ends
	return func() error {
		select {
		case err := <-ended:
			if b.Running() { // else it ended with the broker
				return fmt.Errorf("strace cannot trace broker %d: %w: %s", b.Number, err, stderr.String())
			}
			return nil
		default:
		}
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) { // it detaches
			return err
		}
		<-ended
		return nil
	}, nil
}
