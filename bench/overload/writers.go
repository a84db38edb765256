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

// load of producers: what was due, what clients took, what was acknowledged, and how long they waited for room in their buffers, of how long in all.
type flooded struct{ due, taken, acked, waited, all atomic.Int64 }

// producers sends records on schedule, whether or not those before were acknowledged, as far as the clients' buffers go: beyond that a
// client waits, and what it owes is counted as not taken. The schedule is at least times what was acknowledged, whatever the brokers could
// do when their capacity was measured.
func producers(ctx context.Context, o loadOptions, t *tally) error {
	var wg sync.WaitGroup
	var f flooded
	for i := range o.n {
		cl, err := client.New(o.seeds, client.WithBufferBytes(8<<20), client.WithDeliveryTimeout(30*time.Second))
		if err != nil {
			return err
		}
		s := t.sends(floodTopic, o.run, i)
		wg.Go(func() {
			defer cl.Close()
			flood(ctx, cl, o.rate/float64(o.n), s, t, &f)
		})
	}
	ready()
	wg.Wait()
	t.count("due", f.due.Load())
	t.count("taken by clients", f.taken.Load())
	t.count("acknowledged", f.acked.Load())
	t.count("ms waited for room", f.waited.Load()/1e6)
	t.count("ms in all", f.all.Load()/1e6)
	return nil
}

func flood(ctx context.Context, cl *client.Client, rate float64, s *sent, t *tally, f *flooded) {
	value := make([]byte, floodRecord)
	all, cancel := context.WithTimeout(context.WithoutCancel(ctx), 24*time.Hour)
	defer cancel()
	began := time.Now()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for done := int64(0); ; {
		owed := max(int64(rate*time.Since(began).Seconds()), times*s.count())
		select {
		case <-ctx.Done():
			f.all.Add(int64(time.Since(began)))
			end, stop := context.WithTimeout(all, answeredWithin)
			defer stop()
			if err := cl.Flush(end); err != nil {
				t.failed(all, "a producer's last records", err)
			}
			f.due.Add(max(owed, times*s.count()))
			return
		case <-tick.C:
		}
		for ; done < owed && ctx.Err() == nil; done++ {
			n := int64(s.Producer) + done
			asked := time.Now()
			// A full buffer makes it wait, and the end of the load must end that; the record then was not taken.
			cl.Produce(ctx, &client.Record{Topic: floodTopic, Partition: s.partition(n), Key: s.key(n), Value: value}, func(r *client.Record, err error) {
				if err != nil {
					s.failed(n, err)
					t.failed(all, "a producer beyond capacity", err)
					return
				}
				s.took(n, r.Offset)
				f.acked.Add(1)
			})
			f.waited.Add(int64(time.Since(asked)))
			f.taken.Add(1)
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
		s := t.sends(largestTopic, o.run, i)
		wg.Go(func() {
			defer cl.Close()
			for n := int64(i); ctx.Err() == nil; n++ {
				// The last one is answered too: what is acknowledged has to be there. The client's own time-out ends the wait.
				rec := &client.Record{Topic: largestTopic, Partition: s.partition(n), Key: s.key(n), Value: value}
				if err := cl.ProduceSync(context.WithoutCancel(ctx), rec); err != nil {
					s.failed(n, err)
					t.failed(context.WithoutCancel(ctx), "a request of the largest size", err)
					continue
				}
				s.took(n, rec.Offset)
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

// one makes a topic and deletes it, also if nobody heard whether it was made: nothing may be left. Only what was answered counts as made or as
// deleted. A topic that is not there was never made, or a deletion was done that nobody heard of.
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
		switch {
		case err == nil:
			t.count("deleted", 1)
			return
		case runnelv1.AsError(err).GetReason() == runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_TOPIC:
			t.count("not there", 1)
			return
		}
		t.failed(all, "deleting a topic", err)
	}
}
