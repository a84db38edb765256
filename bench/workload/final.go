package workload

import (
	"context"
	"fmt"

	"github.com/runnel-io/runnel/bench/check"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
	"github.com/runnel-io/runnel/rpc/client"
)

// Final reads all topics at rest, as a client does, with a client of its own. The logs are by slot.
func Final(ctx context.Context, at Target, topics []Topic) (map[int32]check.Log, error) {
	cl, err := at.New()
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	out := map[int32]check.Log{}
	first := int32(0)
	for _, t := range topics {
		logs, err := final(ctx, cl, t.Name)
		if err != nil {
			return nil, fmt.Errorf("topic %s: %w", t.Name, err)
		}
		for p, l := range logs {
			out[first+p] = l
		}
		first += t.Partitions
	}
	return out, ctx.Err()
}

func final(ctx context.Context, cl *client.Client, topic string) (map[int32]check.Log, error) {
	out, err := Bounds(ctx, cl, topic)
	if err != nil {
		return nil, err
	}
	r, err := cl.NewReader(topic, client.FromStart(), client.ToEnd())
	if err != nil {
		return nil, err
	}
	defer r.Close()
	for rec, err := range r.Records(ctx) {
		if err != nil {
			return nil, err
		}
		l := out[rec.Partition]
		if want := l.Start + int64(len(l.Values)); rec.Offset != want {
			return nil, fmt.Errorf("partition %d: read offset %d, wanted %d", rec.Partition, rec.Offset, want)
		}
		l.Values = append(l.Values, Value(rec.Value))
		out[rec.Partition] = l
	}
	return out, ctx.Err()
}

// Bounds answers where each partition starts and ends, without its records.
func Bounds(ctx context.Context, cl *client.Client, topic string) (map[int32]check.Log, error) {
	starts, err := cl.ListOffsets(ctx, topic, client.AtStart())
	if err != nil {
		return nil, err
	}
	ends, err := cl.ListOffsets(ctx, topic, client.AtEnd())
	if err != nil {
		return nil, err
	}
	out := map[int32]check.Log{}
	for p, start := range starts {
		out[p] = check.Log{Start: start, HighWatermark: ends[p]}
	}
	return out, nil
}

// Replicas hashes each replica's records within the bounds of a topic's logs, read from the brokers that hold them, and answers the
// hashes by partition and broker id. A replica that has not caught up yet is waited for until ctx ends.
func Replicas(ctx context.Context, seeds []string, topic string, bounds map[int32]check.Log) (map[int32]map[int32]string, error) {
	out := map[int32]map[int32]string{}
	return out, eachReplica(ctx, Target{Seeds: seeds}, topic, bounds, func(p, broker int32, r replica) {
		if out[p] == nil {
			out[p] = map[int32]string{}
		}
		out[p][broker] = r.hash
	})
}

// AllReplicas is Replicas for several topics, by slot. It also gives each final log its stored batches.
func AllReplicas(ctx context.Context, at Target, topics []Topic, logs map[int32]check.Log) (map[int32]map[int32]string, error) {
	out := map[int32]map[int32]string{}
	first := int32(0)
	for _, t := range topics {
		bounds := map[int32]check.Log{}
		for p := range t.Partitions {
			bounds[p] = logs[first+p]
		}
		if err := eachReplica(ctx, at, t.Name, bounds, func(p, broker int32, r replica) {
			if out[first+p] == nil {
				out[first+p] = map[int32]string{}
			}
			out[first+p][broker] = r.hash
			l := logs[first+p]
			l.Batches, l.Bytes = r.log.Batches, r.log.Bytes // which replica's is all the same: their hashes are compared
			logs[first+p] = l
		}); err != nil {
			return nil, fmt.Errorf("topic %s: %w", t.Name, err)
		}
		first += t.Partitions
	}
	return out, nil
}

func eachReplica(ctx context.Context, at Target, topic string, bounds map[int32]check.Log, f func(p, broker int32, r replica)) error {
	holders, addresses, err := whoHolds(ctx, at, topic)
	if err != nil {
		return err
	}
	brokers := &Brokers{TLS: at.TLS}
	defer brokers.Close()
	for p, l := range bounds {
		if len(holders[p]) == 0 {
			return fmt.Errorf("partition %d has no replicas", p)
		}
		for _, id := range holders[p] {
			if addresses[id] == "" {
				return fmt.Errorf("partition %d: nobody knows the address of broker %d", p, id)
			}
			r, err := brokers.read(ctx, addresses[id], Slot{topic, p}, l.Start, l.HighWatermark)
			if err != nil {
				return fmt.Errorf("broker %d, partition %d: %w", id, p, err)
			}
			f(p, id, r)
		}
	}
	return nil
}

// whoHolds answers which brokers hold each partition, and the address of each broker.
func whoHolds(ctx context.Context, at Target, topic string) (holders map[int32][]int32, addresses map[int32]string, err error) {
	cl, err := at.New()
	if err != nil {
		return nil, nil, err
	}
	defer cl.Close()
	d, err := cl.Admin().DescribeTopic(ctx, &runnelv1.DescribeTopicRequest{Name: topic})
	if err != nil {
		return nil, nil, err
	}
	list, err := cl.Admin().ListBrokers(ctx, &runnelv1.ListBrokersRequest{})
	if err != nil {
		return nil, nil, err
	}
	holders, addresses = map[int32][]int32{}, map[int32]string{}
	for _, p := range d.GetPartitions() {
		holders[p.GetPartition()] = p.GetReplicas()
	}
	for _, b := range list.GetBrokers() {
		addresses[b.GetId()] = b.GetAddress()
	}
	return holders, addresses, nil
}
