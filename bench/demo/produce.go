package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/schollz/progressbar/v3"

	"github.com/runnel-io/runnel/bench/proc"
	"github.com/runnel-io/runnel/bench/source"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
	"github.com/runnel-io/runnel/rpc/client"
)

const topic = "go-source"

// newBar shows records and records/s on a terminal, and nothing elsewhere.
func newBar(total int64, what string) *progressbar.ProgressBar {
	info, err := os.Stderr.Stat()
	visible := err == nil && info.Mode()&os.ModeCharDevice != 0
	return progressbar.NewOptions64(total, progressbar.OptionSetDescription(what), progressbar.OptionSetWriter(os.Stderr),
		progressbar.OptionSetVisibility(visible), progressbar.OptionShowIts(), progressbar.OptionSetItsString("records"),
		progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish(), progressbar.OptionShowCount())
}

// outage notes, per partition led by the killed broker, the first acknowledgement of a record that was sent after the kill.
type outage struct {
	mu      sync.Mutex
	killed  time.Time
	waiting map[int32]bool
	last    time.Duration
}

func (o *outage) start(led map[int32]bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.killed, o.waiting = time.Now(), led
}

func (o *outage) acked(partition int32, sent time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.killed.IsZero() || sent.Before(o.killed) || !o.waiting[partition] {
		return
	}
	delete(o.waiting, partition)
	o.last = time.Since(o.killed)
}

// produceAll creates the topic, sends every file and kills the leader of most partitions when half of the files are
// sent; the broker comes back after four fifths. It answers the number of records acknowledged, which is all of them.
func produceAll(ctx context.Context, o options, cluster *proc.Cluster, files []*source.File) (int64, error) {
	cl, err := client.New(cluster.Seeds())
	if err != nil {
		return 0, err
	}
	defer cl.Close()
	created := time.Now()
	if _, err := cl.Admin().CreateTopic(ctx, &runnelv1.CreateTopicRequest{
		Name: topic, Partitions: int32(o.partitions), ReplicationFactor: 3,
	}); err != nil {
		return 0, err
	}
	fmt.Printf("topic %s: %d partitions x 3 replicas in %d ms\n", topic, o.partitions, time.Since(created).Milliseconds())

	var sent, acked, failed atomic.Int64
	var firstErr atomic.Pointer[error]
	var out outage
	bar := newBar(-1, "produce")
	produce := func(key, value []byte) {
		at := time.Now()
		sent.Add(1)
		cl.Produce(ctx, &client.Record{Topic: topic, Partition: -1, Key: key, Value: value}, func(r *client.Record, err error) {
			if err != nil {
				failed.Add(1)
				firstErr.CompareAndSwap(nil, &err)
				return
			}
			acked.Add(1)
			out.acked(r.Partition, at)
		})
	}
	began := time.Now()
	var victim *proc.Broker
	for i, s := range files {
		switch i {
		case len(files) / 2:
			if victim, err = killLeader(ctx, cl, cluster, &out); err != nil {
				return 0, err
			}
		case len(files) * 4 / 5:
			if err := victim.Start(); err != nil {
				return 0, err
			}
			fmt.Printf("broker %d started again\n", victim.Number)
		}
		if err := source.Records(o.root, uint32(i), s, produce); err != nil {
			return 0, err
		}
		if err := bar.Set64(acked.Load()); err != nil {
			return 0, err
		}
		if e := firstErr.Load(); e != nil {
			return 0, fmt.Errorf("a record was not acknowledged: %w", *e)
		}
	}
	if err := cl.Flush(ctx); err != nil {
		return 0, err
	}
	took := time.Since(began)
	if err := bar.Finish(); err != nil {
		return 0, err
	}
	if e := firstErr.Load(); e != nil || acked.Load() != sent.Load() {
		return 0, fmt.Errorf("%d of %d records acknowledged, %d failed", acked.Load(), sent.Load(), failed.Load())
	}
	out.mu.Lock()
	defer out.mu.Unlock()
	if len(out.waiting) != 0 {
		return 0, errors.New("a partition of the killed broker acknowledged nothing that was sent after the kill")
	}
	fmt.Printf("leader change: %d ms from SIGKILL to the next acknowledged record, on the slowest partition\n", out.last.Milliseconds())
	fmt.Printf("produced %d records in %.1f s, %.0f records/s acknowledged on a majority\n", acked.Load(), took.Seconds(), float64(acked.Load())/took.Seconds())
	return acked.Load(), nil
}

// killLeader sends SIGKILL to the broker that leads most partitions.
func killLeader(ctx context.Context, cl *client.Client, cluster *proc.Cluster, out *outage) (*proc.Broker, error) {
	md, err := cl.Metadata(ctx, topic)
	if err != nil {
		return nil, err
	}
	led := map[int32]map[int32]bool{}
	most := int32(-1)
	for _, t := range md.GetTopics() {
		for _, p := range t.GetPartitions() {
			l := p.GetLeaderId()
			if led[l] == nil {
				led[l] = map[int32]bool{}
			}
			led[l][p.GetPartition()] = true
			if most < 0 || len(led[l]) > len(led[most]) {
				most = l
			}
		}
	}
	for _, b := range md.GetBrokers() {
		if b.GetId() != most {
			continue
		}
		victim, err := cluster.ByAddress(b.GetAddress())
		if err != nil {
			return nil, err
		}
		fmt.Printf("SIGKILL to broker %d, which leads %d of the partitions\n", victim.Number, len(led[most]))
		out.start(led[most])
		return victim, victim.Kill()
	}
	return nil, fmt.Errorf("no broker with id %d in the metadata", most)
}
