package load

import (
	"context"
	"time"
)

// pacer is the schedule of one open-loop producer. The schedule is fixed when the run starts and never slips: a
// producer that falls behind gets its overdue records at once, each with the time it was due.
type pacer struct {
	start    time.Time
	interval float64 // nanoseconds between records; a float, or 300,000/s would drift by a third of a nanosecond each
	n        int64   // records handed out
	seen     time.Time
	wait     waiter
}

// newPacer makes the schedule of producer i of n, which together send rate records a second from start on. The
// producers interleave: their records are due one after the other, not all at the same moment.
func newPacer(start time.Time, rate float64, i, n int, w waiter) *pacer {
	interval := float64(time.Second) * float64(n) / rate
	phase := time.Duration(float64(time.Second) / rate * float64(i))
	return &pacer{start: start.Add(phase), interval: interval, seen: start, wait: w}
}

// tick is how seldom a producer sleeps whose records are due more often than that. A sleep costs some ten microseconds of
// processor, which at 300,000 records a second is what the brokers beside it need; so records are sent a tick's worth at a
// time. Each still counts from the moment it was due.
const tick = time.Millisecond

// next waits until the next record is due and answers when that was. It reads the clock only when the record may still
// lie in the future, so a producer that is behind pays nothing for the schedule.
func (p *pacer) next(ctx context.Context) (time.Time, error) {
	due := p.start.Add(time.Duration(p.interval * float64(p.n)))
	for due.After(p.seen) {
		p.seen = time.Now()
		if !due.After(p.seen) {
			break
		}
		wake := due
		if next := p.seen.Add(tick); p.interval < float64(tick) && next.After(due) {
			wake = next
		}
		if err := p.wait.until(ctx, wake); err != nil {
			return time.Time{}, err
		}
	}
	p.n++
	return due, nil
}

// waiter waits for a moment. It belongs to one goroutine.
type waiter interface {
	// until returns at t or a little later, or with ctx's error.
	until(ctx context.Context, t time.Time) error
	close() error
}

// timerWaiter waits with a timer of the Go runtime, which an idle processor honours only to the millisecond.
type timerWaiter struct{}

func (timerWaiter) until(ctx context.Context, t time.Time) error {
	timer := time.NewTimer(time.Until(t))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (timerWaiter) close() error { return nil }
