package stream

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/runnel-io/runnel/bench/source"
	"github.com/runnel-io/runnel/rpc/client"
)

// Options of a Stream.
type Options struct {
	Seeds      []string
	Topic      string // exists
	Partitions int32
	Root       string // of Files
	Files      []*source.File
	Load       int           // rounds of all files that are sent as fast as it goes, first
	Rate       int           // records a second after that; 0: none
	Every      time.Duration // a probe on each partition; 0: 50 ms
}

// Stream is a running one.
type Stream struct {
	o       Options
	files   *client.Client // sends files
	prober  *client.Client
	follow  *client.Client
	live    *checker
	waits   waits
	loaded  chan struct{}
	acked   atomic.Int64 // records
	probes  []atomic.Uint32
	written int // files sent whole; of the sender until it ended

	cancel context.CancelFunc // ends sending
	stop   context.CancelFunc // ends reading and what is unanswered
	sends  sync.WaitGroup
	reads  sync.WaitGroup
	closed sync.Once

	mu     sync.Mutex
	err    error
	failed chan struct{} // closed with the first err
}

// Start starts sending and reading. Stop ends it.
func Start(ctx context.Context, o Options) (*Stream, error) {
	if o.Every == 0 {
		o.Every = 50 * time.Millisecond
	}
	s := &Stream{
		o: o, live: newChecker(o.Partitions), waits: waits{open: map[int32]time.Time{}}, loaded: make(chan struct{}),
		probes: make([]atomic.Uint32, o.Partitions), failed: make(chan struct{}),
	}
	for _, c := range []struct {
		to   **client.Client
		opts []client.Option
	}{{&s.files, nil}, {&s.prober, []client.Option{client.WithLinger(0)}}, {&s.follow, nil}} {
		cl, err := client.New(o.Seeds, c.opts...)
		if err != nil {
			return nil, errors.Join(err, s.closeClients())
		}
		*c.to = cl
	}
	all, stop := context.WithCancel(ctx)
	sending, cancel := context.WithCancel(all)
	s.cancel, s.stop = cancel, stop
	s.sends.Go(func() { s.fail(s.sendFiles(sending, all)) })
	for p := range o.Partitions {
		s.sends.Go(func() { s.fail(s.probe(sending, all, p)) })
	}
	s.reads.Go(func() { s.fail(s.read(all, s.follow, s.live)) })
	return s, nil
}

func (s *Stream) fail(err error) {
	if err == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = err
		close(s.failed)
	}
}

// Err is the first error that reached a user of the SDK.
func (s *Stream) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// Failed is closed when Err is set.
func (s *Stream) Failed() <-chan struct{} { return s.failed }

// Acked counts the acknowledged records.
func (s *Stream) Acked() int64 { return s.acked.Load() }

// Waits gives the probes' waits since it was called last.
func (s *Stream) Waits() Waits { return s.waits.take(time.Now()) }

// Seen counts the records that the reader which follows has missed, or got again, so far.
func (s *Stream) Seen() (lost, duplicated int64) { return s.live.seen() }

// Loaded waits until the first rounds are sent and acknowledged.
func (s *Stream) Loaded(ctx context.Context) error {
	select {
	case <-s.loaded:
		return nil
	case <-s.failed:
		return s.Err()
	case <-ctx.Done():
		return fmt.Errorf("%d records acknowledged: %w", s.Acked(), ctx.Err())
	}
}

// sendFiles sends the files, round after round, and stops between two of them.
func (s *Stream) sendFiles(sending, all context.Context) error {
	sent := int64(0)
	produce := func(key, value []byte) {
		sent++
		s.files.Produce(all, &client.Record{Topic: s.o.Topic, Partition: -1, Key: key, Value: value}, func(_ *client.Record, err error) {
			if err != nil {
				if all.Err() == nil {
					s.fail(fmt.Errorf("a record was not acknowledged: %w", err))
				}
				return
			}
			s.acked.Add(1)
		})
	}
	first := s.o.Load * len(s.o.Files)
	var paced pace
	for ; sending.Err() == nil && s.Err() == nil; s.written++ {
		if s.written == first {
			if err := s.files.Flush(all); err != nil {
				return quiet(err)
			}
			close(s.loaded)
			if s.o.Rate == 0 {
				return nil
			}
			paced = pace{rate: s.o.Rate, began: time.Now(), base: sent}
		}
		if s.written >= first && !paced.wait(sending, sent) {
			break
		}
		if err := source.Records(s.o.Root, uint32(s.written), s.o.Files[s.written%len(s.o.Files)], produce); err != nil {
			return err
		}
	}
	return quiet(s.files.Flush(all))
}

// pace spreads records over time.
type pace struct {
	rate  int // a second
	began time.Time
	base  int64
}

// wait returns once so many records may have been sent; false if ctx ends before.
func (p *pace) wait(ctx context.Context, sent int64) bool {
	due := time.Duration(float64(sent-p.base) / float64(p.rate) * float64(time.Second))
	t := time.NewTimer(time.Until(p.began.Add(due)))
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// probe keeps sending single records to one partition.
func (s *Stream) probe(sending, all context.Context, p int32) error {
	tick := time.NewTicker(s.o.Every)
	defer tick.Stop()
	for seq := uint32(0); ; seq++ {
		select {
		case <-sending.Done():
			return nil
		case <-tick.C:
		}
		s.waits.sent(p, time.Now())
		if err := s.prober.ProduceSync(all, &client.Record{Topic: s.o.Topic, Partition: p, Value: encodeProbe(p, seq)}); err != nil {
			if all.Err() != nil {
				return nil
			}
			return fmt.Errorf("a record of partition %d was not acknowledged: %w", p, err)
		}
		s.waits.acked(p, time.Now())
		s.probes[p].Store(seq + 1)
		s.acked.Add(1)
	}
}

// read has c check what a reader gets from the start on.
func (s *Stream) read(ctx context.Context, cl *client.Client, c *checker, opts ...client.ReaderOption) error {
	r, err := cl.NewReader(s.o.Topic, append(opts, client.FromStart())...)
	if err != nil {
		return err
	}
	defer r.Close()
	for rec, err := range r.Records(ctx) {
		if err == nil {
			err = c.add(rec)
		}
		if err != nil && ctx.Err() == nil {
			return fmt.Errorf("reading: %w", err)
		}
	}
	return nil
}

func quiet(err error) error {
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}
