package load

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// measuring is the phase of the load itself.
const measuring = "measuring"

// progressEvery is how often a run reports.
const progressEvery = time.Second

// run is one run under way. Its fields are set before its goroutines start, but for phase.
type run struct {
	cfg        Config
	cluster    Cluster
	topic      string
	partitions int32
	replicas   int32
	began      time.Time
	ring       []byte
	win        window
	meters     []*meter
	phase      atomic.Pointer[phase]
	// waiters makes what the pacers wait with; tests put the runtime's timers here.
	waiters func(context.Context) (waiter, error)
	// interrupted tells result that the window was cut short.
	interrupted bool
}

// phase is what the run does now, and the meters that tell how fast.
type phase struct {
	name   string
	meters []*meter
	from   time.Time // when measuring begins, after the warm-up
}

// ErrInterrupted is the cause of a run that its context ended. The Result up to then is good.
var ErrInterrupted = errors.New("interrupted: the figures are of the part that ran")

// Run carries out c on the cluster and answers its figures. report, if not nil, is called once a second from one
// goroutine. When ctx ends, Run stops the load, removes its topic and answers what it has with ErrInterrupted.
// Records that fail do not make Run fail: they are counted in the Result.
func Run(ctx context.Context, cluster Cluster, c Config, report func(Snapshot)) (Result, error) {
	return carryOut(ctx, cluster, c, report, newWaiter)
}

func carryOut(ctx context.Context, cluster Cluster, c Config, report func(Snapshot), waiters func(context.Context) (waiter, error)) (res Result, err error) {
	c, err = c.withDefaults()
	if err != nil {
		return Result{}, err
	}
	r := &run{cfg: c, cluster: cluster, topic: c.Topic, began: time.Now(), ring: newRing(c.RecordSize), waiters: waiters}
	r.enter("creating topic")
	stop := r.reportEvery(report)
	defer stop()

	if err := r.openTopic(ctx); err != nil {
		return Result{}, err
	}
	if c.Topic == "" {
		defer func() {
			r.enter("removing topic")
			if rmErr := r.removeTopic(ctx); rmErr != nil {
				err = errors.Join(err, rmErr)
			}
		}()
	}
	switch c.Mode {
	case Produce, Latency:
		err = r.produceOnly(ctx)
	case Consume:
		err = r.consume(ctx)
	case EndToEnd:
		err = r.endToEnd(ctx)
	}
	r.interrupted = ctx.Err() != nil
	res = r.result()
	if err == nil && r.interrupted {
		err = ErrInterrupted
	}
	return res, err
}

// openTopic makes the run's topic, or looks the given one up.
func (r *run) openTopic(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, r.cfg.Timeout)
	defer cancel()
	if r.cfg.Topic != "" {
		start, _, err := r.cluster.Offsets(ctx, r.cfg.Topic)
		if err != nil {
			return fmt.Errorf("looking up topic %s: %w", r.cfg.Topic, err)
		}
		r.partitions = int32(len(start))
		if r.replicas, err = r.cluster.Replicas(ctx, r.cfg.Topic); err != nil {
			return fmt.Errorf("looking up topic %s: %w", r.cfg.Topic, err)
		}
		return nil
	}
	var suffix [4]byte
	_, _ = rand.Read(suffix[:]) // crypto/rand.Read never fails
	r.topic = fmt.Sprintf("bench-%s-%s", r.cfg.Mode, hex.EncodeToString(suffix[:]))
	r.partitions = r.cfg.Partitions
	replicas, err := r.cluster.CreateTopic(ctx, r.topic, r.cfg.Partitions, r.cfg.ReplicationFactor, r.cfg.TopicConfig)
	if err != nil {
		return fmt.Errorf("creating topic %s: %w", r.topic, err)
	}
	r.replicas = replicas
	return nil
}

// removeTopic works after an interrupt, too: the topic would stay for ever.
func (r *run) removeTopic(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.cfg.Timeout)
	defer cancel()
	if err := r.cluster.DeleteTopic(ctx, r.topic); err != nil {
		return fmt.Errorf("removing topic %s (do it with: brokerctl topic delete %s --yes): %w", r.topic, r.topic, err)
	}
	return nil
}

// openWindow sets the measured window to begin after the warm-up from now. bySent: see window.
func (r *run) openWindow(bySent bool) {
	r.win = window{from: time.Now().Add(r.cfg.WarmUp), bySent: bySent}
	if r.cfg.Duration > 0 {
		r.win.to = r.win.from.Add(r.cfg.Duration)
	}
}

func (r *run) enter(name string, meters ...*meter) {
	r.phase.Store(&phase{name: name, meters: meters, from: r.win.from})
}

// reportEvery starts the progress reports; the answer ends them and waits.
func (r *run) reportEvery(report func(Snapshot)) (stop func()) {
	if report == nil {
		return func() {}
	}
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(progressEvery)
		defer tick.Stop()
		var last totals
		var lastPhase *phase
		lastAt := r.began
		for {
			select {
			case <-quit:
				return
			case <-tick.C:
			}
			p, now := r.phase.Load(), time.Now()
			if p != lastPhase {
				last, lastPhase = totals{}, p
			}
			t := sum(p.meters)
			seconds := now.Sub(lastAt).Seconds()
			name := p.name
			if name == measuring && now.Before(p.from) {
				name = "warming up"
			}
			report(Snapshot{
				Phase: name, Elapsed: now.Sub(r.began), Errors: t.errors,
				RecordsPerSecond: float64(t.allRecords-last.allRecords) / seconds,
				MBPerSecond:      float64(t.allBytes-last.allBytes) / seconds / 1e6,
				P99:              time.Duration(t.percentileUS(99)) * time.Microsecond,
			})
			last, lastAt = t, now
		}
	}()
	return func() { close(quit); <-done }
}
