package load

import (
	"context"

	"github.com/runnel-io/runnel/partition/record"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
	"github.com/runnel-io/runnel/rpc/client"
)

// SDK makes the Cluster that the seeds belong to. admin serves the operator's calls and stays the caller's; each
// producer and consumer gets a client of its own, made with opts.
func SDK(seeds []string, admin *client.Client, opts ...client.Option) Cluster {
	return &sdk{seeds: seeds, admin: admin, opts: opts}
}

type sdk struct {
	seeds []string
	admin *client.Client
	opts  []client.Option
}

func (s *sdk) CreateTopic(ctx context.Context, name string, partitions, replicationFactor int32, config map[string]string) (int32, error) {
	resp, err := s.admin.Admin().CreateTopic(ctx, &runnelv1.CreateTopicRequest{
		Name: name, Partitions: partitions, ReplicationFactor: replicationFactor, Config: config,
	})
	return resp.GetReplicationFactor(), err
}

func (s *sdk) DeleteTopic(ctx context.Context, name string) error {
	_, err := s.admin.Admin().DeleteTopic(ctx, &runnelv1.DeleteTopicRequest{Name: name})
	return err
}

func (s *sdk) Offsets(ctx context.Context, topic string) (start, end map[int32]int64, err error) {
	if start, err = s.admin.ListOffsets(ctx, topic, client.AtStart()); err != nil {
		return nil, nil, err
	}
	if end, err = s.admin.ListOffsets(ctx, topic, client.AtEnd()); err != nil {
		return nil, nil, err
	}
	return start, end, nil
}

func (s *sdk) Replicas(ctx context.Context, topic string) (int32, error) {
	resp, err := s.admin.Admin().DescribeTopic(ctx, &runnelv1.DescribeTopicRequest{Name: topic})
	if err != nil {
		return 0, err
	}
	var most int
	for _, p := range resp.GetPartitions() {
		most = max(most, len(p.GetReplicas()))
	}
	return int32(most), nil
}

func (s *sdk) Producer(o ProducerOptions) (Producer, error) {
	opts := s.opts[:len(s.opts):len(s.opts)]
	if o.BatchBytes > 0 {
		opts = append(opts, client.WithBatchBytes(o.BatchBytes))
	}
	if o.BufferBytes > 0 {
		opts = append(opts, client.WithBufferBytes(o.BufferBytes))
	}
	if o.Linger >= 0 {
		opts = append(opts, client.WithLinger(o.Linger))
	}
	if o.Compression != record.CodecNone {
		opts = append(opts, client.WithCompression(o.Compression))
	}
	if o.DeliveryTimeout > 0 {
		opts = append(opts, client.WithDeliveryTimeout(o.DeliveryTimeout))
	}
	c, err := client.New(s.seeds, opts...)
	if err != nil {
		return nil, err
	}
	return c, nil
}

func (s *sdk) Consumer() (Consumer, error) {
	c, err := client.New(s.seeds, s.opts...)
	if err != nil {
		return nil, err
	}
	return sdkConsumer{c}, nil
}

type sdkConsumer struct{ c *client.Client }

func (s sdkConsumer) NewReader(topic string, o ReaderOptions) (Reader, error) {
	opts := []client.ReaderOption{client.Partitions(o.Partitions...)}
	if o.FromEnd {
		opts = append(opts, client.FromEnd())
	}
	if o.ToEnd {
		opts = append(opts, client.ToEnd())
	}
	r, err := s.c.NewReader(topic, opts...)
	if err != nil {
		return nil, err
	}
	return r, nil
}

func (s sdkConsumer) Close() error { return s.c.Close() }
