package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/runnel-io/runnel/bench/check"
	"github.com/runnel-io/runnel/bench/workload"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
	"github.com/runnel-io/runnel/rpc/client"
)

// verdict ends the load and compares all that was sent with what readers get and with what each replica holds.
func (r *run) verdict(ctx context.Context) error {
	followed, err := r.stream.Stop(ctx)
	if err != nil {
		return err
	}
	reread, err := r.stream.Reread(ctx, r.cluster.Seeds())
	if err != nil {
		return err
	}
	acked := r.stream.Acked()
	fmt.Printf("\n%d records acknowledged; the reader that followed got %d, one that started anew %d\n", acked, followed.Records, reread.Records)
	fmt.Printf("%d of %d files identical, lost %d, duplicated %d\n", reread.Identical, reread.Files,
		max(followed.Lost, reread.Lost), max(followed.Duplicated, reread.Duplicated))
	if err := errors.Join(followed.Err(), reread.Err()); err != nil {
		return err
	}
	if followed.Records != acked || reread.Records != acked {
		return errors.New("the records read are not the records acknowledged")
	}
	n, err := r.replicasAgree(ctx)
	if err != nil {
		return err
	}
	fmt.Printf("%d replicas hold the same bytes as the others of their partition\n", n)
	return nil
}

// replicasAgree hashes every replica of the topic.
func (r *run) replicasAgree(ctx context.Context) (replicas int, err error) {
	d, err := r.cl.Admin().DescribeTopic(ctx, &runnelv1.DescribeTopicRequest{Name: topic})
	if err != nil {
		return 0, err
	}
	list, err := r.cl.Admin().ListBrokers(ctx, &runnelv1.ListBrokersRequest{})
	if err != nil {
		return 0, err
	}
	address := map[int32]string{}
	for _, b := range list.GetBrokers() {
		address[b.GetId()] = b.GetAddress()
	}
	starts, err := r.cl.ListOffsets(ctx, topic, client.AtStart())
	if err != nil {
		return 0, err
	}
	ends, err := r.cl.ListOffsets(ctx, topic, client.AtEnd())
	if err != nil {
		return 0, err
	}
	for _, p := range d.GetPartitions() {
		n := p.GetPartition()
		var on []string
		for _, id := range p.GetReplicas() {
			on = append(on, address[id])
		}
		hashes, err := workload.Replicas(ctx, on, topic, map[int32]check.Log{n: {Start: starts[n], HighWatermark: ends[n]}})
		if err != nil {
			return 0, err
		}
		first := ""
		for _, h := range hashes[n] {
			if first == "" {
				first = h
			}
			if h != first {
				return 0, fmt.Errorf("partition %d: the replicas on brokers %v differ", n, p.GetReplicas())
			}
			replicas++
		}
	}
	return replicas, nil
}
