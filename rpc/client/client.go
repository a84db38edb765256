package client

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// Client talks to one cluster. It is safe for concurrent use. Close it.
type Client struct {
	cfg     config
	meta    *metadata
	conns   *conns
	refresh *refresher
	prod    *producer

	cancel context.CancelFunc
	wg     sync.WaitGroup // the refresher

	mu      sync.Mutex
	closed  bool
	readers map[*Reader]struct{}
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
	c := &Client{cfg: cfg, meta: newMetadata(seeds), conns: newConns(cfg.dial), readers: make(map[*Reader]struct{})}
	var ctx context.Context
	ctx, c.cancel = context.WithCancel(context.Background())
	c.refresh = newRefresher(c.meta, c.conns, cfg)
	c.wg.Go(func() { c.refresh.run(ctx) })
	c.prod = newProducer(ctx, cfg, c.meta, c.refresh, c.conns)
	return c, nil
}

// Close fails the records that are not acknowledged yet (Flush first to wait for them), runs their promises, ends all
// readers and closes the connections. Nothing of the client runs when it returns. Do not call it from a promise.
func (c *Client) Close() error {
	c.mu.Lock()
	c.closed = true
	readers := make([]*Reader, 0, len(c.readers))
	for r := range c.readers {
		readers = append(readers, r)
	}
	c.mu.Unlock()
	var errs []error
	for _, r := range readers {
		errs = append(errs, r.Close())
	}
	c.prod.close()
	c.cancel()
	c.wg.Wait()
	errs = append(errs, c.conns.close())
	return errors.Join(errs...)
}

// Produce hands over r and calls promise, if not nil, once with its fate. It blocks only while the buffer is full (see
// WithBufferBytes), and then not longer than ctx, which ends nothing else: WithDeliveryTimeout bounds the rest.
//
// The promise's error is nil once the record is on disk on a majority of its partition's replicas; otherwise it is an
// *Error. Kind indeterminate: the record may have been written. Any other kind: it was not, and will not be.
//
// Promises run one at a time, those of a partition in the order of Produce. A promise may produce, but when the buffer
// is full that waits for room which later promises would make: give such a call a deadline. A promise must not call
// ProduceSync, Flush or Close. After Close the promise runs before Produce returns.
func (c *Client) Produce(ctx context.Context, r *Record, promise func(*Record, error)) {
	c.prod.produce(ctx, r, promise)
}

// ProduceSync writes the records and waits for all of them, or for the end of ctx: the records then go on in the
// background, and belong to the client until they are through. The error is the first one in the order of rs.
func (c *Client) ProduceSync(ctx context.Context, rs ...*Record) error {
	var (
		left = atomic.Int64{}
		errs = make([]error, len(rs))
		done = make(chan struct{})
	)
	left.Store(int64(len(rs)) + 1)
	kept := func() {
		if left.Add(-1) == 0 {
			close(done)
		}
	}
	for i, r := range rs {
		c.prod.produce(ctx, r, func(_ *Record, err error) {
			errs[i] = err
			kept()
		})
	}
	kept()
	select {
	case <-done:
	case <-ctx.Done():
		return runnelv1.AsError(ctx.Err())
	}
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// Flush sends what lingers and waits until no record is buffered and the promises have returned; records that are
// produced meanwhile are waited for too.
func (c *Client) Flush(ctx context.Context) error { return c.prod.flush(ctx) }

// Metadata asks a broker about topics, or about all topics if none is named.
func (c *Client) Metadata(ctx context.Context, topics ...string) (*runnelv1.MetadataResponse, error) {
	resp, err := retry(ctx, c.prod.caller(), &runnelv1.MetadataRequest{Topics: topics}, brokerCall(runnelv1.BrokerClient.Metadata))
	for _, t := range resp.GetTopics() {
		if t.GetError().GetReason() == runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_TOPIC {
			t.Error = unknownTopic(t.GetName())
		}
	}
	return resp, err
}
