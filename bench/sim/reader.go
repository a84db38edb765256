package sim

import (
	"errors"
	"time"

	"github.com/runnel-io/runnel/bench/check"
	"github.com/runnel-io/runnel/partition"
	"github.com/runnel-io/runnel/partition/record"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// reader reads one partition from its start, from the leader or from any replica.
type reader struct {
	c          *Cluster
	id         int32
	slot       int
	anyReplica bool
	from, at   int64 // where it began, and what it reads next
	round      int
}

// poll asks once; the answer or its time-out asks again.
func (x *reader) poll() {
	c := x.c
	x.round++
	round := x.round
	s := c.clients.slots[x.slot]
	m := c.target(s)
	if x.anyReplica {
		m = c.holder(s)
	}
	again := func(wait time.Duration) {
		if x.round == round {
			x.round++
			c.w.After(wait, x.poll)
		}
	}
	req := partition.FetchRequest{Offset: x.at, MaxBytes: 8 << 10, AnyReplica: x.anyReplica}
	ok := c.send(x.id, m, func(b *boot, reply func(func())) {
		b.fetch(s, req, func(res partition.FetchResult, err error) {
			reply(func() {
				if x.round == round {
					c.count("fetch", err)
					x.got(req, res, err)
					again(time.Duration(c.w.Rand().Int64N(50)) * time.Millisecond)
				}
			})
		})
	})
	if !ok {
		if !x.anyReplica {
			s.hint = 0
		}
		c.count("fetch", errDown)
		again(50 * time.Millisecond)
		return
	}
	c.w.After(requestLimit, func() {
		if x.round == round {
			c.count("fetch", errSilent)
		}
		again(0)
	})
}

// What a client makes of a broker that refuses its connection, and of one that does not answer.
var (
	errDown   = runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_UNAVAILABLE, "the broker is down")
	errSilent = runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_TIMEOUT, "no answer")
)

// fetch is what rpc/broker does: what is there, or what comes within a while.
func (b *boot) fetch(s *slot, req partition.FetchRequest, done func(partition.FetchResult, error)) {
	p, e := b.agent.Partition(s.topic, s.number)
	if e != nil {
		done(partition.FetchResult{}, e)
		return
	}
	res, err := p.TryFetch(req, nil)
	if err != nil || len(res.Batches) > 0 {
		done(res, err)
		return
	}
	over := false
	finish := func() {
		if !over {
			over = true
			res, err := p.TryFetch(req, nil)
			done(res, err)
		}
	}
	// The waiter must not read from the disk on the partition's worker.
	cancel := p.WaitBeyond(req.Offset, func() { b.env.AfterFunc(0, finish) })
	b.env.AfterFunc(500*time.Millisecond, func() {
		cancel()
		finish()
	})
}

func (x *reader) got(req partition.FetchRequest, res partition.FetchResult, err error) {
	c := x.c
	s := c.clients.slots[x.slot]
	if res.LogStart > 0 { // retention ran
		c.clients.history.Starts = append(c.clients.history.Starts, check.Start{Partition: int32(x.slot), Offset: res.LogStart})
	}
	if err != nil {
		e := runnelv1.AsError(err)
		switch {
		case e.GetReason() != runnelv1.ErrorReason_ERROR_REASON_OFFSET_OUT_OF_RANGE:
			if !x.anyReplica {
				s.learn(e)
			}
		case req.Offset < res.LogStart:
			// Retention overtook it: it goes on as another reader.
			c.clients.nextID++
			x.id, x.from, x.at = c.clients.nextID, res.LogStart, res.LogStart
		default:
			c.violate("I12", "slot %d: reader %d read up to %d, and is told that this is beyond the end: %s", x.slot, x.id, req.Offset, e.GetMessage())
		}
		return
	}
	for _, r := range c.decode(res.Batches) {
		if r.offset < x.at {
			continue // the batch began before
		}
		x.at = r.offset + 1
		c.clients.history.Reads = append(c.clients.history.Reads, check.Read{Reader: int(x.id), Partition: int32(x.slot), From: x.from, Offset: r.offset, Value: r.value})
	}
}

type read struct {
	offset int64
	value  string
	epoch  int32
}

// decode takes batches apart and checks them (I4).
func (c *Cluster) decode(batches []byte) []read {
	var out []read
	for b, err := range record.Batches(batches) {
		var h record.Header
		if err == nil {
			h, err = record.ParseHeader(b)
		}
		if err == nil {
			err = errors.Join(record.CheckCRC(b), record.Each(b, 1<<20, func(o int64, r record.Record) error {
				out = append(out, read{offset: o, value: string(r.Value), epoch: h.LeaderEpoch})
				return nil
			}))
		}
		if err != nil {
			c.violate("I4", "an unreadable batch was served: %v", err)
			break
		}
	}
	return out
}

// holder draws a machine that has a replica of a slot, as the newest state has it; now and then any.
func (c *Cluster) holder(s *slot) *machine {
	r := c.w.Rand()
	if t := c.newest().Topics[s.topic]; t != nil && int(s.number) < len(t.Partitions) && r.Int64N(8) > 0 {
		rs := t.Partitions[s.number].Replicas
		if m := c.byBroker[rs[r.Int64N(int64(len(rs)))].Broker]; m != nil {
			return m
		}
	}
	return c.machines[r.Int64N(int64(len(c.machines)))]
}

// ask asks for a partition's end, linearizably, now and then.
func (c *Cluster) ask(i int, client int32) {
	s := c.clients.slots[i]
	if c.clients.stopped {
		return
	}
	invoke := c.w.Now()
	counted := false
	answer := func(end int64, err error) {
		if !counted {
			counted = true
			c.count("end", err)
		}
		if err == nil {
			c.clients.history.Ends = append(c.clients.history.Ends, check.End{Partition: int32(i), Invoke: invoke, Offset: end})
		}
	}
	ok := c.send(client, c.leads(s), func(b *boot, reply func(func())) {
		p, e := b.agent.Partition(s.topic, s.number)
		if e != nil {
			reply(func() {
				answer(0, e)
				s.learn(e)
			})
			return
		}
		c.start(b, func() {
			end, err := p.EndOffset(b.ctx)
			reply(func() { answer(end, err) })
		})
	})
	if !ok {
		answer(0, errDown)
	}
	c.w.After(askLimit, func() { answer(0, errSilent) })
	c.w.After(time.Duration(50+c.w.Rand().Int64N(300))*time.Millisecond, func() { c.ask(i, client) })
}
