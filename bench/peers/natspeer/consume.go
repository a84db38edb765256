package natspeer

import (
	"context"
	"errors"
	"iter"
	"sync"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/runnel-io/runnel/cmd/brokerctl/load"
	"github.com/runnel-io/runnel/rpc/client"
)

// Pull requests of a reader: enough under way that the server never waits for the next.
const (
	pullMessages = 20_000
	pullBytes    = 32 << 20
	ahead        = 8192 // messages between the subscriptions and the reader
)

type consumer struct {
	cluster *cluster
	nc      *nats.Conn
}

func (c *consumer) Close() error {
	c.nc.Close()
	return nil
}

// NewReader opens an ordered consumer for each stream: no acknowledgements, as a reader of a log has none.
func (c *consumer) NewReader(_ string, o load.ReaderOptions) (load.Reader, error) {
	js, err := jetstream.New(c.nc)
	if err != nil {
		return nil, err
	}
	return &reader{cluster: c.cluster, js: js, layout: *c.cluster.layout.Load(), options: o, queue: make(chan jetstream.Msg, ahead), quit: make(chan struct{})}, nil
}

type reader struct {
	cluster *cluster
	js      jetstream.JetStream
	layout  layout
	options load.ReaderOptions
	queue   chan jetstream.Msg
	quit    chan struct{}
	once    sync.Once

	opened bool
	left   int64 // to read; negative: no end
	stops  []func()
	errs   chan error
}

// Ready opens the subscriptions.
func (r *reader) Ready(ctx context.Context) error {
	if r.opened {
		return nil
	}
	r.opened, r.left, r.errs = true, -1, make(chan error, 1)
	if r.options.ToEnd {
		_, end, err := r.cluster.Offsets(ctx, r.layout.topic)
		if err != nil {
			return err
		}
		r.left = 0
		for _, p := range r.options.Partitions {
			r.left += end[p]
		}
	}
	wanted := map[int32][]string{}
	for _, p := range r.options.Partitions {
		s := r.layout.streamOf(p)
		wanted[s] = append(wanted[s], r.layout.subject(p))
	}
	for stream, subjects := range wanted {
		config := jetstream.OrderedConsumerConfig{DeliverPolicy: jetstream.DeliverAllPolicy}
		if r.options.FromEnd {
			config.DeliverPolicy = jetstream.DeliverNewPolicy
		}
		if len(subjects) < int(r.layout.partitions) && r.layout.streams == 1 {
			config.FilterSubjects = subjects
		}
		c, err := r.js.OrderedConsumer(ctx, r.layout.stream(stream), config)
		if err != nil {
			return err
		}
		cc, err := c.Consume(r.took, jetstream.PullMaxMessagesWithBytesLimit(pullMessages, pullBytes),
			jetstream.ConsumeErrHandler(func(_ jetstream.ConsumeContext, err error) {
				if errors.Is(err, nats.ErrConnectionClosed) {
					select {
					case r.errs <- err:
					default: // the first says it
					}
				}
			}))
		if err != nil {
			return err
		}
		r.stops = append(r.stops, cc.Stop)
	}
	return nil
}

func (r *reader) took(m jetstream.Msg) {
	select {
	case r.queue <- m:
	case <-r.quit:
	}
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
			select {
			case m := <-r.queue:
				rec.Value = m.Data()
				r.left--
				if !yield(&rec, nil) {
					return
				}
			case err := <-r.errs:
				yield(nil, err)
				return
			case <-ctx.Done():
				yield(nil, ctx.Err())
				return
			}
		}
	}
}

func (r *reader) Close() error {
	r.once.Do(func() { close(r.quit) })
	for _, stop := range r.stops {
		stop()
	}
	return nil
}
