package workload

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/runnel-io/runnel/bench/check"
	"github.com/runnel-io/runnel/rpc/client"
)

// follow reads all slots from their start. Where retention overtakes it, it goes on at the log start. An error ends it: the SDK tries on
// by itself for as long as there is hope.
func (w *Workload) follow(ctx context.Context, cl *client.Client, n int) (err error) {
	defer func() { err = closed(cl, "reader", n, err) }()
	var wg sync.WaitGroup
	var mu sync.Mutex
	first := w.readers.Add(1) == 1
	for _, t := range w.o.Topics {
		wg.Go(func() {
			if ferr := w.followTopic(ctx, cl, n, t, first); ferr != nil {
				mu.Lock()
				err = errors.Join(err, ferr)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return err
}

func (w *Workload) followTopic(ctx context.Context, cl *client.Client, n int, t Topic, first bool) error {
	r, err := cl.NewReader(t.Name, client.FromStart(), client.ResetToStart())
	if err != nil {
		return fmt.Errorf("topic %s: %w", t.Name, err)
	}
	defer r.Close()
	for rec, err := range r.Records(ctx) {
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			w.count(OpFollow, err)
			return fmt.Errorf("topic %s: %w", t.Name, err)
		}
		slot := w.number[Slot{t.Name, rec.Partition}]
		w.rec.Read(check.Read{Reader: n, Partition: slot, From: 0, Offset: rec.Offset, Value: Value(rec.Value)})
		w.count(OpFollow, nil)
		if first {
			w.read[slot].Store(rec.Offset + 1)
		}
	}
	return nil
}
