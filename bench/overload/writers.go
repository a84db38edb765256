package main

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
	"github.com/runnel-io/runnel/rpc/client"
)

const (
	floodTopic      = "flood"
	floodPartitions = 6
	floodRecord     = 1 << 10

	largestTopic      = "largest"
	largestPartitions = 3
	largestBatch      = 15 << 20 // the most that a topic may allow
	largestRecord     = largestBatch - 1<<10

	// answeredWithin bounds the wait for answers when a load ends.
	answeredWithin = 40 * time.Second
)

// producers sends records on schedule, whether or not those before were acknowledged, as far as the clients' buffers go: beyond that a
// client waits, and what it owes is counted as not taken.
func producers(ctx context.Context, o loadOptions, t *tally) error {
	var wg sync.WaitGroup
	var acked, taken atomic.Int64
	began := time.Now()
	for i := range o.n {
		cl, err := client.New(o.seeds, client.WithBufferBytes(8<<20), client.WithDeliveryTimeout(30*time.Second))
		if err != nil {
			return err
		}
		wg.Go(func() {
			defer cl.Close()
			flood(ctx, cl, o.rate/float64(o.n), i, t, &acked, &taken)
		})
	}
	ready()
	wg.Wait()
	owed := int64(o.rate * time.Since(began).Seconds())
	t.count("due", owed)
	t.count("taken by clients", taken.Load())
	t.count("acknowledged", acked.Load())
	return nil
}

func flood(ctx context.Context, cl *client.Client, rate float64, i int, t *tally, acked, taken *atomic.Int64) {
	value := make([]byte, floodRecord)
	all, cancel := context.WithTimeout(context.WithoutCancel(ctx), 24*time.Hour)
	defer cancel()
	began := time.Now()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for sent := int64(0); ; {
		select {
		case <-ctx.Done():
			end, stop := context.WithTimeout(all, answeredWithin)
			defer stop()
			if err := cl.Flush(end); err != nil {
				t.failed(all, "a producer's last records", err)
			}
			return
		case <-tick.C:
		}
		for due := int64(rate * time.Since(began).Seconds()); sent < due && ctx.Err() == nil; sent++ {
			// A full buffer makes it wait, and the end of the load must end that; the record then was not taken.
			cl.Produce(ctx, &client.Record{Topic: floodTopic, Partition: int32((sent + int64(i)) % floodPartitions), Value: value}, func(_ *client.Record, err error) {
				if err != nil {
					t.failed(all, "a producer beyond capacity", err)
					return
				}
				acked.Add(1)
			})
			taken.Add(1)
		}
	}
}

// largest keeps requests of the largest size under way, one for each client.
func largest(ctx context.Context, o loadOptions, t *tally) error {
	var wg sync.WaitGroup
	for i := range o.n {
		cl, err := client.New(o.seeds, client.WithBatchBytes(16<<20), client.WithBufferBytes(32<<20), client.WithLinger(0), client.WithDeliveryTimeout(2*time.Minute))
		if err != nil {
			return err
		}
		value := make([]byte, largestRecord)
		wg.Go(func() {
			defer cl.Close()
			for n := i; ctx.Err() == nil; n++ {
				// The last one is answered too: what is acknowledged has to be there.
				end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Minute)
				err := cl.ProduceSync(end, &client.Record{Topic: largestTopic, Partition: int32(n % largestPartitions), Value: value})
				cancel()
				if err != nil {
					t.failed(context.WithoutCancel(ctx), "a request of the largest size", err)
					continue
				}
				t.count("acknowledged", 1)
			}
		})
	}
	ready()
	wg.Wait()
	return nil
}

// churn makes topics and deletes them.
func churn(ctx context.Context, o loadOptions, t *tally) error {
	cl, err := client.New(o.seeds)
	if err != nil {
		return err
	}
	defer cl.Close()
	var wg sync.WaitGroup
	var number atomic.Int64
	for range o.n {
		wg.Go(func() {
			for ctx.Err() == nil {
				one(ctx, cl, fmt.Sprintf("churn-%d", number.Add(1)), t)
			}
		})
	}
	ready()
	wg.Wait()
	return nil
}

// one makes a topic and deletes it, also if nobody heard whether it was made: nothing may be left.
func one(ctx context.Context, cl *client.Client, name string, t *tally) {
	all, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	if _, err := cl.Admin().CreateTopic(all, &runnelv1.CreateTopicRequest{Name: name, Partitions: 1, ReplicationFactor: 3}); err != nil {
		t.failed(all, "making a topic", err)
	} else {
		t.count("made", 1)
	}
	for all.Err() == nil {
		_, err := cl.Admin().DeleteTopic(all, &runnelv1.DeleteTopicRequest{Name: name})
		reason := runnelv1.AsError(err).GetReason()
		if err == nil || reason == runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_TOPIC {
			t.count("deleted", 1)
			return
		}
		t.failed(all, "deleting a topic", err)
	}
}
