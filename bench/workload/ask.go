package workload

import (
	"context"
	"time"

	"github.com/runnel-io/runnel/bench/check"
	"github.com/runnel-io/runnel/rpc/client"
)

// askEvery is the pause between two rounds of questions.
const askEvery = 50 * time.Millisecond

// ask asks for the ends and starts of a topic's partitions now and then; what is not answered tells nothing.
func (w *Workload) ask(ctx context.Context, cl *client.Client, n int) (err error) {
	defer func() { err = closed(cl, "asker", n, err) }()
	turn := 0
	every(ctx, askEvery, func() {
		t := w.o.Topics[turn%len(w.o.Topics)]
		kind, at := OpEnd, client.AtEnd()
		if turn++; turn%5 == 0 {
			kind, at = OpStart, client.AtStart()
		}
		invoke := w.rec.Now()
		call, cancel := context.WithTimeout(ctx, w.o.Patience)
		found, err := cl.ListOffsets(call, t.Name, at)
		cancel()
		if ctx.Err() != nil {
			return
		}
		w.count(kind, err)
		if err != nil {
			return
		}
		now := w.rec.Now()
		for p, offset := range found {
			slot := w.number[Slot{t.Name, p}]
			if kind == OpEnd {
				w.rec.End(check.End{Client: n, Partition: slot, Invoke: invoke, Return: now, Offset: offset})
			} else {
				w.rec.Start(check.Start{Partition: slot, Offset: offset})
			}
		}
	})
	return nil
}
