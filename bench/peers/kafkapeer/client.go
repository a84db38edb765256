package kafkapeer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/bench/peers/system"
)

// option is a way to produce.
type option struct {
	name   string
	batch  int32
	linger time.Duration
	use    system.Use
}

var all = []option{
	{name: "batch-256k", batch: 256 << 10, linger: 5 * time.Millisecond, use: system.Many},
	{name: "batch-1m", batch: 1_000_000, linger: 5 * time.Millisecond, use: system.Many}, // as much as max.message.bytes allows by default
	{name: "single", batch: 256 << 10, use: system.Single},
	{name: "single-5ms", batch: 256 << 10, linger: 5 * time.Millisecond, use: system.Single}, // fewer requests, where they are the bound
	{name: "read", batch: 256 << 10, linger: 5 * time.Millisecond, use: system.Read},
}

func options() []system.Option {
	var out []system.Option
	for _, o := range all {
		settings := fmt.Sprintf("kgo: acks all, idempotent (5 requests in flight), linger %v, batch up to %d bytes, buffer 16 MiB, no compression", o.linger, o.batch)
		if o.use == system.Read {
			settings = "kgo: no group, fetches of up to 64 MiB, 8 MiB a partition"
		}
		out = append(out, system.Option{Name: o.name, Use: o.use, Settings: settings})
	}
	return out
}

// Connect makes the client. option names how producers produce; see options.
func Connect(addresses []string, name string) (system.Client, error) {
	i := slices.IndexFunc(all, func(o option) bool { return o.name == name })
	if i < 0 {
		return nil, fmt.Errorf("no client option %q of Kafka", name)
	}
	c := &cluster{addresses: addresses, option: all[i]}
	var err error
	if c.admin, err = kgo.NewClient(append(c.common(), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0))...); err != nil {
		return nil, err
	}
	return c, nil
}

// cluster is Kafka as the load generator sees it.
type cluster struct {
	addresses []string
	option    option
	admin     *kgo.Client
}

// common to all clients: they look for a new leader at once and try again quickly.
func (c *cluster) common() []kgo.Opt {
	return []kgo.Opt{
		kgo.SeedBrokers(c.addresses...), kgo.MetadataMinAge(20 * time.Millisecond), kgo.DialTimeout(time.Second),
		kgo.RetryBackoffFn(func(int) time.Duration { return 20 * time.Millisecond }),
		kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.RequiredAcks(kgo.AllISRAcks()),
	}
}

func (c *cluster) CreateTopic(ctx context.Context, name string, partitions, replicas int32, _ map[string]string) (int32, error) {
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions, t.ReplicationFactor = name, partitions, int16(replicas)
	req := kmsg.NewPtrCreateTopicsRequest()
	req.Topics, req.TimeoutMillis = append(req.Topics, t), 30_000
	// Until all three brokers have registered, three replicas are refused.
	err := system.Poll(ctx, nil, 200*time.Millisecond, func() error {
		resp, err := req.RequestWith(ctx, c.admin)
		if err != nil {
			return err
		}
		return kerr.ErrorForCode(resp.Topics[0].ErrorCode)
	})
	if err != nil {
		return 0, err
	}
	return replicas, system.Poll(ctx, nil, 50*time.Millisecond, func() error {
		// The metadata names leaders before the leaders know it.
		_, end, err := c.Offsets(ctx, name)
		if err == nil && len(end) != int(partitions) {
			err = fmt.Errorf("%d of %d partitions are known", len(end), partitions)
		}
		return err
	})
}

func (c *cluster) DeleteTopic(ctx context.Context, name string) error {
	t := kmsg.NewDeleteTopicsRequestTopic()
	t.Topic = kmsg.StringPtr(name)
	req := kmsg.NewPtrDeleteTopicsRequest()
	req.Topics, req.TopicNames, req.TimeoutMillis = append(req.Topics, t), []string{name}, 30_000
	resp, err := req.RequestWith(ctx, c.admin)
	if err != nil {
		return err
	}
	return kerr.ErrorForCode(resp.Topics[0].ErrorCode)
}

func (c *cluster) metadata(ctx context.Context, topic string) (*kmsg.MetadataResponse, error) {
	t := kmsg.NewMetadataRequestTopic()
	t.Topic = kmsg.StringPtr(topic)
	req := kmsg.NewPtrMetadataRequest()
	req.Topics = append(req.Topics, t)
	resp, err := req.RequestWith(ctx, c.admin)
	if err != nil {
		return nil, err
	}
	if len(resp.Topics) != 1 {
		return nil, errors.New("the metadata is of another topic")
	}
	return resp, kerr.ErrorForCode(resp.Topics[0].ErrorCode)
}

func (c *cluster) Leaders(ctx context.Context, topic string) ([]string, error) {
	resp, err := c.metadata(ctx, topic)
	if err != nil {
		return nil, err
	}
	byID := map[int32]string{}
	for _, b := range resp.Brokers {
		byID[b.NodeID] = fmt.Sprintf("%s:%d", b.Host, b.Port)
	}
	leaders := make([]string, len(resp.Topics[0].Partitions))
	for _, p := range resp.Topics[0].Partitions {
		address, ok := byID[p.Leader]
		if !ok {
			return nil, fmt.Errorf("partition %d has no leader", p.Partition)
		}
		leaders[p.Partition] = address
	}
	return leaders, nil
}

// Offsets of all partitions: the start is that of the log, the end the high watermark.
func (c *cluster) Offsets(ctx context.Context, topic string) (start, end map[int32]int64, err error) {
	leaders, err := c.Leaders(ctx, topic)
	if err != nil {
		return nil, nil, err
	}
	start, end = map[int32]int64{}, map[int32]int64{}
	for _, at := range []struct {
		time int64
		into map[int32]int64
	}{{-2, start}, {-1, end}} {
		t := kmsg.NewListOffsetsRequestTopic()
		t.Topic = topic
		for p := range leaders {
			part := kmsg.NewListOffsetsRequestTopicPartition()
			part.Partition, part.Timestamp = int32(p), at.time
			t.Partitions = append(t.Partitions, part)
		}
		req := kmsg.NewPtrListOffsetsRequest()
		req.Topics = append(req.Topics, t)
		for _, shard := range c.admin.RequestSharded(ctx, req) {
			if shard.Err != nil {
				return nil, nil, shard.Err
			}
			for _, topic := range shard.Resp.(*kmsg.ListOffsetsResponse).Topics {
				for _, p := range topic.Partitions {
					if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
						return nil, nil, err
					}
					at.into[p.Partition] = p.Offset
				}
			}
		}
	}
	return start, end, nil
}

func (c *cluster) Replicas(ctx context.Context, topic string) (int32, error) {
	resp, err := c.metadata(ctx, topic)
	if err != nil {
		return 0, err
	}
	return int32(len(resp.Topics[0].Partitions[0].Replicas)), nil
}

func (c *cluster) One(ctx context.Context, topic string, partition int32, value []byte) error {
	return c.admin.ProduceSync(ctx, &kgo.Record{Topic: topic, Partition: partition, Value: value}).FirstErr()
}

func (c *cluster) Close() error {
	c.admin.Close()
	return nil
}
