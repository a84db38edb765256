package workload

import (
	"context"
	"errors"
	"time"

	"github.com/runnel-io/runnel/bench/check"
	"github.com/runnel-io/runnel/bench/proc"
	"github.com/runnel-io/runnel/rpc/client"
)

// line is what one writer has sent to one slot.
type line struct {
	sequence int64
	// producer and gaveUp number its producers: behind a record of unknown fate the client goes on as another one. They are of the
	// goroutine that learns of fates, which come in the order of sending.
	producer int
	gaveUp   bool
}

// settle numbers the producer of a record whose fate is known.
func (l *line) settle(o check.Outcome) int {
	if o != check.Info && l.gaveUp {
		l.producer++
	}
	l.gaveUp = o == check.Info
	return l.producer
}

// write sends records round the slots until sending ends, then waits for the answers.
func (w *Workload) write(sending, all context.Context, cl *client.Client, n int) (err error) {
	defer func() { err = closed(cl, "writer", n, err) }()
	free := make(chan struct{}, w.o.InFlight)
	var pause <-chan time.Time
	if w.o.Pause > 0 {
		t := time.NewTicker(w.o.Pause)
		defer t.Stop()
		pause = t.C
	}
	lines := make([]line, len(w.slots))
	for slot := 0; ; slot = (slot + 1) % len(w.slots) {
		select {
		case free <- struct{}{}:
		case <-sending.Done():
			return ignoreCancelled(cl.Flush(all))
		}
		if pause != nil {
			select {
			case <-pause:
			case <-sending.Done():
				return ignoreCancelled(cl.Flush(all))
			}
		}
		w.send(all, cl, OpAppend, n, slot, &lines[slot], func() { <-free })
	}
}

// writeOne sends one record at a time.
func (w *Workload) writeOne(sending, all context.Context, cl *client.Client, n int) (err error) {
	defer func() { err = closed(cl, "writer", n, err) }()
	lines := make([]line, len(w.slots))
	for slot := n % len(w.slots); sending.Err() == nil; slot = (slot + 1) % len(w.slots) {
		answered := make(chan struct{})
		w.send(all, cl, OpSingle, n, slot, &lines[slot], func() { close(answered) })
		<-answered                        // the client answers within its delivery timeout, or when it is closed
		_ = proc.Wait(sending, w.o.Pause) // its end ends the loop
	}
	return nil
}

// send sends one record, records its fate and calls done.
func (w *Workload) send(ctx context.Context, cl *client.Client, kind string, writer, slot int, l *line, done func()) {
	a := check.Append{Client: writer, Partition: int32(slot), Sequence: l.sequence, Invoke: w.rec.Now()}
	l.sequence++
	s := w.slots[slot]
	cl.Produce(ctx, &client.Record{Topic: s.Topic, Partition: s.Partition, Value: Payload(a.Value())}, func(r *client.Record, err error) {
		a.Return = w.rec.Now()
		a.Outcome = w.count(kind, err)
		a.Producer = l.settle(a.Outcome)
		if a.Outcome == check.OK {
			a.Offset = r.Offset
			w.acked.Add(1)
			w.ackedAt(slot, a.Offset, a.Return)
		}
		w.rec.Append(a)
		done()
	})
}

func (w *Workload) ackedAt(slot int, offset int64, at time.Duration) {
	for {
		was := w.ackedOf[slot].Load()
		if offset < was || w.ackedOf[slot].CompareAndSwap(was, offset+1) {
			break
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.acks[slot] = append(w.acks[slot], at)
}

func ignoreCancelled(err error) error {
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}
