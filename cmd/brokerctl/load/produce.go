package load

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/runnel-io/runnel/rpc/client"
)

// sendPlan is what a set of producers does.
type sendPlan struct {
	win window
	// records is how many the producers send together in the window; 0: as many as fit into it.
	records int64
	rate    float64
	// oneByOne waits for each ack and gives each producer a partition of its own; otherwise the client chooses.
	oneByOne bool
	// stamp, if not nil, marks the records for an end-to-end run.
	stamp *stamp
	// meters, one for each client, count the acks.
	meters []*meter
}

// produceOnly is the produce and the latency mode.
func (r *run) produceOnly(ctx context.Context) error {
	// One at a time there is nothing to drain, so a counted or paced run and a latency run go by the time of sending.
	r.openWindow(r.cfg.Rate > 0 || r.cfg.Records > 0 || r.cfg.Mode == Latency)
	r.meters = newMeters(r.cfg.Clients, r.win)
	r.enter(measuring, r.meters...)
	return r.send(ctx, sendPlan{
		win: r.win, records: r.cfg.Records, rate: r.cfg.Rate, oneByOne: r.cfg.Mode == Latency, meters: r.meters,
	})
}

func newMeters(n int, win window) []*meter {
	ms := make([]*meter, n)
	for i := range ms {
		ms[i] = newMeter(win)
	}
	return ms
}

// send runs the producers until the plan is done or ctx ends, and returns when the fate of every record is known.
func (r *run) send(ctx context.Context, p sendPlan) (err error) {
	clients, closeAll, err := r.openProducers(len(p.meters))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeAll()) }()

	began := time.Now()
	var g errgroup.Group
	for i := range r.cfg.Producers {
		s := &sender{
			plan: p, topic: r.topic, client: clients[i%len(clients)], meter: p.meters[i%len(clients)],
			values: newPayloads(r.ring, r.cfg.RecordSize, i, r.cfg.Producers), partition: -1, quota: -1,
		}
		if p.records > 0 {
			s.quota = p.records / int64(r.cfg.Producers)
			if int64(i) < p.records%int64(r.cfg.Producers) {
				s.quota++
			}
		}
		if p.oneByOne {
			s.partition = int32(i) % r.partitions
			s.acked = make(chan struct{}, 1)
		}
		s.slots.New = s.newSlot
		g.Go(func() error {
			if p.rate > 0 {
				w, err := r.waiters(ctx)
				if err != nil {
					return err
				}
				defer func() { _ = w.close() }()
				s.pacer = newPacer(began, p.rate, i, r.cfg.Producers, w)
			}
			return s.loop(ctx)
		})
	}
	err = g.Wait()
	r.enter("draining", p.meters...)
	flushCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.cfg.Timeout)
	defer cancel()
	for _, c := range clients {
		if flushErr := c.Flush(flushCtx); flushErr != nil {
			err = errors.Join(err, fmt.Errorf("waiting for the last acks (--timeout bounds it): %w", flushErr))
		}
	}
	return err
}

func (r *run) openProducers(n int) ([]Producer, func() error, error) {
	var clients []Producer
	closeAll := func() error {
		var errs []error
		for _, c := range clients {
			errs = append(errs, c.Close())
		}
		return errors.Join(errs...)
	}
	for range n {
		c, err := r.cluster.Producer(ProducerOptions{
			BatchBytes: r.cfg.BatchBytes, BufferBytes: r.cfg.BufferBytes, Linger: r.cfg.Linger,
			Compression: r.cfg.Compression, DeliveryTimeout: r.cfg.Timeout,
		})
		if err != nil {
			return nil, nil, errors.Join(err, closeAll())
		}
		clients = append(clients, c)
	}
	return clients, closeAll, nil
}

// sender is one producer.
type sender struct {
	plan      sendPlan
	topic     string
	client    Producer
	meter     *meter
	values    *payloads
	partition int32
	quota     int64 // records left to send in the window; negative: no limit
	pacer     *pacer
	acked     chan struct{} // with oneByOne: the ack of the record under way; never blocks, it has room for that one
	slots     sync.Pool
}

// slot is a record under way. Slots are used again, so that a record costs no allocation; the promise is made once with
// the slot, which is how the ack finds the time of sending.
type slot struct {
	rec     client.Record
	sent    time.Time
	value   []byte // the slot's own bytes, for stamped records
	promise func(*client.Record, error)
}

func (s *sender) newSlot() any {
	sl := &slot{}
	if s.plan.stamp != nil {
		sl.value = make([]byte, s.values.size)
	}
	sl.promise = func(_ *client.Record, err error) {
		if err != nil {
			s.meter.fail(err, 1)
		} else {
			s.meter.ack(sl.sent, len(sl.rec.Value))
		}
		s.slots.Put(sl)
		if s.acked != nil {
			s.acked <- struct{}{}
		}
	}
	return sl
}

// loop sends until the window or the quota ends, ctx does, or records are refused for good.
func (s *sender) loop(ctx context.Context) error {
	// An interrupt ends the loop, not the records already under way: their fate is still of interest. What bounds a
	// Produce on a full buffer is the delivery time-out.
	sendCtx := context.WithoutCancel(ctx)
	for ctx.Err() == nil && !s.meter.refused.Load() {
		at, err := s.nextTime(ctx)
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		if to := s.plan.win.to; !to.IsZero() && !at.Before(to) {
			return nil
		}
		if s.quota >= 0 && !at.Before(s.plan.win.from) {
			if s.quota == 0 {
				return nil
			}
			s.quota--
		}
		sl := s.slots.Get().(*slot)
		value := s.values.next()
		if s.plan.stamp != nil {
			value = s.plan.stamp.put(sl.value, value, at)
		}
		sl.sent = at
		sl.rec = client.Record{Topic: s.topic, Partition: s.partition, Value: value, Timestamp: at}
		s.client.Produce(sendCtx, &sl.rec, sl.promise)
		if s.acked != nil {
			<-s.acked
		}
	}
	return nil
}

// nextTime is when the next record is due: now, without a pacer.
func (s *sender) nextTime(ctx context.Context) (time.Time, error) {
	if s.pacer == nil {
		return time.Now(), nil
	}
	return s.pacer.next(ctx)
}

// stamp marks end-to-end records with their run and the time they were due, so that a consumer in the same process can
// tell how long they took.
type stamp struct {
	id    uint64
	began time.Time // carries the monotonic clock, which the stamped time is relative to
}

// put writes a stamped copy of value into dst, which is as long.
func (st *stamp) put(dst, value []byte, due time.Time) []byte {
	n := copy(dst, value)
	binary.LittleEndian.PutUint64(dst, st.id)
	binary.LittleEndian.PutUint64(dst[8:], uint64(due.Sub(st.began)))
	return dst[:n]
}

// open tells when a record of this run was due; ok is false for anybody else's record.
func (st *stamp) open(value []byte) (due time.Time, ok bool) {
	if len(value) < stampBytes || binary.LittleEndian.Uint64(value) != st.id {
		return time.Time{}, false
	}
	return st.began.Add(time.Duration(binary.LittleEndian.Uint64(value[8:]))), true
}
