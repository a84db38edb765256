package load

import (
	"errors"
	"fmt"
	"time"

	"github.com/runnel-io/runnel/partition/record"
	"github.com/runnel-io/runnel/rpc/client"
)

// Mode is what a run measures.
type Mode string

// The modes.
const (
	Produce  Mode = "produce" // as many records as the client's buffer lets through, or a rate
	Latency  Mode = "latency" // each producer waits for the ack of its record before it sends the next
	Consume  Mode = "consume" // reads a topic filled beforehand
	EndToEnd Mode = "e2e"     // from the moment a record is due to the moment a consumer has it
)

// Linger is how long batches wait for more records in this mode unless the run says otherwise.
func (m Mode) Linger() time.Duration {
	if m == Latency || m == EndToEnd {
		return 0
	}
	return client.DefaultLinger
}

// Config is a run. The zero value of a field that says so means its default.
type Config struct {
	Mode Mode
	// RecordSize is the length of a record's value in bytes.
	RecordSize int
	// Producers and Consumers are goroutines.
	Producers, Consumers int
	// Clients is the number of SDK clients, each with connections and a buffer of its own, that the producers share.
	// 0: one for each producer in produce mode, one for all otherwise.
	Clients int
	// Partitions and ReplicationFactor of the topic that the run makes; ReplicationFactor 0: the cluster's default.
	Partitions, ReplicationFactor int32
	// Duration of the measured window; 0 with Records set: until they are through.
	Duration time.Duration
	// WarmUp is time under load before the measured window.
	WarmUp time.Duration
	// Rate is records a second of all producers together; 0: a closed loop.
	Rate float64
	// BatchBytes and BufferBytes of each client; 0: the client's default.
	BatchBytes, BufferBytes int
	// Linger of each client; negative: the client's default in produce mode, none in the others.
	Linger      time.Duration
	Compression record.Codec
	// Topic is an existing topic to use. Empty: the run makes one and removes it.
	Topic string
	// Records ends the run after so many records in the measured window. In consume mode it is how many the topic is
	// filled with (0: 256 MiB, but not above a million).
	Records int64
	// TopicConfig is for the topic that the run makes.
	TopicConfig map[string]string
	// Timeout bounds each step that is not the load: making and removing the topic, waiting for the last acks and for
	// the last records at the consumers.
	Timeout time.Duration
}

const (
	// stampBytes is what an end-to-end record carries of its own: the run and the time it was due.
	stampBytes = 16
	// fillBytes and fillRecords bound what consume mode fills a topic with by default.
	fillBytes   = 256 << 20
	fillRecords = 1_000_000
	// maxRecordSize is far above any topic's max.message.bytes; it keeps the ring's size sane.
	maxRecordSize = 64 << 20
)

// withDefaults fills in what the zero values mean and reports everything that is wrong, at once.
func (c Config) withDefaults() (Config, error) {
	var bad []error
	reject := func(format string, args ...any) { bad = append(bad, fmt.Errorf(format, args...)) }
	switch c.Mode {
	case Produce, Latency, Consume, EndToEnd:
	default:
		reject("unknown mode %q: use produce, latency, consume or e2e", c.Mode)
	}
	least := 1
	if c.Mode == EndToEnd {
		least = stampBytes
	}
	if c.RecordSize < least || c.RecordSize > maxRecordSize {
		reject("--record-size is %d: use %d to %d", c.RecordSize, least, maxRecordSize)
	}
	if c.Producers < 1 {
		reject("--producers is %d: use 1 or more", c.Producers)
	}
	if c.Consumers < 1 {
		reject("--consumers is %d: use 1 or more", c.Consumers)
	}
	if c.Clients < 0 || c.Clients > max(c.Producers, 0) {
		reject("--clients is %d: use 1 to the number of producers, %d", c.Clients, c.Producers)
	}
	if c.Topic == "" && c.Partitions < 1 {
		reject("--partitions is %d: use 1 or more", c.Partitions)
	}
	if c.Topic != "" && len(c.TopicConfig) > 0 {
		reject("--config is for the topic that the bench makes: leave it out with --topic")
	}
	if c.ReplicationFactor < 0 {
		reject("--replication-factor is %d: use 1 or more", c.ReplicationFactor)
	}
	if c.Rate < 0 {
		reject("--rate is %g: use records a second above 0", c.Rate)
	}
	if c.Mode == EndToEnd && c.Rate == 0 {
		reject("e2e needs a --rate: without one it would measure the length of the queue")
	}
	if c.Mode == Consume && c.Rate > 0 {
		reject("--rate has no meaning in consume mode: leave it out")
	}
	if c.Duration < 0 || c.WarmUp < 0 || c.Records < 0 || c.BatchBytes < 0 || c.BufferBytes < 0 {
		reject("--duration, --warm-up, --records, --batch-bytes and --buffer-bytes cannot be negative")
	}
	if c.Duration == 0 && c.Records == 0 {
		reject("neither --duration nor --records: set one")
	}
	if len(bad) > 0 {
		return c, errors.Join(bad...)
	}
	if c.Clients == 0 {
		c.Clients = 1
		if c.Mode == Produce || c.Mode == Consume {
			c.Clients = c.Producers
		}
	}
	if c.Mode == Consume && c.Records == 0 && c.Topic == "" {
		c.Records = max(min(fillBytes/int64(c.RecordSize), fillRecords), 1)
	}
	if c.BatchBytes == 0 {
		c.BatchBytes = client.DefaultBatchBytes
	}
	if c.BufferBytes == 0 {
		c.BufferBytes = client.DefaultBufferBytes
	}
	if c.Linger < 0 {
		c.Linger = c.Mode.Linger()
	}
	if c.Timeout <= 0 {
		c.Timeout = 30 * time.Second
	}
	return c, nil
}
