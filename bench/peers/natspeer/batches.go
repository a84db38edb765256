package natspeer

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/synadia-io/orbit.go/jetstreamext"

	"github.com/runnel-io/runnel/cmd/brokerctl/load"
	"github.com/runnel-io/runnel/rpc/client"
)

// Limits of an atomic batch: the server's default is 1,000 messages.
const (
	batchMessages = 1000
	batchBytes    = 1 << 20
	batchesAtOnce = 4
)

// batches collects records to batches that a stream takes as a whole, and has some of them under way.
type batches struct {
	nc       *nats.Conn
	js       jetstream.JetStream
	subjects []string

	queue   chan *batch
	workers sync.WaitGroup
	pending sync.WaitGroup // batches handed over and not yet acknowledged

	mu   sync.Mutex
	next int
	open *batch
}

type batch struct {
	subject string
	bytes   int
	records []waiting
}

func newAtomic(nc *nats.Conn, l layout, turn int, _ option) (load.Producer, error) {
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(30*time.Second))
	if err != nil {
		return nil, err
	}
	a := &batches{nc: nc, js: js, subjects: subjectsOf(l), queue: make(chan *batch), next: turn}
	for range batchesAtOnce {
		a.workers.Go(func() {
			for b := range a.queue {
				a.send(b)
				a.pending.Done()
			}
		})
	}
	return a, nil
}

func (a *batches) Produce(_ context.Context, r *client.Record, promise func(*client.Record, error)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.open == nil {
		a.open = &batch{subject: a.subjects[a.next%len(a.subjects)]}
		a.next++
	}
	a.open.records = append(a.open.records, waiting{r, promise})
	a.open.bytes += len(r.Value)
	if len(a.open.records) == batchMessages || a.open.bytes >= batchBytes {
		a.handOverLocked()
	}
}

// handOverLocked waits until a worker is free: that bounds what is under way.
func (a *batches) handOverLocked() {
	a.pending.Add(1)
	a.queue <- a.open
	a.open = nil
}

// send publishes one batch; the acknowledgement of its last message is that of all.
func (a *batches) send(b *batch) {
	err := a.publish(b)
	for _, w := range b.records {
		w.promise(w.rec, err)
	}
}

func (a *batches) publish(b *batch) error {
	p, err := jetstreamext.NewBatchPublisher(a.js, jetstreamext.BatchFlowControl{AckTimeout: 30 * time.Second})
	if err != nil {
		return err
	}
	last := len(b.records) - 1
	for _, w := range b.records[:last] {
		if err := p.Add(b.subject, w.rec.Value); err != nil {
			return err
		}
	}
	_, err = p.Commit(context.Background(), b.subject, b.records[last].rec.Value)
	return err
}

func (a *batches) Flush(ctx context.Context) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.open != nil {
		a.handOverLocked()
	}
	done := make(chan struct{})
	go func() { a.pending.Wait(); close(done) }() // ends as every batch has a time-out
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (a *batches) Close() error {
	close(a.queue)
	a.workers.Wait()
	a.nc.Close()
	return nil
}

// fast is fast ingest: a stream of messages for each stream, acknowledged every so many, with its own goroutine, as a
// publisher that is told to wait would hold up the others.
type fast struct {
	nc    *nats.Conn
	lanes []*lane

	mu   sync.Mutex
	next int
	run  int // bytes since the lane changed
}

// fastOutstanding is how many acknowledgements may be due in a lane. What they stand for in bytes is bounded by windowBytes
// for all lanes together.
const fastOutstanding = 4

type lane struct {
	subjects []string
	queue    chan waiting
	flush    chan chan error
	done     chan struct{}

	pub     jetstreamext.FastPublisher
	js      jetstream.JetStream
	flow    uint16
	bytes   int       // that one acknowledgement stands for at most
	waiting []waiting // not acknowledged
	acked   uint64    // sequence up to which the present publisher is acknowledged
	count   int
}

func newFast(nc *nats.Conn, l layout, turn int, o option) (load.Producer, error) {
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(30*time.Second))
	if err != nil {
		return nil, err
	}
	f := &fast{nc: nc, next: turn}
	for s := range l.streams {
		n := &lane{
			queue: make(chan waiting, 64), bytes: windowBytes / fastOutstanding / int(l.streams), flush: make(chan chan error), done: make(chan struct{}), js: js, flow: uint16(o.window), count: turn,
		}
		for p := range l.partitions {
			if l.streamOf(p) == s {
				n.subjects = append(n.subjects, l.subject(p))
			}
		}
		f.lanes = append(f.lanes, n)
		go n.loop() // ends with Close
	}
	return f, nil
}

// sticky is how many bytes go to one lane before the next has its turn.
const sticky = 20_000

func (f *fast) Produce(_ context.Context, r *client.Record, promise func(*client.Record, error)) {
	f.mu.Lock()
	if f.run += len(r.Value); f.run >= sticky {
		f.run = 0
		f.next++
	}
	n := f.lanes[f.next%len(f.lanes)]
	f.mu.Unlock()
	n.queue <- waiting{r, promise}
}

func (n *lane) loop() {
	defer close(n.done)
	for {
		select {
		case w, ok := <-n.queue:
			if !ok {
				return
			}
			n.add(w)
		case reply := <-n.flush:
			for len(n.queue) > 0 {
				n.add(<-n.queue)
			}
			reply <- n.end()
		}
	}
}

func (n *lane) add(w waiting) {
	var err error
	if n.pub == nil {
		n.acked = 0
		n.pub, err = jetstreamext.NewFastPublisher(n.js, jetstreamext.FastPublishFlowControl{
			Flow: max(min(n.flow, uint16(min(n.bytes/len(w.rec.Value), 1<<15))), 1), MaxOutstandingAcks: fastOutstanding, AckTimeout: 30 * time.Second,
		})
		if err != nil {
			w.promise(w.rec, err)
			return
		}
	}
	n.waiting = append(n.waiting, w)
	n.count++
	ack, err := n.pub.Add(n.subjects[n.count%len(n.subjects)], w.rec.Value)
	if err != nil {
		n.settle(len(n.waiting), err)
		n.pub = nil
		return
	}
	if ack.AckSequence > n.acked {
		n.settle(int(ack.AckSequence-n.acked), nil)
		n.acked = ack.AckSequence
	}
}

// settle tells the fate of the oldest records.
func (n *lane) settle(records int, err error) {
	for _, w := range n.waiting[:records] {
		w.promise(w.rec, err)
	}
	n.waiting = append(n.waiting[:0], n.waiting[records:]...)
}

// end closes the publisher, which acknowledges the rest.
func (n *lane) end() error {
	if n.pub == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	_, err := n.pub.Close(ctx)
	n.settle(len(n.waiting), err)
	n.pub = nil
	return err
}

func (f *fast) Flush(ctx context.Context) error {
	var errs []error
	for _, n := range f.lanes {
		reply := make(chan error, 1)
		select {
		case n.flush <- reply:
		case <-ctx.Done():
			return ctx.Err()
		}
		errs = append(errs, <-reply)
	}
	return errors.Join(errs...)
}

func (f *fast) Close() error {
	for _, n := range f.lanes {
		close(n.queue)
		<-n.done
	}
	f.nc.Close()
	return nil
}
