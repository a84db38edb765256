package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"time"

	"github.com/runnel-io/runnel/bench/disk"
)

const (
	coldTopic   = "cold"
	coldRecord  = 1 << 10
	coldRecords = 1 << 20 // 1 GiB
	// stopLimit bounds how long brokers may take to end after SIGTERM.
	stopLimit = 30 * time.Second
	// cachedAtMost is the share of the data that may be cached when reading begins: starting brokers read some of it.
	cachedAtMost = 0.05
)

// consumeCold fills a topic, stops the brokers, has the kernel forget their files, starts them, and reads the topic once. The
// host of a virtual machine may still cache what the kernel here has forgotten.
func consumeCold(ctx context.Context, b bencher) (res result, err error) {
	if _, err := b.ctl(ctx, "topic", "create", coldTopic, "--partitions", "12", "--replication-factor", fmt.Sprint(replicas)); err != nil {
		return res, err
	}
	defer func() {
		_, rmErr := b.ctl(context.WithoutCancel(ctx), "topic", "delete", coldTopic, "--yes")
		err = errors.Join(err, rmErr)
	}()
	if _, err := b.bench(ctx, "produce", "--topic", coldTopic, "--record-size", fmt.Sprint(coldRecord), "--records", fmt.Sprint(coldRecords)); err != nil {
		return res, fmt.Errorf("filling the topic: %w", err)
	}
	evicted, raw, err := restartCold(ctx, b)
	if err != nil {
		return res, err
	}
	cached, err := b.look(disk.Look)
	if err != nil {
		return res, err
	}
	note := fmt.Sprintf("of %.0f MB on disk %.1f MB stayed cached after the brokers' stop, %.1f MB were when reading began; a plain read of one broker's files makes %.0f MB/s",
		float64(cached.Bytes)/1e6, float64(evicted.Resident)/1e6, float64(cached.Resident)/1e6, raw)
	fmt.Fprintf(os.Stderr, "%-20s %s\n", "consume-cold", note)
	if float64(cached.Resident) > cachedAtMost*float64(cached.Bytes) {
		return res, fmt.Errorf("this would not be a cold read: %s", note)
	}
	res, err = b.bench(ctx, "consume", "--topic", coldTopic, "--record-size", fmt.Sprint(coldRecord), "--consumers", "1", "--records", fmt.Sprint(coldRecords))
	res.RawRead = math.Round(raw)
	return res, err
}

// restartCold answers what of the brokers' files was cached while they were stopped, and at what rate (MB/s) a plain read of
// one broker's files from the disk goes.
func restartCold(ctx context.Context, b bencher) (c disk.Cached, raw float64, err error) {
	stop, cancel := context.WithTimeout(ctx, stopLimit)
	defer cancel()
	if err := b.cluster.Stop(stop); err != nil {
		return c, 0, err
	}
	if _, err = b.look(disk.Evict); err != nil {
		return c, 0, err
	}
	if raw, err = disk.Read(b.cluster.Brokers[0].DataDir()); err != nil {
		return c, 0, err
	}
	if c, err = b.look(disk.Evict); err != nil {
		return c, 0, err
	}
	for _, broker := range b.cluster.Brokers {
		if err := broker.Start(); err != nil {
			return c, 0, err
		}
	}
	return c, raw, b.cluster.Ready(ctx)
}

// look adds up over all brokers.
func (b bencher) look(f func(dir string) (disk.Cached, error)) (all disk.Cached, err error) {
	for _, broker := range b.cluster.Brokers {
		c, err := f(broker.DataDir())
		if err != nil {
			return all, err
		}
		all.Bytes += c.Bytes
		all.Resident += c.Resident
	}
	return all, nil
}
