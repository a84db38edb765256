package broker

import (
	"context"
	"sync"
	"time"
)

const (
	// methodLeaving tells the leader of the controller group that the caller is about to stop.
	methodLeaving = "broker.leaving"
	// leavingFor is how long that holds unless the broker's process ends before, and sayLeavingWithin how long a stop waits to say it.
	leavingFor       = stopWithin
	sayLeavingWithin = 200 * time.Millisecond
)

// leaving holds the brokers that said that they are about to stop. The controller takes them for silent at once: it would send leaders
// back that they have just handed over.
type leaving struct {
	mu    sync.Mutex
	since map[int32]time.Time
}

func (l *leaving) says(broker int32, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.since == nil {
		l.since = map[int32]time.Time{}
	}
	l.since[broker] = now
}

// ended is called when the broker's process is gone, or another one answers in its place.
func (l *leaving) ended(broker int32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.since, broker)
}

func (l *leaving) is(broker int32, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	at, ok := l.since[broker]
	return ok && now.Sub(at) < leavingFor
}

// sayLeaving tells the controller that this broker stops. If it cannot, leaders may come back here and are elected anew after the stop.
func (b *Broker) sayLeaving(ctx context.Context, c *core) {
	lead := c.ctl.Leader()
	if lead == 0 || lead == b.ID() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, sayLeavingWithin)
	defer cancel()
	if _, err := b.peers.Call(ctx, lead, methodLeaving, nil); err != nil {
		b.log.Info("the controller does not know that this broker stops", "component", "broker", "controller", lead, "error", err)
	}
}
