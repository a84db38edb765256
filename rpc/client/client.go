package client

import (
	"context"
	"errors"

	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// Client talks to one cluster. It is safe for concurrent use. Close it.
type Client struct {
	cfg config
}

// New makes a client of the cluster that the seeds belong to. Seeds are host:port of any brokers; one that answers is
// enough. New does not connect: the first call does.
func New(seeds []string, opts ...Option) (*Client, error) {
	if len(seeds) == 0 {
		return nil, errors.New("no seed brokers: give at least one host:port")
	}
	cfg := defaultConfig()
	for _, o := range opts {
		o(&cfg)
	}
	if err := cfg.check(); err != nil {
		return nil, err
	}
	return &Client{cfg: cfg}, nil
}

// Close fails the records that are not acknowledged yet (Flush first to wait for them), runs their promises, ends all
// readers and closes the connections. Nothing of the client runs when it returns. Do not call it from a promise.
func (c *Client) Close() error { panic("not yet") }

// Produce hands over r and calls promise, if not nil, once with its fate. It blocks only while the buffer is full, and
// then not longer than ctx.
func (c *Client) Produce(ctx context.Context, r *Record, promise func(*Record, error)) {
	panic("not yet")
}

// ProduceSync writes the records and waits for all of them. The error is the first one met, in the order of rs.
func (c *Client) ProduceSync(ctx context.Context, rs ...*Record) error { panic("not yet") }

// Flush sends what lingers and waits until no record is buffered and the promises have returned.
func (c *Client) Flush(ctx context.Context) error { panic("not yet") }

// ListOffsets finds an offset in each partition of a topic.
func (c *Client) ListOffsets(ctx context.Context, topic string, at At) (map[int32]int64, error) {
	panic("not yet")
}

// Metadata asks a broker about topics, or about all topics if none is named.
func (c *Client) Metadata(ctx context.Context, topics ...string) (*runnelv1.MetadataResponse, error) {
	panic("not yet")
}

// NewReader reads a topic.
func (c *Client) NewReader(topic string, opts ...ReaderOption) (*Reader, error) { panic("not yet") }
