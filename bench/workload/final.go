package workload

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/runnel-io/runnel/bench/check"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
	"github.com/runnel-io/runnel/rpc/client"
)

// Final reads the whole topic at rest with a client of its own.
func Final(ctx context.Context, seeds []string, topic string) (map[int32]check.Log, error) {
	cl, err := client.New(seeds)
	if err != nil {
		return nil, err
	}
	defer cl.Close()
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
		l.Values = append(l.Values, string(rec.Value))
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

// Replicas hashes each replica's records within the bounds of final, read from the brokers that hold them, and answers the hashes by
// partition and broker id. A replica that has not caught up yet is waited for until ctx ends.
func Replicas(ctx context.Context, seeds []string, topic string, final map[int32]check.Log) (map[int32]map[int32]string, error) {
	holders, brokers, err := connect(ctx, seeds, topic)
	defer func() {
		for _, conn := range brokers {
			_ = conn.Close() // whatever was to be read has been
		}
	}()
	if err != nil {
		return nil, err
	}
	out := map[int32]map[int32]string{}
	for p, l := range final {
		out[p] = map[int32]string{}
		if len(holders[p]) == 0 {
			return nil, fmt.Errorf("partition %d has no replicas", p)
		}
		for _, id := range holders[p] {
			if brokers[id] == nil {
				return nil, fmt.Errorf("partition %d: nobody knows the address of broker %d", p, id)
			}
			if out[p][id], err = replica(ctx, runnelv1.NewBrokerClient(brokers[id]), topic, p, l); err != nil {
				return nil, fmt.Errorf("broker %d, partition %d: %w", id, p, err)
			}
		}
	}
	return out, nil
}

// connect answers which brokers hold each partition, and a connection to each broker.
func connect(ctx context.Context, seeds []string, topic string) (holders map[int32][]int32, brokers map[int32]*grpc.ClientConn, err error) {
	cl, err := client.New(seeds)
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
	holders, brokers = map[int32][]int32{}, map[int32]*grpc.ClientConn{}
	for _, p := range d.GetPartitions() {
		holders[p.GetPartition()] = p.GetReplicas()
	}
	for _, b := range list.GetBrokers() {
		brokers[b.GetId()], err = grpc.NewClient(b.GetAddress(), grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64<<20)))
		if err != nil {
			delete(brokers, b.GetId())
			return nil, brokers, err
		}
	}
	return holders, brokers, nil
}

func replica(ctx context.Context, b runnelv1.BrokerClient, topic string, p int32, l check.Log) (string, error) {
	hash := sha256.New()
	for offset := l.Start; offset < l.HighWatermark; {
		resp, err := b.FetchOnce(ctx, &runnelv1.FetchOnceRequest{
			Partitions: []*runnelv1.FetchPartition{{Topic: topic, Partition: p, Offset: offset}},
			MaxWaitMs:  500, MinBytes: 1, MaxBytes: 4 << 20, AnyReplica: true,
		}, grpc.WaitForReady(true))
		if err != nil {
			return "", err
		}
		r := resp.GetResults()[0].GetResult()
		if e := r.GetError(); e != nil && e.GetKind() != runnelv1.ErrorKind_ERROR_KIND_RETRIABLE {
			return "", e
		}
		if r.GetError() == nil {
			hash.Write(r.GetBatches())
			if n := r.GetNextOffset(); n > offset {
				offset = n
			}
		}
		if err := ctx.Err(); err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}
