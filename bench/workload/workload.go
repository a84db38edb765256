package workload

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/runnel-io/runnel/bench/check"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
	"github.com/runnel-io/runnel/rpc/client"
)

// Options of a workload. Each writer, reader and so on is a client of its own.
type Options struct {
	Seeds     []string
	TLS       *tls.Config   // nil: plain text
	Topics    []Topic       // exist
	Writers   int           // with many records in flight
	InFlight  int           // as many
	Pause     time.Duration // between a writer's records; 0: none
	OneByOnes int           // writers that wait for each record
	Readers   int           // that follow all slots
	Pollers   int           // that read any replica
	Askers    int           // for ends and starts
	Makers    int           // of topics
	Delivery  time.Duration // within which a record is acknowledged or given up; 0: the SDK's
	Hurry     time.Duration // the same of those that wait for each record; 0: the SDK's
	Making    time.Duration // within which a topic is made or deleted; 0: 5 s
	Patience  time.Duration // for other calls; 0: 2 s
}

// Tally counts operations by outcome.
type Tally struct{ OK, Fail, Info int64 }

// Add adds another.
func (t *Tally) Add(x Tally) { t.OK, t.Fail, t.Info = t.OK+x.OK, t.Fail+x.Fail, t.Info+x.Info }

// The kinds of operations.
const (
	OpAppend = "append, many in flight"
	OpSingle = "append, one by one"
	OpFollow = "follow"
	OpPoll   = "poll any replica"
	OpEnd    = "ask for ends"
	OpStart  = "ask for starts"
	OpMake   = "create a topic"
	OpDelete = "delete a topic"
)

// Kinds lists them in the order to print.
var Kinds = []string{OpAppend, OpSingle, OpFollow, OpPoll, OpEnd, OpStart, OpMake, OpDelete}

// Workload is a running one.
type Workload struct {
	o      Options
	slots  []Slot
	number map[Slot]int32
	rec    *check.Recorder
	cancel context.CancelFunc // ends sending
	stop   context.CancelFunc // ends reading and what is unanswered
	sends  sync.WaitGroup
	others sync.WaitGroup

	acked   atomic.Int64
	ackedOf []atomic.Int64 // by slot: the offset after the highest acknowledged
	read    []atomic.Int64 // by slot: the offset after the last that the first reader got
	readers atomic.Int64

	mu      sync.Mutex
	err     error
	tallies map[string]*Tally
	acks    [][]time.Duration // by slot: when records were acknowledged
}

// Start starts the clients.
func Start(ctx context.Context, o Options, rec *check.Recorder) (*Workload, error) {
	o.Making, o.Patience = cmp.Or(o.Making, makePatience), cmp.Or(o.Patience, 2*time.Second)
	all, stop := context.WithCancel(ctx)
	sending, cancel := context.WithCancel(all)
	w := &Workload{o: o, slots: Slots(o.Topics), number: map[Slot]int32{}, rec: rec, cancel: cancel, stop: stop, tallies: map[string]*Tally{}}
	for i, s := range w.slots {
		w.number[s] = int32(i)
	}
	w.acks = make([][]time.Duration, len(w.slots))
	w.ackedOf, w.read = make([]atomic.Int64, len(w.slots)), make([]atomic.Int64, len(w.slots))
	for _, k := range Kinds {
		w.tallies[k] = &Tally{}
	}
	told := []client.Option{newStarts(w.number, rec).option()} // of readers
	n := 0
	for _, group := range []struct {
		count    int
		delivery time.Duration
		opts     []client.Option
		start    func(cl *client.Client, n int)
	}{
		{o.Writers, o.Delivery, nil, func(cl *client.Client, n int) { w.sends.Go(func() { w.fail(w.write(sending, all, cl, n)) }) }},
		{o.OneByOnes, o.Hurry, nil, func(cl *client.Client, n int) { w.sends.Go(func() { w.fail(w.writeOne(sending, all, cl, n)) }) }},
		{o.Readers, 0, told, func(cl *client.Client, n int) { w.others.Go(func() { w.fail(w.follow(all, cl, n)) }) }},
		{o.Pollers, 0, nil, func(cl *client.Client, n int) { w.others.Go(func() { w.fail(w.poll(all, cl, n)) }) }},
		{o.Askers, 0, nil, func(cl *client.Client, n int) { w.others.Go(func() { w.fail(w.ask(all, cl, n)) }) }},
		{o.Makers, 0, nil, func(cl *client.Client, n int) { w.sends.Go(func() { w.fail(w.makeTopics(sending, all, cl, n)) }) }},
	} {
		for range group.count {
			opts := slices.Clone(group.opts)
			if group.delivery > 0 {
				opts = append(opts, client.WithDeliveryTimeout(group.delivery))
			}
			cl, err := Target{o.Seeds, o.TLS}.New(opts...)
			if err != nil {
				return nil, errors.Join(err, w.Abort())
			}
			group.start(cl, n)
			n++
		}
	}
	return w, nil
}

// Acked counts acknowledged records.
func (w *Workload) Acked() int64 { return w.acked.Load() }

// AckedOf is, of each slot, the offset after the highest that was acknowledged.
func (w *Workload) AckedOf() []int64 {
	out := make([]int64, len(w.ackedOf))
	for i := range out {
		out[i] = w.ackedOf[i].Load()
	}
	return out
}

// Unread says how many acknowledged records the first reader has not come to yet.
func (w *Workload) Unread() int64 {
	sum := int64(0)
	for i := range w.read {
		sum += max(0, w.ackedOf[i].Load()-w.read[i].Load())
	}
	return sum
}

// Tallies counts the operations by kind.
func (w *Workload) Tallies() map[string]Tally {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := map[string]Tally{}
	for k, t := range w.tallies {
		out[k] = *t
	}
	return out
}

// Acks tells when records of each slot were acknowledged.
func (w *Workload) Acks() [][]time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := make([][]time.Duration, len(w.acks))
	for i, a := range w.acks {
		out[i] = append([]time.Duration(nil), a...)
	}
	return out
}

// count counts an operation by its error, and answers its outcome.
func (w *Workload) count(kind string, err error) check.Outcome {
	o := outcome(err)
	w.mu.Lock()
	defer w.mu.Unlock()
	t := w.tallies[kind]
	switch o {
	case check.OK:
		t.OK++
	case check.Fail:
		t.Fail++
	default:
		t.Info++
	}
	return o
}

func outcome(err error) check.Outcome {
	switch {
	case err == nil:
		return check.OK
	case runnelv1.AsError(err).GetKind() == runnelv1.ErrorKind_ERROR_KIND_INDETERMINATE:
		return check.Info
	default:
		return check.Fail
	}
}

func (w *Workload) fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.err = errors.Join(w.err, err)
}

// StopSending ends sending and waits for the answers still due. Readers go on.
func (w *Workload) StopSending() {
	w.cancel()
	w.sends.Wait()
}

// Stop is StopSending, and then ends the readers. It answers what went wrong in the workload itself.
func (w *Workload) Stop() error {
	w.StopSending()
	return w.Abort()
}

// Abort ends everything at once: unanswered records are unknown.
func (w *Workload) Abort() error {
	w.stop()
	w.sends.Wait()
	w.others.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// every calls f now and then until ctx ends.
func every(ctx context.Context, d time.Duration, f func()) {
	tick := time.NewTicker(d)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			f()
		}
	}
}

func closed(cl *client.Client, name string, n int, err error) error {
	if cerr := cl.Close(); cerr != nil {
		err = errors.Join(err, cerr)
	}
	if err != nil {
		return fmt.Errorf("%s %d: %w", name, n, err)
	}
	return nil
}
