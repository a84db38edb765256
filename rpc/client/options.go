package client

import (
	"fmt"
	"log/slog"
	"time"

	"google.golang.org/grpc"

	"github.com/runnel-io/runnel/partition/record"
)

// What a client does without the option of the same name. Sizes are in bytes.
const (
	// DefaultBatchBytes is just below what a topic takes by default. Larger batches make fewer transactions: against 256 KiB, 12
	// partitions took 15% more records a second, and at half of that rate the slowest of 100 waited 16 ms instead of 40.
	DefaultBatchBytes  = 1_000_000
	DefaultBufferBytes = 64 << 20
	DefaultLinger      = 2 * time.Millisecond
)

const (
	defaultRequestBytes    = 1 << 20
	defaultDeliveryTimeout = 2 * time.Minute
	// maxDeliveryTimeout: brokers remember a producer's newest batches for 15 minutes of silence at least. A batch that is sent
	// again after that would be appended twice, so sending again has to stop well before.
	maxDeliveryTimeout = 10 * time.Minute
)

type config struct {
	batchBytes      int
	requestBytes    int
	bufferBytes     int
	linger          time.Duration
	deliveryTimeout time.Duration
	codec           record.Codec
	leaderHook      func(topic string, partition, from, to int32)
	dial            []grpc.DialOption
	failFast        bool
	log             *slog.Logger
}

func defaultConfig() config {
	return config{
		batchBytes:      DefaultBatchBytes,
		requestBytes:    defaultRequestBytes,
		bufferBytes:     DefaultBufferBytes,
		linger:          DefaultLinger,
		deliveryTimeout: defaultDeliveryTimeout,
		log:             slog.New(slog.DiscardHandler),
	}
}

func (c config) check() error {
	switch {
	case c.batchBytes < 1<<10 || c.batchBytes > 16<<20:
		return fmt.Errorf("batch bytes are %d: use 1 KiB to 16 MiB", c.batchBytes)
	case c.bufferBytes < c.batchBytes:
		return fmt.Errorf("buffer bytes are %d: use at least the batch bytes, %d", c.bufferBytes, c.batchBytes)
	case c.linger < 0 || c.linger > time.Minute:
		return fmt.Errorf("linger is %v: use 0 to 1m", c.linger)
	case c.deliveryTimeout < time.Millisecond:
		return fmt.Errorf("delivery timeout is %v: use at least 1ms", c.deliveryTimeout)
	case c.deliveryTimeout > maxDeliveryTimeout:
		return fmt.Errorf("delivery timeout is %v: use at most %v, because brokers recognise a batch sent twice for 15m only",
			c.deliveryTimeout, maxDeliveryTimeout)
	case c.codec < record.CodecNone || c.codec > record.CodecZstd:
		return fmt.Errorf("compression %v is unknown", c.codec)
	}
	return nil
}

// Option changes a Client.
type Option func(*config)

// WithBatchBytes bounds a batch, in bytes before compression; a larger record travels alone. Default 1 MB. Where
// a topic's max.message.bytes is less, that bounds its batches.
func WithBatchBytes(n int) Option { return func(c *config) { c.batchBytes = n } }

// WithLinger sets how long a batch that is not full waits for more records while an earlier batch of its partition is
// unanswered. An idle partition sends at once. Default 2 ms.
func WithLinger(d time.Duration) Option { return func(c *config) { c.linger = d } }

// WithBufferBytes bounds the bytes of records that are accepted and not yet answered. Produce blocks when it is full.
// Default 64 MiB. The client may use about twice as much memory.
func WithBufferBytes(n int) Option { return func(c *config) { c.bufferBytes = n } }

// WithCompression compresses batches. Default: not.
func WithCompression(codec record.Codec) Option { return func(c *config) { c.codec = codec } }

// WithDeliveryTimeout bounds the time from Produce to the promise. Default 2 min, at most 10 min: brokers recognise a
// batch that is sent twice for 15 minutes only, so sending again must end before.
func WithDeliveryTimeout(d time.Duration) Option { return func(c *config) { c.deliveryTimeout = d } }

// WithLeaderHook has f called when the client learns of another leader of a partition that it uses; -1 is none. It is
// called in order, on one goroutine, and must not block.
func WithLeaderHook(f func(topic string, partition, from, to int32)) Option {
	return func(c *config) { c.leaderHook = f }
}

// WithDialOptions adds gRPC dial options after the client's own, so they win: a dialer, or credentials (WithTLS has those of TLS).
func WithDialOptions(opts ...grpc.DialOption) Option {
	return func(c *config) { c.dial = append(c.dial, opts...) }
}

// WithFailFast has calls that ask (Admin, Metadata, ListOffsets, and where a Reader starts) fail within about 2 s when every
// known address refuses the connection or does not resolve, with the retriable error UNAVAILABLE. It is for programs that
// a person waits for. Default: they try until their ctx ends, as a cluster that starts again needs. Producing always does.
func WithFailFast() Option { return func(c *config) { c.failFast = true } }

// WithLogger has the client log leader changes, lost connections and skipped batches. Default: silent.
func WithLogger(l *slog.Logger) Option {
	return func(c *config) {
		if l != nil {
			c.log = l
		}
	}
}
