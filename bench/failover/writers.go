package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/runnel-io/runnel/rpc/client"
)

// writers keep one record in flight on each partition.
type writers struct {
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu   sync.Mutex
	last []time.Time // per partition: when the newest acknowledged record was sent
	at   []time.Time // and when it was acknowledged
	err  error
	ch   chan struct{} // closed at each acknowledgement
}

func startWriters(ctx context.Context, cl *client.Client, partitions int32) *writers {
	ctx, cancel := context.WithCancel(ctx)
	w := &writers{cancel: cancel, last: make([]time.Time, partitions), at: make([]time.Time, partitions), ch: make(chan struct{})}
	for p := range partitions {
		w.wg.Go(func() {
			value := make([]byte, 100)
			for ctx.Err() == nil {
				sent := time.Now()
				err := cl.ProduceSync(ctx, &client.Record{Topic: topic, Partition: p, Value: value})
				w.acked(p, sent, err)
				if err != nil {
					return
				}
			}
		})
	}
	return w
}

func (w *writers) acked(p int32, sent time.Time, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil {
		if w.err == nil {
			w.err = fmt.Errorf("partition %d: %w", p, err)
		}
	} else if w.last[p].Before(sent) {
		w.last[p], w.at[p] = sent, time.Now()
	}
	close(w.ch)
	w.ch = make(chan struct{})
}

func (w *writers) stop() {
	w.cancel()
	w.wg.Wait()
}

// firstAcks waits until each partition has acknowledged a record sent after t, and answers the slowest. Writers wait for their
// acknowledgement, so the record in flight at t counts as sent then: its wait is the outage.
func (w *writers) firstAcks(ctx context.Context, t time.Time, partitions []int32) (time.Duration, error) {
	slowest := time.Duration(0)
	left := map[int32]bool{}
	for _, p := range partitions {
		left[p] = true
	}
	for {
		w.mu.Lock()
		ch, err := w.ch, w.err
		for p := range left {
			if w.at[p].After(t) && w.last[p].After(t) {
				slowest = max(slowest, w.at[p].Sub(t))
				delete(left, p)
			}
		}
		w.mu.Unlock()
		if err != nil {
			return 0, err
		}
		if len(left) == 0 {
			return slowest, nil
		}
		select {
		case <-ch:
		case <-ctx.Done():
			return 0, fmt.Errorf("%d partitions acknowledged nothing: %w", len(left), ctx.Err())
		}
	}
}

// allAcked waits until every partition has acknowledged a record sent after t.
func (w *writers) allAcked(ctx context.Context, t time.Time) error {
	all := make([]int32, len(w.last))
	for i := range all {
		all[i] = int32(i)
	}
	_, err := w.firstAcks(ctx, t, all)
	return err
}
