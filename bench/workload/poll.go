package workload

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/runnel-io/runnel/bench/check"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
	"github.com/runnel-io/runnel/rpc/client"
)

const (
	pollEvery = 50 * time.Millisecond
	pollBytes = 8 << 10
	// pollRun is how many polls are one reader: they go on where the one before ended.
	pollRun = 5
	// pollIDs is the first number of such readers, above those of clients.
	pollIDs = 1_000_000
)

// poll reads pieces of any replica of any slot, mostly near the end, where what is not committed yet would be seen.
func (w *Workload) poll(ctx context.Context, cl *client.Client, n int) (err error) {
	defer func() { err = closed(cl, "poller", n, err) }()
	conns := &Brokers{TLS: w.o.TLS}
	defer conns.Close()
	r := rand.New(rand.NewPCG(uint64(n), 3))
	reader := pollIDs * (n + 1)
	var (
		to     string // the broker of the run
		slot   int
		from   int64
		offset int64
		left   int
	)
	every(ctx, pollEvery, func() {
		if left == 0 {
			reader, left, slot = reader+1, pollRun, r.IntN(len(w.slots))
			if to = w.anyReplica(ctx, cl, w.slots[slot], r); to == "" {
				left = 0
				return
			}
			end := w.ackedOf[slot].Load()
			if offset = max(0, end-20); r.IntN(2) == 0 {
				offset = r.Int64N(end + 1)
			}
			from = offset
		}
		left--
		call, cancel := context.WithTimeout(ctx, w.o.Patience)
		defer cancel()
		p, err := conns.fetch(call, to, w.slots[slot], offset, pollBytes, pollEvery)
		if ctx.Err() != nil {
			return
		}
		w.count(OpPoll, err)
		if err != nil {
			if damage := (*DamageError)(nil); errors.As(err, &damage) {
				w.fail(fmt.Errorf("poller %d: %s/%d of %s: %w", n, w.slots[slot].Topic, w.slots[slot].Partition, to, err))
			}
			left = 0
			return
		}
		for i, v := range p.values {
			if at := p.first + int64(i); at >= offset {
				w.rec.Read(check.Read{Reader: reader, Partition: int32(slot), From: from, Offset: at, Value: v})
			}
		}
		offset = max(offset, p.next)
	})
	return nil
}

// anyReplica is the address of a broker that holds a slot, "" if nobody tells.
func (w *Workload) anyReplica(ctx context.Context, cl *client.Client, s Slot, r *rand.Rand) string {
	ctx, cancel := context.WithTimeout(ctx, w.o.Patience)
	defer cancel()
	m, err := cl.Metadata(ctx, s.Topic)
	if err != nil {
		return ""
	}
	addresses := map[int32]string{}
	for _, b := range m.GetBrokers() {
		addresses[b.GetId()] = b.GetAddress()
	}
	for _, t := range m.GetTopics() {
		for _, p := range t.GetPartitions() {
			if t.GetName() == s.Topic && p.GetPartition() == s.Partition && len(p.GetReplicas()) > 0 {
				return addresses[p.GetReplicas()[r.IntN(len(p.GetReplicas()))]]
			}
		}
	}
	return ""
}

// retriable tells whether a fetch may go on.
func retriable(e *runnelv1.Error) bool {
	return e.GetKind() == runnelv1.ErrorKind_ERROR_KIND_RETRIABLE
}
