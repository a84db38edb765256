package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/runnel-io/runnel/bench/peers/system"
)

const (
	failoverPartitions = 12
	failoverLimit      = time.Minute
)

// measureFailover kills the server that leads most partitions while a record at a time is produced to each, and answers
// the time from the signal to the first acknowledgement of a record sent after it, on the slowest of the partitions that
// the server led. The server stays dead.
func measureFailover(ctx context.Context, name string, servers system.Servers, option string) (m measurement) {
	ctx, cancel := context.WithTimeout(ctx, failoverLimit)
	defer cancel()
	m.Option = option
	took, err := killLeader(ctx, name, servers, option)
	if err != nil {
		m.Failed = err.Error()
	}
	m.OutageMS = float64(took.Microseconds()) / 1000
	return m
}

func killLeader(ctx context.Context, name string, servers system.Servers, option string) (took time.Duration, err error) {
	c, err := connect(name, servers.Addresses(), option)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	topic := newTopic()
	if err := create(ctx, c, topic, failoverPartitions); err != nil {
		return 0, err
	}
	w := startWriters(ctx, c, topic)
	defer w.stop()
	all := make([]int, failoverPartitions)
	for p := range all {
		all[p] = p
	}
	if _, err := w.firstAcks(ctx, time.Now(), all); err != nil {
		return 0, err
	}
	leaders, err := c.Leaders(ctx, topic)
	if err != nil {
		return 0, err
	}
	victim, led := mostLed(leaders)
	killed := time.Now()
	if err := servers.Kill(victim); err != nil {
		return 0, err
	}
	return w.firstAcks(ctx, killed, led)
}

// mostLed finds the server that leads most partitions, the first of equals, and which.
func mostLed(leaders []string) (victim string, led []int) {
	by := map[string][]int{}
	for p, l := range leaders {
		by[l] = append(by[l], p)
	}
	for _, l := range leaders {
		if len(by[l]) > len(by[victim]) {
			victim = l
		}
	}
	return victim, by[victim]
}

// writers keep one record in flight on each partition.
type writers struct {
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu   sync.Mutex
	sent []time.Time // per partition: when the newest acknowledged record was sent
	at   []time.Time // and when it was acknowledged
	err  error
	ch   chan struct{} // closed at each acknowledgement
}

func startWriters(ctx context.Context, c system.Client, topic string) *writers {
	ctx, cancel := context.WithCancel(ctx)
	w := &writers{cancel: cancel, sent: make([]time.Time, failoverPartitions), at: make([]time.Time, failoverPartitions), ch: make(chan struct{})}
	for p := range failoverPartitions {
		w.wg.Go(func() {
			value := make([]byte, 100)
			for ctx.Err() == nil {
				sent := time.Now()
				err := c.One(ctx, topic, int32(p), value)
				w.acked(p, sent, err)
				if err != nil {
					return
				}
			}
		})
	}
	return w
}

func (w *writers) acked(p int, sent time.Time, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err == nil {
		w.sent[p], w.at[p] = sent, time.Now()
	} else if w.err == nil {
		w.err = fmt.Errorf("partition %d: %w", p, err)
	}
	close(w.ch)
	w.ch = make(chan struct{})
}

// firstAcks waits until each partition has acknowledged a record sent after t, and answers the slowest.
func (w *writers) firstAcks(ctx context.Context, t time.Time, partitions []int) (slowest time.Duration, err error) {
	left := map[int]bool{}
	for _, p := range partitions {
		left[p] = true
	}
	for {
		w.mu.Lock()
		ch, err := w.ch, w.err
		for p := range left {
			if w.sent[p].After(t) {
				slowest = max(slowest, w.at[p].Sub(t))
				delete(left, p)
			}
		}
		w.mu.Unlock()
		switch {
		case err != nil:
			return 0, err
		case len(left) == 0:
			return slowest, nil
		}
		select {
		case <-ch:
		case <-ctx.Done():
			return 0, fmt.Errorf("%d partitions acknowledged nothing: %w", len(left), ctx.Err())
		}
	}
}

func (w *writers) stop() {
	w.cancel()
	w.wg.Wait()
}
