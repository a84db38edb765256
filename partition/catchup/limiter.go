package catchup

import (
	"context"
	"sync"
	"time"

	"github.com/runnel-io/runnel/partition/env"
)

// burst is how much unused rate adds up to, in time.
const burst = 100 * time.Millisecond

// Limiter gives out bytes at a steady rate, to any number of transfers, in the order in which they ask. Safe for concurrent use. A nil
// Limiter does not limit.
type Limiter struct {
	clock env.Clock

	mu   sync.Mutex
	rate int64     // bytes a second; 0 = no limit
	next time.Time // when all that was given out is paid for
	// changed is closed when the rate changes: whoever waits asks anew.
	changed chan struct{}
}

// NewLimiter limits to so many bytes a second; 0 is no limit.
func NewLimiter(clock env.Clock, bytesPerSecond int64) *Limiter {
	return &Limiter{clock: clock, rate: max(bytesPerSecond, 0), changed: make(chan struct{})}
}

// SetRate changes the rate, also for those that wait: what they booked at the old one may be hours away.
func (l *Limiter) SetRate(bytesPerSecond int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rate = max(bytesPerSecond, 0)
	if now := l.clock.Now(); l.next.After(now) {
		l.next = now
	}
	close(l.changed)
	l.changed = make(chan struct{})
}

// Rate is the limit in bytes a second; 0 is none.
func (l *Limiter) Rate() int64 {
	if l == nil {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.rate
}

// Wait returns when n bytes may go, or with ctx's error. What was asked for is not given back then.
func (l *Limiter) Wait(ctx context.Context, n int) error {
	if l == nil {
		return ctx.Err()
	}
	for {
		l.mu.Lock()
		changed := l.changed
		l.mu.Unlock()
		if again, err := sleep(ctx, l.clock, l.take(n), changed); !again {
			return err
		}
	}
}

// take books n bytes and tells how long to wait for them.
func (l *Limiter) take(n int) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.rate == 0 || n <= 0 {
		return 0
	}
	now := l.clock.Now()
	if earliest := now.Add(-burst); l.next.Before(earliest) {
		l.next = earliest
	}
	l.next = l.next.Add(time.Duration(float64(n) / float64(l.rate) * float64(time.Second)))
	return l.next.Sub(now)
}

// sleep returns after d, or true once the rate has changed.
func sleep(ctx context.Context, clock env.Clock, d time.Duration, changed <-chan struct{}) (again bool, err error) {
	if d <= 0 {
		return false, ctx.Err()
	}
	over := make(chan struct{})
	t := clock.AfterFunc(d, func() { close(over) })
	defer t.Stop()
	select {
	case <-over:
		return false, nil
	case <-changed:
		return true, nil
	case <-ctx.Done():
		return false, ctx.Err()
	}
}
