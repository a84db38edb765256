package broker

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// What the three answers of the HTTP address mean.
//
// /healthz is 200 as long as the process can go on, and 503 once it cannot: meta.db failed, the client port ended, the broker was removed from
// its cluster, or whatever else Broker.fail was called for. The broker stops by itself then, so whoever restarts it for a 503 only does so sooner. All
// that a restart does not mend is healthy: a quarantined replica, a full disk, no quorum, another broker's death.
//
// /readyz is 200 once the broker is a member and its replicas have caught up with what they know as committed, and 503 with what it waits for
// before that. It stays 200 whatever happens to other brokers (rule 28), until the broker stops.
//
// /readyz?replicated is as /readyz, and 503 until, once since this start, every partition with a replica here had a leader and all its
// replicas in sync. So a rolling update that waits for it takes the next broker only when nothing depends on this one alone any more. It
// stays 200 after that: the death of one broker must not make those unready that share partitions with it.

// Ready answers nil once the broker is a member and its replicas have caught up after the start, and for ever after
// (rule 28): later trouble of others must not take it out of service.
func (b *Broker) Ready() error {
	if b.ready.Load() {
		return nil
	}
	if why := b.phase.Load(); why != nil {
		return errors.New(*why)
	}
	c := b.core.Load()
	if c == nil {
		return errors.New("starting")
	}
	if why := forming(c.ctl.State(), len(b.cfg.Seeds)); why != "" {
		return errors.New(why)
	}
	if ok, why := c.agent.CaughtUp(); !ok {
		return errors.New(why)
	}
	b.ready.Store(true)
	return nil
}

func (b *Broker) healthy() error {
	if err := b.failed.Load(); err != nil {
		return *err
	}
	return nil
}

// lookEvery is how old an answer of Replicated may be: a look asks other brokers, and whoever probes may probe often.
const lookEvery = time.Second

// replicated is what Replicated keeps.
type replicated struct {
	once atomic.Bool // it was so since the start

	mu   sync.Mutex // held while others are asked
	at   time.Time
	last error
}

// Replicated answers nil once the broker is ready and, at some time since its start, no partition with a replica here lacked a leader or a
// replica. Else it answers what is awaited.
func (b *Broker) Replicated(ctx context.Context) error {
	if err := b.Ready(); err != nil {
		return err
	}
	r := &b.replicated
	if r.once.Load() {
		return nil
	}
	if !r.mu.TryLock() {
		return errors.New("the other brokers are being asked for their replicas")
	}
	defer r.mu.Unlock()
	if r.last != nil && b.env.Now().Sub(r.at) < lookEvery {
		return r.last
	}
	a := b.services.rpcAdmin.Load()
	if a == nil {
		return errors.New("starting")
	}
	n, example := a.Lacking(ctx)
	r.at, r.last = b.env.Now(), nil
	if n > 0 {
		r.last = fmt.Errorf("%d partitions with a replica here lack a replica or a leader, such as %s", n, example)
		return r.last
	}
	r.once.Store(true)
	return nil
}
