package raftlog

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// ResourceError says that the process or the machine was out of descriptors, mappings or memory before a write began, while
// a file or a folder was being opened. Unlike a failed write it leaves nothing in doubt: what was to be written is not, and
// the call may be made again. It never comes wrapped in a PoisonedError.
type ResourceError struct{ Err error }

func (e *ResourceError) Error() string {
	return fmt.Sprintf("out of descriptors, mappings or memory: %v; raise ulimit -n and vm.max_map_count, or have fewer partitions or connections", e.Err)
}

// Unwrap gives what the system said.
func (e *ResourceError) Unwrap() error { return e.Err }

// opening classifies an error of opening something. Only for errors from before a write: the same codes from within a commit
// leave it open what is on disk.
func opening(err error) error {
	for _, code := range []syscall.Errno{syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.ENOLCK} {
		if errors.Is(err, code) {
			return &ResourceError{Err: err}
		}
	}
	return err
}

func isShortage(err error) bool {
	var r *ResourceError
	return errors.As(err, &r)
}

// shortageWaits is how long an append waits before each further try. A burst of connections is over by then; what is not is
// for the caller to decide.
var shortageWaits = [...]time.Duration{
	50 * time.Millisecond, 100 * time.Millisecond, 200 * time.Millisecond, 400 * time.Millisecond,
	500 * time.Millisecond, 500 * time.Millisecond, 500 * time.Millisecond,
}

// patiently runs one step of an append, and again for a while when it failed for want of resources. A step that failed so
// has changed nothing that running it again does not take into account. Append task only: it blocks.
func (l *Log) patiently(step func() error) error {
	for n := 0; ; n++ {
		err := step()
		if err == nil || !isShortage(err) {
			return err
		}
		l.s.m.shortages.Inc()
		if n == 0 {
			l.log.Warn("an append waits for resources", "error", err)
		}
		if n == len(shortageWaits) || !l.pause(shortageWaits[n]) {
			return err
		}
		if ferr := l.failed(); ferr != nil {
			return ferr
		}
	}
}

// pause waits, and tells false if the log is being closed.
func (l *Log) pause(d time.Duration) bool {
	over := make(chan struct{})
	t := l.s.o.Clock.AfterFunc(d, func() { close(over) })
	defer t.Stop()
	select {
	case <-over:
		return true
	case <-l.closing:
		return false
	}
}

// openFiles is how many sealed and active files stay open by default, given the process's limit of descriptors and the
// system's of mappings per process: at most half of either in all, the rest is for connections and for files in use.
func openFiles(descriptors, mappings uint64) (sealed, active int) {
	const least = 8
	all := int(min(descriptors/2, mappings/2, defaultMaxOpenSealed+defaultMaxOpenActive))
	sealed = max(least, min(defaultMaxOpenSealed, all/4))
	return sealed, max(least, all-sealed)
}

// systemLimits reads the limits that openFiles asks for; what cannot be read counts as no limit.
func systemLimits() (descriptors, mappings uint64) {
	const none = 1 << 40
	descriptors, mappings = none, none
	var lim unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &lim) == nil {
		descriptors = lim.Cur
	}
	if raw, err := os.ReadFile("/proc/sys/vm/max_map_count"); err == nil {
		if n, err := strconv.ParseUint(strings.TrimSpace(string(raw)), 10, 64); err == nil {
			mappings = n
		}
	}
	return descriptors, mappings
}
