package main

import (
	"context"
	"fmt"
	"time"

	"github.com/runnel-io/runnel/bench/proc"
	"github.com/runnel-io/runnel/bench/source"
	"github.com/runnel-io/runnel/rpc/client"
)

// consumeAll reads the topic from start to end with a client that has seen nothing of what went before.
func consumeAll(ctx context.Context, cluster *proc.Cluster, sent int64) (*source.Collector, error) {
	cl, err := client.New(cluster.Seeds())
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	r, err := cl.NewReader(topic, client.FromStart(), client.ToEnd())
	if err != nil {
		return nil, err
	}
	defer r.Close()
	c := &source.Collector{}
	bar := newBar(sent, "consume")
	began := time.Now()
	for rec, err := range r.Records(ctx) {
		if err != nil {
			return nil, err
		}
		if err := c.Add(rec.Key, rec.Value); err != nil {
			return nil, err
		}
		if c.Records%65536 == 0 {
			if err := bar.Set64(c.Records); err != nil {
				return nil, err
			}
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := bar.Finish(); err != nil {
		return nil, err
	}
	took := time.Since(began)
	fmt.Printf("consumed %d records in %.1f s, %.0f records/s\n", c.Records, took.Seconds(), float64(c.Records)/took.Seconds())
	return c, nil
}

// highWatermarks adds up the topic's.
func highWatermarks(ctx context.Context, cluster *proc.Cluster) (int64, error) {
	cl, err := client.New(cluster.Seeds())
	if err != nil {
		return 0, err
	}
	defer cl.Close()
	marks, err := cl.ListOffsets(ctx, topic, client.AtEnd())
	if err != nil {
		return 0, err
	}
	var sum int64
	for _, m := range marks {
		sum += m
	}
	return sum, nil
}
