package natspeer

import (
	"context"
	"errors"
	"iter"
	"sync"
	"time"

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

// NewReader opens a consumer for each stream when it is first used. None acknowledges, as a reader of a log does not.
func (c *consumer) NewReader(_ string, o load.ReaderOptions) (load.Reader, error) {
	js, err := jetstream.New(c.nc)
	if err != nil {
		return nil, err
	}
	return &reader{cluster: c.cluster, nc: c.nc, js: js, layout: *c.cluster.layout.Load(), options: o, queue: make(chan []byte, ahead), quit: make(chan struct{})}, nil
}

type reader struct {
	cluster *cluster
	nc      *nats.Conn
	js      jetstream.JetStream
	layout  layout
	options load.ReaderOptions
	queue   chan []byte
	quit    chan struct{}
	once    sync.Once

	opened bool
	left   int64 // to read; negative: no end
	mu     sync.Mutex
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
	// At once: each costs the servers a commit.
	errs := make(chan error, len(wanted))
	for stream, subjects := range wanted {
		if len(subjects) == int(r.layout.partitions) || r.layout.streams > 1 {
			subjects = nil // no filter
		}
		go func() { // waited for below
			stop, err := r.subscribe(ctx, r.layout.stream(stream), subjects)
			if err == nil {
				r.mu.Lock()
				r.stops = append(r.stops, stop)
				r.mu.Unlock()
			}
			errs <- err
		}()
	}
	var all []error
	for range wanted {
		all = append(all, <-errs)
	}
	return errors.Join(all...)
}

// subscribe opens one consumer, in the way that the option says where everything is read.
func (r *reader) subscribe(ctx context.Context, stream string, subjects []string) (stop func(), err error) {
	deliver := jetstream.DeliverAllPolicy
	if r.options.FromEnd {
		deliver = jetstream.DeliverNewPolicy
	}
	how := r.cluster.option.read
	if subjects != nil || r.options.FromEnd {
		how = pullOrdered
	}
	var c jetstream.Consumer
	switch how {
	case pushOrdered:
		js, err := r.nc.JetStream()
		if err != nil {
			return nil, err
		}
		sub, err := js.Subscribe("", func(m *nats.Msg) { r.took(m.Data) }, nats.OrderedConsumer(), nats.BindStream(stream))
		if err != nil {
			return nil, err
		}
		return func() { _ = sub.Unsubscribe() }, nil // fails only where the connection is closed
	case pullNoAck:
		c, err = r.js.CreateConsumer(ctx, stream, jetstream.ConsumerConfig{
			DeliverPolicy: deliver, AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true, Replicas: 1, InactiveThreshold: time.Minute,
		})
	default:
		c, err = r.js.OrderedConsumer(ctx, stream, jetstream.OrderedConsumerConfig{DeliverPolicy: deliver, FilterSubjects: subjects})
	}
	if err != nil {
		return nil, err
	}
	cc, err := c.Consume(func(m jetstream.Msg) { r.took(m.Data()) }, jetstream.PullMaxMessagesWithBytesLimit(pullMessages, pullBytes),
		jetstream.ConsumeErrHandler(func(_ jetstream.ConsumeContext, err error) {
			if errors.Is(err, nats.ErrConnectionClosed) {
				select {
				case r.errs <- err:
				default: // the first says it
				}
			}
		}))
	if err != nil {
		return nil, err
	}
	return cc.Stop, nil
}

func (r *reader) took(value []byte) {
	select {
	case r.queue <- value:
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
			case rec.Value = <-r.queue:
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
	var wg sync.WaitGroup
	for _, stop := range r.stops {
		wg.Go(stop)
	}
	wg.Wait()
	return nil
}
