package load

import (
	"context"
	"errors"
	"iter"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/runnel-io/runnel/rpc/client"
)

// fakeCluster is a cluster in memory. Its time is the bubble's.
type fakeCluster struct {
	// ackAt is when a record handed over now is acknowledged.
	ackAt func(now time.Time) time.Time
	// room is how many records a client takes before Produce blocks.
	room int
	// fail, if not nil, is the fate of a record.
	fail func(n int) error
	// drop swallows acknowledged records before they reach a reader.
	drop func(n int) bool

	// short ends a reader so many records before the end.
	short int64

	mu      sync.Mutex
	topics  map[string]*fakeTopic
	handed  int
	deleted []string
	clients int // open ones
}

type fakeTopic struct {
	logs    [][]*client.Record
	changed chan struct{}
}

func newFakeCluster(latency time.Duration) *fakeCluster {
	return &fakeCluster{
		ackAt: func(now time.Time) time.Time { return now.Add(latency) }, room: 100, topics: map[string]*fakeTopic{},
	}
}

func (f *fakeCluster) CreateTopic(_ context.Context, name string, partitions, _ int32, _ map[string]string) (int32, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.topics[name] = &fakeTopic{logs: make([][]*client.Record, partitions), changed: make(chan struct{})}
	return 3, nil
}

func (f *fakeCluster) DeleteTopic(ctx context.Context, name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	delete(f.topics, name)
	f.deleted = append(f.deleted, name)
	return nil
}

func (f *fakeCluster) Offsets(_ context.Context, topic string) (start, end map[int32]int64, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	t, ok := f.topics[topic]
	if !ok {
		return nil, nil, errors.New("unknown topic")
	}
	start, end = map[int32]int64{}, map[int32]int64{}
	for p, log := range t.logs {
		start[int32(p)], end[int32(p)] = 0, int64(len(log))
	}
	return start, end, nil
}

func (f *fakeCluster) Replicas(context.Context, string) (int32, error) { return 3, nil }

func (f *fakeCluster) Producer(ProducerOptions) (Producer, error) {
	f.opened(1)
	return &fakeProducer{f: f, room: make(chan struct{}, f.room)}, nil
}

func (f *fakeCluster) Consumer() (Consumer, error) {
	f.opened(1)
	return &fakeConsumer{f}, nil
}

func (f *fakeCluster) opened(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.clients += n
}

type fakeProducer struct {
	f    *fakeCluster
	room chan struct{}
	wg   sync.WaitGroup
}

func (p *fakeProducer) Produce(_ context.Context, r *client.Record, promise func(*client.Record, error)) {
	p.room <- struct{}{}
	f := p.f
	f.mu.Lock()
	n := f.handed
	f.handed++
	f.mu.Unlock()
	now := time.Now()
	p.wg.Add(1)
	time.AfterFunc(f.ackAt(now).Sub(now), func() {
		defer p.wg.Done()
		defer func() { <-p.room }()
		if f.fail != nil {
			if err := f.fail(n); err != nil {
				promise(r, err)
				return
			}
		}
		f.mu.Lock()
		if t := f.topics[r.Topic]; t != nil {
			if r.Partition < 0 {
				r.Partition = int32(n % len(t.logs))
			}
			r.Offset = int64(len(t.logs[r.Partition]))
			if f.drop == nil || !f.drop(n) {
				kept := *r
				kept.Value = slices.Clone(r.Value)
				t.logs[r.Partition] = append(t.logs[r.Partition], &kept)
				close(t.changed)
				t.changed = make(chan struct{})
			}
		}
		f.mu.Unlock()
		promise(r, nil)
	})
}

func (p *fakeProducer) Flush(context.Context) error { p.wg.Wait(); return nil }
func (p *fakeProducer) Close() error                { p.f.opened(-1); return nil }

type fakeConsumer struct{ f *fakeCluster }

func (c *fakeConsumer) Close() error { c.f.opened(-1); return nil }

func (c *fakeConsumer) NewReader(topic string, o ReaderOptions) (Reader, error) {
	start, end, err := c.f.Offsets(context.Background(), topic)
	if err != nil {
		return nil, err
	}
	for p := range end {
		end[p] -= c.f.short
	}
	r := &fakeReader{f: c.f, topic: topic, o: o, at: start, end: end}
	if o.FromEnd {
		r.at = maps.Clone(end)
	}
	return r, nil
}

type fakeReader struct {
	f       *fakeCluster
	topic   string
	o       ReaderOptions
	at, end map[int32]int64
}

func (r *fakeReader) Ready(context.Context) error { return nil }
func (r *fakeReader) Close() error                { return nil }

// Records gives a record a microsecond, so that reading takes time in the bubble too.
func (r *fakeReader) Records(ctx context.Context) iter.Seq2[*client.Record, error] {
	return func(yield func(*client.Record, error) bool) {
		for {
			r.f.mu.Lock()
			t := r.f.topics[r.topic]
			changed := t.changed
			var rec *client.Record
			done := true
			for _, p := range r.o.Partitions {
				if r.o.ToEnd && r.at[p] >= r.end[p] {
					continue
				}
				done = false
				if r.at[p] < int64(len(t.logs[p])) {
					rec = t.logs[p][r.at[p]]
					r.at[p]++
					break
				}
			}
			r.f.mu.Unlock()
			if r.o.ToEnd && done {
				return
			}
			wait := changed
			var tick <-chan time.Time
			if rec != nil {
				wait, tick = nil, time.After(time.Microsecond)
			}
			select {
			case <-ctx.Done():
				yield(nil, ctx.Err())
				return
			case <-wait:
				continue
			case <-tick:
			}
			if !yield(rec, nil) {
				return
			}
		}
	}
}
