package load

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// fdWaiter waits on a timerfd. The Go runtime sleeps in epoll_wait, whose time-out counts in milliseconds, so its
// timers may be a millisecond late: as much as the latency that is to be measured. A timerfd wakes epoll through the
// kernel's high-resolution timers instead, some 50 microseconds late.
type fdWaiter struct {
	f    *os.File
	fd   int // of f; File.Fd would switch the descriptor to blocking mode
	stop func() bool
}

// newWaiter makes a waiter for one goroutine, whose waits end with ctx.
func newWaiter(ctx context.Context) (waiter, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("making a timer for the send schedule: %w", err)
	}
	f := os.NewFile(uintptr(fd), "timerfd")
	stop := context.AfterFunc(ctx, func() {
		// A deadline in the past ends the read in progress. It fails only on a file without a poller, which this is not.
		_ = f.SetReadDeadline(time.Unix(1, 0))
	})
	return &fdWaiter{f: f, fd: fd, stop: stop}, nil
}

func (w *fdWaiter) until(ctx context.Context, t time.Time) error {
	d := time.Until(t)
	if d <= 0 {
		return ctx.Err()
	}
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(d.Nanoseconds())}
	if err := unix.TimerfdSettime(w.fd, 0, &spec, nil); err != nil {
		return fmt.Errorf("setting the timer of the send schedule: %w", err)
	}
	var fired [8]byte
	if _, err := w.f.Read(fired[:]); err != nil {
		if ctx.Err() != nil && errors.Is(err, os.ErrDeadlineExceeded) {
			return ctx.Err()
		}
		return fmt.Errorf("waiting for the timer of the send schedule: %w", err)
	}
	return nil
}

func (w *fdWaiter) close() error {
	w.stop()
	return w.f.Close()
}
