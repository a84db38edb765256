package load

import (
	"context"
	"iter"
	"time"

	"github.com/runnel-io/runnel/partition/record"
	"github.com/runnel-io/runnel/rpc/client"
)

// Cluster is what a run needs of the cluster. SDK makes the real one; tests have one in memory.
type Cluster interface {
	// CreateTopic answers the replication factor that the topic got.
	CreateTopic(ctx context.Context, name string, partitions, replicationFactor int32, config map[string]string) (int32, error)
	DeleteTopic(ctx context.Context, name string) error
	// Offsets tells log start and high watermark of every partition of a topic.
	Offsets(ctx context.Context, topic string) (start, end map[int32]int64, err error)
	// Replicas is the replication factor of an existing topic.
	Replicas(ctx context.Context, topic string) (int32, error)
	// Producer makes a client of its own.
	Producer(o ProducerOptions) (Producer, error)
	// Consumer makes a client of its own.
	Consumer() (Consumer, error)
}

// ProducerOptions are the settings of one client; zero (Linger: negative) leaves the client's default.
type ProducerOptions struct {
	BatchBytes, BufferBytes int
	Linger                  time.Duration
	Compression             record.Codec
	DeliveryTimeout         time.Duration
}

// ReaderOptions say what a reader reads.
type ReaderOptions struct {
	Partitions []int32
	// FromEnd begins at the end, else at the start; ToEnd ends where the end was at the beginning.
	FromEnd, ToEnd bool
}

// Producer is the producing side of the SDK's client.
type Producer interface {
	Produce(ctx context.Context, r *client.Record, promise func(*client.Record, error))
	Flush(ctx context.Context) error
	Close() error
}

// Consumer is the reading side of the SDK's client.
type Consumer interface {
	NewReader(topic string, o ReaderOptions) (Reader, error)
	Close() error
}

// Reader is the SDK's reader.
type Reader interface {
	// Ready waits until the reader knows where it begins.
	Ready(ctx context.Context) error
	Records(ctx context.Context) iter.Seq2[*client.Record, error]
	Close() error
}
