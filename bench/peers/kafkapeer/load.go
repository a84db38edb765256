package kafkapeer

import (
	"context"
	"iter"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/runnel-io/runnel/cmd/brokerctl/load"
	"github.com/runnel-io/runnel/rpc/client"
)

// buffer is what a client may have unacknowledged, as Runnel's.
const buffer = 16 << 20

func (c *cluster) Producer(o load.ProducerOptions) (load.Producer, error) {
	// The linger is the option's, also where the load asks for none: a thousand requests a second may cost Kafka more.
	cl, err := kgo.NewClient(append(c.common(), kgo.ProducerLinger(c.option.linger), kgo.ProducerBatchMaxBytes(c.option.batch),
		kgo.MaxBufferedBytes(buffer), kgo.MaxBufferedRecords(1_000_000), kgo.RecordDeliveryTimeout(o.DeliveryTimeout),
		kgo.RecordPartitioner(partitioner{kgo.UniformBytesPartitioner(int(c.option.batch), true, false, nil)}))...)
	if err != nil {
		return nil, err
	}
	return &producer{cl}, nil
}

type producer struct{ cl *kgo.Client }

func (p *producer) Produce(ctx context.Context, r *client.Record, promise func(*client.Record, error)) {
	p.cl.Produce(ctx, &kgo.Record{Topic: r.Topic, Partition: r.Partition, Value: r.Value}, func(_ *kgo.Record, err error) { promise(r, err) })
}

func (p *producer) Flush(ctx context.Context) error { return p.cl.Flush(ctx) }

func (p *producer) Close() error {
	p.cl.Close()
	return nil
}

// partitioner leaves a record with a partition where it is, and lets the client choose for others.
type partitioner struct{ kgo.Partitioner }

func (p partitioner) ForTopic(topic string) kgo.TopicPartitioner {
	return &topicPartitioner{p.Partitioner.ForTopic(topic)}
}

type topicPartitioner struct{ kgo.TopicPartitioner }

func (t *topicPartitioner) Partition(r *kgo.Record, n int) int {
	if r.Partition >= 0 {
		return int(r.Partition)
	}
	return t.TopicPartitioner.Partition(r, n)
}

func (t *topicPartitioner) PartitionByBackup(r *kgo.Record, n int, backup kgo.TopicBackupIter) int {
	if b, ok := t.TopicPartitioner.(kgo.TopicBackupPartitioner); ok && r.Partition < 0 {
		return b.PartitionByBackup(r, n, backup)
	}
	return t.Partition(r, n)
}

func (c *cluster) Consumer() (load.Consumer, error) { return &consumer{c}, nil }

type consumer struct{ cluster *cluster }

func (c *consumer) Close() error { return nil }

// NewReader makes a client of its own: kgo takes partitions and offsets when it is made.
func (c *consumer) NewReader(topic string, o load.ReaderOptions) (load.Reader, error) {
	return &reader{cluster: c.cluster, topic: topic, options: o}, nil
}

type reader struct {
	cluster *cluster
	topic   string
	options load.ReaderOptions
	cl      *kgo.Client
	left    int64 // to read; negative: no end
}

func (r *reader) Ready(ctx context.Context) error {
	if r.cl != nil {
		return nil
	}
	start, end, err := r.cluster.Offsets(ctx, r.topic)
	if err != nil {
		return err
	}
	from := map[int32]kgo.Offset{}
	r.left = -1
	if r.options.ToEnd {
		r.left = 0
	}
	for _, p := range r.options.Partitions {
		at := start[p]
		if r.options.FromEnd {
			at = end[p]
		}
		if r.options.ToEnd {
			r.left += end[p] - at
		}
		from[p] = kgo.NewOffset().At(at)
	}
	r.cl, err = kgo.NewClient(append(r.cluster.common(), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{r.topic: from}),
		kgo.FetchMaxBytes(64<<20), kgo.FetchMaxPartitionBytes(8<<20), kgo.FetchMaxWait(time.Second))...)
	return err
}

// Records reuses one record.
func (r *reader) Records(ctx context.Context) iter.Seq2[*client.Record, error] {
	return func(yield func(*client.Record, error) bool) {
		if err := r.Ready(ctx); err != nil {
			yield(nil, err)
			return
		}
		var rec client.Record
		for r.left != 0 {
			fetches := r.cl.PollFetches(ctx)
			if err := fetches.Err(); err != nil {
				yield(nil, err)
				return
			}
			for it := fetches.RecordIter(); !it.Done() && r.left != 0; {
				rec.Value = it.Next().Value
				r.left--
				if !yield(&rec, nil) {
					return
				}
			}
		}
	}
}

func (r *reader) Close() error {
	if r.cl != nil {
		r.cl.Close()
	}
	return nil
}
