package proc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// A topic's deletion is answered when it is decided. Its replicas are stopped and their files deleted after that, one by one, and
// each broker tells the controller which of its own are gone.

const (
	// settledWithin bounds the wait for that. Thousands of replicas are deleted in seconds.
	settledWithin = 2 * time.Minute
	settledEvery  = 50 * time.Millisecond
)

// left is what a broker says of topics and of what is being deleted.
type left struct {
	topics     float64 // in the state that the broker has applied
	tombstones float64 // in that state: deleted replicas, of any broker, that are not reported as gone
	deleting   float64 // replicas of the broker itself
	running    float64
}

// leftovers says which sample is which.
var leftovers = map[string]func(*left) *float64{
	`runnel_controller_applied_topics`:        func(l *left) *float64 { return &l.topics },
	`runnel_controller_tombstones`:            func(l *left) *float64 { return &l.tombstones },
	`runnel_agent_replicas{state="deleting"}`: func(l *left) *float64 { return &l.deleting },
	`runnel_agent_replicas{state="running"}`:  func(l *left) *float64 { return &l.running },
}

// parseLeft finds the samples. One that is missing is an error: a renamed metric must not read as "nothing left".
func parseLeft(r io.Reader) (l left, err error) {
	seen := map[string]bool{}
	if err := parse(r, func(name, labels string, v float64) {
		if field, ok := leftovers[name+labels]; ok {
			*field(&l) = v
			seen[name+labels] = true
		}
	}); err != nil {
		return left{}, err
	}
	for name := range leftovers {
		if !seen[name] {
			return left{}, fmt.Errorf("/metrics has no %s", name)
		}
	}
	return l, nil
}

// left asks each running broker.
func (c *Cluster) left(ctx context.Context, f func(*Broker, left)) error {
	for _, b := range c.Brokers {
		if !b.Running() {
			continue
		}
		var l left
		if err := b.scrape(ctx, func(r io.Reader) (err error) {
			l, err = parseLeft(r)
			return err
		}); err != nil {
			return err
		}
		f(b, l)
	}
	return nil
}

// Topics is how many topics the cluster has.
func (c *Cluster) Topics(ctx context.Context) (int, error) {
	most := 0
	err := c.left(ctx, func(_ *Broker, l left) { most = max(most, int(l.topics)) })
	return most, err
}

// Settled waits until each running broker knows of so many topics and no deleted replica is left on any. It gives up after two
// minutes, or with ctx, and says who is not done.
func (c *Cluster) Settled(ctx context.Context, topics int) error {
	return c.await(ctx, "the deletion of topics", func(b *Broker, l left) error {
		if int(l.topics) != topics || l.tombstones > 0 || l.deleting > 0 {
			return fmt.Errorf("broker %d deletes %.0f replicas still, and knows of %.0f topics, not %d, and of %.0f deleted replicas in the cluster that nobody reported as gone",
				b.Number, l.deleting, l.topics, topics, l.tombstones)
		}
		return nil
	})
}

// Opened waits until each broker runs so many replicas. A partition is led as soon as two of three are open. It gives up as Settled
// does.
func (c *Cluster) Opened(ctx context.Context, replicas int) error {
	return c.await(ctx, "the opening of replicas", func(b *Broker, l left) error {
		if int(l.running) != replicas {
			return fmt.Errorf("broker %d runs %.0f replicas of %d", b.Number, l.running, replicas)
		}
		return nil
	})
}

// await asks all brokers until none is busy.
func (c *Cluster) await(ctx context.Context, what string, busy func(*Broker, left) error) error {
	ctx, cancel := context.WithTimeout(ctx, settledWithin)
	defer cancel()
	tick := time.NewTicker(settledEvery)
	defer tick.Stop()
	var why error // of the last time that all were asked
	for {
		var now error
		err := c.left(ctx, func(b *Broker, l left) { now = errors.Join(now, busy(b, l)) })
		switch {
		case err == nil && now == nil:
			return nil
		case err == nil:
			why = now
		case ctx.Err() == nil:
			return err
		case why == nil:
			why = err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%s has not ended: %w: %w", what, ctx.Err(), why)
		}
	}
}
