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

// Replicas hashes each replica's records below the high watermarks of final, read from the brokers themselves. A replica that
// has not caught up yet is waited for until ctx ends.
func Replicas(ctx context.Context, addresses []string, topic string, final map[int32]check.Log) (map[int32]map[int32]string, error) {
	out := map[int32]map[int32]string{}
	for i, addr := range addresses {
		conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64<<20)))
		if err != nil {
			return nil, err
		}
		defer conn.Close()
		for p, l := range final {
			hash, err := replica(ctx, runnelv1.NewBrokerClient(conn), topic, p, l)
			if err != nil {
				return nil, fmt.Errorf("broker at %s, partition %d: %w", addr, p, err)
			}
			if out[p] == nil {
				out[p] = map[int32]string{}
			}
			out[p][int32(i+1)] = hash
		}
	}
	return out, nil
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
