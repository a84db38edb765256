package broker

import (
	"context"
	"sync"
	"time"
)

const (
	// methodLeaving tells that the caller is about to stop.
	methodLeaving = "broker.leaving"
	// leavingFor is how long that holds unless the broker's process ends before, and sayLeavingWithin how long a stop waits to say it.
	leavingFor       = stopWithin
	sayLeavingWithin = 200 * time.Millisecond
)

// leaving holds the brokers that said that they are about to stop. They get no leaders: the controller would send back those that they have
// just handed over, and a transfer to a broker that ends holds up a partition's writes.
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

// sayLeaving tells the other brokers that this one stops. One that cannot be told may send leaders here, or hand its own over, which are
// elected anew after the stop. All are told and not just the controller: this broker may lead that group, and whoever leads it next begins by
// sending leaders home.
func (b *Broker) sayLeaving(ctx context.Context, c *core) {
	ctx, cancel := context.WithTimeout(ctx, sayLeavingWithin)
	defer cancel()
	var calls sync.WaitGroup
	for _, id := range c.ctl.State().BrokerIDs() {
		if id == b.ID() || !c.host.Alive(id) {
			continue
		}
		calls.Go(func() {
			if _, err := b.peers.Call(ctx, id, methodLeaving, nil); err != nil {
				b.log.Info("a broker does not know that this one stops", "component", "broker", "peer", id, "error", err)
			}
		})
	}
	calls.Wait()
}
