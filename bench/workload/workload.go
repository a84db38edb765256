package workload

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/runnel-io/runnel/bench/check"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
	"github.com/runnel-io/runnel/rpc/client"
)

// Options of a workload.
type Options struct {
	Seeds      []string
	Topic      string
	Partitions int32
	Writers    int
	InFlight   int           // records a writer keeps unanswered
	Pause      time.Duration // between a writer's records; 0: none
	Readers    int
}

// Workload is a running one.
type Workload struct {
	o      Options
	rec    *check.Recorder
	cancel context.CancelFunc // ends sending
	stop   context.CancelFunc // ends reading and what is unanswered
	sends  sync.WaitGroup
	others sync.WaitGroup
	acked  atomic.Int64

	mu  sync.Mutex
	err error
}

// Start starts the writers and readers.
func Start(ctx context.Context, o Options, rec *check.Recorder) (*Workload, error) {
	all, stop := context.WithCancel(ctx)
	sending, cancel := context.WithCancel(all)
	w := &Workload{o: o, rec: rec, cancel: cancel, stop: stop}
	for i := range o.Writers {
		cl, err := client.New(o.Seeds)
		if err != nil {
			return nil, errors.Join(err, w.Abort())
		}
		w.sends.Go(func() { w.fail(w.write(sending, all, cl, i)) })
	}
	for i := range o.Readers {
		cl, err := client.New(o.Seeds)
		if err != nil {
			return nil, errors.Join(err, w.Abort())
		}
		w.others.Go(func() { w.fail(w.read(all, cl, i)) })
		w.others.Go(func() { w.askEnds(all, cl) })
	}
	return w, nil
}

// Acked counts acknowledged records.
func (w *Workload) Acked() int64 { return w.acked.Load() }

func (w *Workload) fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.err = errors.Join(w.err, err)
}

// Stop ends sending, waits for the answers still due, then ends the readers. It answers what went wrong in the workload itself.
func (w *Workload) Stop() error {
	w.cancel()
	w.sends.Wait()
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

// write sends records round the partitions until sending ends, then waits for the answers.
func (w *Workload) write(sending, all context.Context, cl *client.Client, writer int) error {
	defer cl.Close()
	slots := make(chan struct{}, w.o.InFlight)
	var pause *time.Ticker
	if w.o.Pause > 0 {
		pause = time.NewTicker(w.o.Pause)
		defer pause.Stop()
	}
	sequences := make([]int64, w.o.Partitions)
	for n := int32(0); ; n = (n + 1) % w.o.Partitions {
		select {
		case slots <- struct{}{}:
		case <-sending.Done():
			return ignoreCancelled(cl.Flush(all))
		}
		if pause != nil {
			select {
			case <-pause.C:
			case <-sending.Done():
				return ignoreCancelled(cl.Flush(all))
			}
		}
		a := check.Append{Client: writer, Partition: n, Sequence: sequences[n], Invoke: w.rec.Now()}
		sequences[n]++
		cl.Produce(all, &client.Record{Topic: w.o.Topic, Partition: n, Value: []byte(a.Value())}, func(r *client.Record, err error) {
			a.Return = w.rec.Now()
			switch {
			case err == nil:
				a.Outcome, a.Offset = check.OK, r.Offset
				w.acked.Add(1)
			case runnelv1.AsError(err).GetKind() == runnelv1.ErrorKind_ERROR_KIND_INDETERMINATE:
				a.Outcome = check.Info
			default:
				a.Outcome = check.Fail
			}
			w.rec.Append(a)
			<-slots
		})
	}
}

func ignoreCancelled(err error) error {
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

func (w *Workload) read(ctx context.Context, cl *client.Client, reader int) error {
	defer cl.Close()
	r, err := cl.NewReader(w.o.Topic, client.FromStart())
	if err != nil {
		return fmt.Errorf("reader %d: %w", reader, err)
	}
	defer r.Close()
	for rec, err := range r.Records(ctx) {
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("reader %d: %w", reader, err)
		}
		w.rec.Read(check.Read{Reader: reader, Partition: rec.Partition, Offset: rec.Offset, Value: string(rec.Value)})
	}
	return nil
}

// askEnds asks for the end of all partitions now and then; what is not answered tells nothing.
func (w *Workload) askEnds(ctx context.Context, cl *client.Client) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		invoke := w.rec.Now()
		call, cancel := context.WithTimeout(ctx, 2*time.Second)
		ends, err := cl.ListOffsets(call, w.o.Topic, client.AtEnd())
		cancel()
		if err != nil {
			continue
		}
		for p, offset := range ends {
			w.rec.End(check.End{Partition: p, Invoke: invoke, Offset: offset})
		}
	}
}
