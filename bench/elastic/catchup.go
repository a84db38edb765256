package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/runnel-io/runnel/bench/proc"
	"github.com/runnel-io/runnel/bench/source"
	"github.com/runnel-io/runnel/bench/stream"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
	"github.com/runnel-io/runnel/rpc/client"
)

const (
	ballast     = "ballast"
	ballastSize = 64 << 10
)

// impact measures the waits of single records while nothing else happens, and while a partition of o.catchup MiB gets a new replica.
func impact(ctx context.Context, o options, dir, brokerd string, files []*source.File) error {
	po := proc.Options{Dir: dir, Brokers: 4, Brokerd: brokerd, Args: []string{"--placement-automatic=false"}}
	so := stream.Options{Topic: topic, Partitions: 12, Files: files, Rate: o.rate, Every: 20 * time.Millisecond}
	return start(ctx, o, po, so, func(r *run) error {
		if err := r.loadBallast(ctx); err != nil {
			return err
		}
		fmt.Printf("\n%-38s %9s %12s %9s %7s %7s %8s %10s\n", "one record at a time on 12 partitions", "s", "moved MiB", "records", "p50 ms", "p99 ms", "p99.9 ms", "longest ms")
		nothing := func(ctx context.Context) error { return proc.Wait(ctx, 10*time.Second) }
		if err := r.measure(ctx, "nothing else, at first", nothing); err != nil {
			return err
		}
		if err := r.measure(ctx, fmt.Sprintf("%d MiB shipped to a new replica", o.catchup), r.moveBallast); err != nil {
			return err
		}
		if err := r.measure(ctx, "nothing else, again", nothing); err != nil {
			return err
		}
		v, err := r.stream.Stop(ctx)
		if err != nil {
			return err
		}
		fmt.Printf("%d records read, lost %d, duplicated %d\n", v.Records, v.Lost, v.Duplicated)
		return v.Err()
	})
}

func (r *run) measure(ctx context.Context, name string, while func(context.Context) error) error {
	before, err := r.received(ctx)
	if err != nil {
		return err
	}
	r.stream.Waits()
	began := time.Now()
	if err := while(ctx); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	took, w := time.Since(began), r.stream.Waits()
	after, err := r.received(ctx)
	if err != nil {
		return err
	}
	fmt.Printf("%-38s %9.1f %12.1f %9d %7.1f %7.1f %8.1f %10d\n", name, took.Seconds(), moved(before, after)/(1<<20), w.Probes,
		ms(w.P50), ms(w.P99), ms(w.P999), w.Longest.Milliseconds())
	return r.stream.Err()
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// loadBallast makes a partition that is large.
func (r *run) loadBallast(ctx context.Context) error {
	if _, err := r.cl.Admin().CreateTopic(ctx, &runnelv1.CreateTopicRequest{Name: ballast, Partitions: 1, ReplicationFactor: 3}); err != nil {
		return err
	}
	value := make([]byte, ballastSize)
	if _, err := rand.Read(value); err != nil {
		return err
	}
	began := time.Now()
	var failed atomic.Pointer[error]
	for n := r.o.catchup << 20; n > 0 && failed.Load() == nil; n -= ballastSize {
		r.cl.Produce(ctx, &client.Record{Topic: ballast, Partition: 0, Value: value}, func(_ *client.Record, err error) {
			if err != nil {
				failed.CompareAndSwap(nil, &err)
			}
		})
	}
	if err := r.cl.Flush(ctx); err != nil {
		return err
	}
	if err := failed.Load(); err != nil {
		return *err
	}
	fmt.Printf("\nfour brokers; a partition of %d MiB made in %.1f s\n", r.o.catchup, time.Since(began).Seconds())
	return nil
}

// moveBallast moves one of its replicas to the broker that has none, and waits until it is there.
func (r *run) moveBallast(ctx context.Context) error {
	d, err := r.cl.Admin().DescribeTopic(ctx, &runnelv1.DescribeTopicRequest{Name: ballast})
	if err != nil {
		return err
	}
	list, err := r.cl.Admin().ListBrokers(ctx, &runnelv1.ListBrokersRequest{})
	if err != nil {
		return err
	}
	to := slices.Clone(d.GetPartitions()[0].GetReplicas())
	for _, b := range list.GetBrokers() {
		if !slices.Contains(to, b.GetId()) {
			to[len(to)-1] = b.GetId() // the last is not the preferred leader
			break
		}
	}
	if _, err := r.cl.Admin().MovePartition(ctx, &runnelv1.MovePartitionRequest{Topic: ballast, Brokers: to, Reason: "measured"}); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, r.o.patience)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	var why error
	for {
		m, err := r.cl.Admin().ListMoves(ctx, &runnelv1.ListMovesRequest{})
		switch {
		case err != nil:
			why = err
		case len(m.GetMoves()) == 0:
			return r.arrived(ctx, to)
		default:
			why = fmt.Errorf("phase %s: %s", m.GetMoves()[0].GetPhase(), m.GetMoves()[0].GetWaiting())
		}
		select {
		case <-tick.C:
		case <-r.stream.Failed():
			return r.stream.Err()
		case <-ctx.Done():
			return fmt.Errorf("the move is not finished: %w", why)
		}
	}
}

func (r *run) arrived(ctx context.Context, want []int32) error {
	d, err := r.cl.Admin().DescribeTopic(ctx, &runnelv1.DescribeTopicRequest{Name: ballast})
	if err != nil {
		return err
	}
	if got := d.GetPartitions()[0].GetReplicas(); !slices.Equal(got, want) {
		return fmt.Errorf("the replicas are on brokers %v, not %v", got, want)
	}
	return nil
}
