// Command restart measures how long brokers need to serve again after kill -9 with much data: a topic of one partition and
// three replicas is filled (1 GiB by default), then one broker, and then all three at once, are killed and started again.
// Serving means: the process answers, and a record sent after the start is acknowledged and read back.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/runnel-io/runnel/bench/proc"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
	"github.com/runnel-io/runnel/rpc/client"
)

const topic = "restart"

func main() {
	mib := flag.Int("mib", 1024, "MiB in the partition")
	record := flag.Int("record-size", 16<<10, "bytes a record")
	tries := flag.Int("tries", 3, "how often each kind of restart is tried")
	proc.Main("restart", 10*time.Minute, func(ctx context.Context, dir string) error { return restart(ctx, dir, *mib, *record, *tries) })
}

func restart(ctx context.Context, dir string, mib, record, tries int) (err error) {
	cluster, err := proc.Start(ctx, proc.Options{Dir: dir, Brokers: 3})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cluster.KillAll()) }()
	n, err := fill(ctx, cluster, mib, record)
	if err != nil {
		return err
	}
	fmt.Printf("%d records of %d bytes in one partition, three replicas\n", n, record)
	slowest := time.Duration(0)
	for try := 1; try <= tries; try++ {
		one := cluster.Brokers[try%3]
		if err := one.Kill(); err != nil {
			return err
		}
		began := time.Now()
		if err := one.Start(); err != nil {
			return err
		}
		if err := one.Ready(ctx); err != nil {
			return err
		}
		took := time.Since(began)
		slowest = max(slowest, took)
		fmt.Printf("try %d: one broker ready %d ms after its start\n", try, took.Milliseconds())

		if err := cluster.KillAll(); err != nil {
			return err
		}
		began = time.Now()
		for _, b := range cluster.Brokers {
			if err := b.Start(); err != nil {
				return err
			}
		}
		n++
		if err := roundTrip(ctx, cluster, n); err != nil {
			return err
		}
		took = time.Since(began)
		slowest = max(slowest, took)
		fmt.Printf("try %d: all three killed at once, a new record acknowledged and read back %d ms after their start\n", try, took.Milliseconds())
	}
	fmt.Printf("slowest: %d ms\n", slowest.Milliseconds())
	return nil
}

func fill(ctx context.Context, cluster *proc.Cluster, mib, record int) (int64, error) {
	cl, err := client.New(cluster.Seeds())
	if err != nil {
		return 0, err
	}
	defer cl.Close()
	if _, err := cl.Admin().CreateTopic(ctx, &runnelv1.CreateTopicRequest{Name: topic, Partitions: 1, ReplicationFactor: 3}); err != nil {
		return 0, err
	}
	noise := make([]byte, 1<<20+record)
	for i := range noise {
		noise[i] = byte(rand.Uint32())
	}
	var acked atomic.Int64
	var failed atomic.Pointer[error]
	n := int64(mib) << 20 / int64(record)
	for i := range n {
		at := int(i*977) % (1 << 20)
		cl.Produce(ctx, &client.Record{Topic: topic, Partition: 0, Value: noise[at : at+record]}, func(_ *client.Record, err error) {
			if err != nil {
				failed.CompareAndSwap(nil, &err)
				return
			}
			acked.Add(1)
		})
	}
	if err := cl.Flush(ctx); err != nil {
		return 0, err
	}
	if e := failed.Load(); e != nil {
		return 0, *e
	}
	return acked.Load(), nil
}

// roundTrip produces a record with a new client and reads it back; the topic then has n records.
func roundTrip(ctx context.Context, cluster *proc.Cluster, n int64) error {
	cl, err := client.New(cluster.Seeds())
	if err != nil {
		return err
	}
	defer cl.Close()
	rec := &client.Record{Topic: topic, Partition: 0, Value: []byte("still here")}
	if err := cl.ProduceSync(ctx, rec); err != nil {
		return err
	}
	if rec.Offset != n-1 {
		return fmt.Errorf("the record got offset %d, the partition had %d records: something is lost or doubled", rec.Offset, n-1)
	}
	r, err := cl.NewReader(topic, client.FromOffset(rec.Offset), client.ToEnd())
	if err != nil {
		return err
	}
	defer r.Close()
	for got, err := range r.Records(ctx) {
		if err != nil {
			return err
		}
		if string(got.Value) != "still here" {
			return fmt.Errorf("offset %d holds %q", got.Offset, got.Value)
		}
		return nil
	}
	return errors.New("the record was not read back")
}
