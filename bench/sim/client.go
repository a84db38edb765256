package sim

import (
	"strings"
	"time"

	"github.com/runnel-io/runnel/bench/check"
	"github.com/runnel-io/runnel/partition"
	"github.com/runnel-io/runnel/partition/record"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// slot is one partition that clients use. Its index is the partition of the history.
type slot struct {
	topic  string
	main   int // of mains
	number int32
	group  uint64
	hint   int32 // who a client last believed to lead; shared, as by one metadata cache
}

// clients are all producers, readers and askers of a run, and what they saw.
type clients struct {
	slots     []*slot
	producers []*producer
	readers   []*reader
	history   check.History
	batches   []*batch
	acks      []ack
	nextID    int32
	stopped   bool // producers send nothing new
}

// ack is what a leader said of a batch, for I16.
type ack struct {
	slot   int
	base   int64
	term   uint64
	broker int32
	at     time.Duration
}

const (
	clientBase     = 1000 // addresses of clients
	requestLimit   = 2 * time.Second
	hastyLimit     = 250 * time.Millisecond // of producers that ask others while an old leader does not know yet that it is none
	inFlight       = 3
	maxBatch       = 5
	firstProducers = 5000
)

// startClients starts those of all slots.
func (c *Cluster) startClients() {
	for i := range c.clients.slots {
		c.startSlots([]int{i})
	}
}

// startSlots makes two producers, two readers and one asker for each slot.
func (c *Cluster) startSlots(slots []int) {
	r := c.w.Rand()
	for _, i := range slots {
		for k := range 2 {
			c.clients.nextID++
			p := &producer{c: c, id: c.clients.nextID, slot: i, limit: []time.Duration{requestLimit, hastyLimit}[k], pid: firstProducers + int64(c.clients.nextID), pace: time.Duration(30+r.Int64N(120)) * time.Millisecond}
			c.clients.producers = append(c.clients.producers, p)
			p.more()
		}
		for k := range 2 {
			c.clients.nextID++
			x := &reader{c: c, id: c.clients.nextID, slot: i, anyReplica: k == 1}
			c.clients.readers = append(c.clients.readers, x)
			x.poll()
		}
		c.clients.nextID++
		c.ask(i, c.clients.nextID)
	}
}

// target is the machine to ask for a slot: the believed leader, or any. Now and then a client knows better than the others, or worse:
// while there are two leaders, it asks the other one.
func (c *Cluster) target(s *slot) *machine {
	if c.w.Rand().Int64N(8) == 0 {
		return c.leads(s)
	}
	if m := c.byBroker[s.hint]; m != nil {
		return m
	}
	return c.machines[c.w.Rand().Int64N(int64(len(c.machines)))]
}

// leads draws a machine whose broker believes to lead a slot, or any.
func (c *Cluster) leads(s *slot) *machine {
	var ms []*machine
	for _, m := range c.machines {
		if b := m.up; b != nil && b.agent != nil && b.ready {
			if p, e := b.agent.Partition(s.topic, s.number); e == nil && p.Status().Leader {
				ms = append(ms, m)
			}
		}
	}
	if len(ms) == 0 {
		ms = c.machines
	}
	return ms[c.w.Rand().Int64N(int64(len(ms)))]
}

// learn takes an answer's word on the leader, or forgets who it was.
func (s *slot) learn(e *runnelv1.Error) {
	s.hint = 0
	if e != nil {
		s.hint = e.GetLeaderId()
	}
}

// send brings a client's request to a machine's broker. serve must call reply at most once; a reply of a dead broker is lost.
func (c *Cluster) send(client int32, m *machine, serve func(b *boot, reply func(func()))) bool {
	from := clientBase + client
	return c.net.Send(from, m.n, laneClient, func() {
		b := m.up
		if b == nil || b.over || b.agent == nil || !b.ready {
			return
		}
		serve(b, func(answer func()) {
			if b.alive() {
				c.net.Send(m.n, from, laneClient, answer)
			}
		})
	})
}

// batch is one batch of a producer, sent until its fate is known.
type batch struct {
	client  int32
	slot    int
	outcome check.Outcome
	seq     int32 // the producer's, of its first record
	values  []int64
	invoke  time.Duration
	tries   int
	head    bool // nothing before it was unacknowledged when it was sent last
	indices []int
}

// producer is one idempotent producer of one partition.
type producer struct {
	c       *Cluster
	id      int32
	slot    int
	pid     int64
	pace    time.Duration
	limit   time.Duration // of a request
	seq     int32
	value   int64
	unacked []*batch // in order
	attempt int      // answers with an error of older ones count for nothing
	resend  bool     // a resend is due
	acked   int      // records
	batches int      // acknowledged
}

// more sends a batch now and then.
func (p *producer) more() {
	c := p.c
	if c.clients.stopped {
		return
	}
	if len(p.unacked) < inFlight && !p.resend {
		p.make(1 + int(c.w.Rand().Int64N(maxBatch)))
	}
	c.w.After(p.pace/2+time.Duration(c.w.Rand().Int64N(int64(p.pace))), p.more)
}

func (p *producer) make(n int) {
	c := p.c
	b := &batch{client: p.id, slot: p.slot, seq: p.seq, invoke: c.w.Now()}
	for range n {
		b.values = append(b.values, p.value)
		b.indices = append(b.indices, len(c.clients.history.Appends))
		c.clients.history.Appends = append(c.clients.history.Appends, check.Append{Client: int(p.id), Sequence: p.value, Partition: int32(p.slot), Invoke: b.invoke})
		p.value++
	}
	p.seq += int32(n)
	c.clients.batches = append(c.clients.batches, b)
	p.unacked = append(p.unacked, b)
	p.transmit(b)
}

func (p *producer) transmit(b *batch) {
	c := p.c
	b.tries++
	b.head = p.unacked[0] == b
	attempt := p.attempt
	s := c.clients.slots[p.slot]
	m := c.target(s)
	recs := make([]record.Record, len(b.values))
	for i, v := range b.values {
		value := check.Append{Client: int(p.id), Sequence: v, Partition: int32(p.slot)}.Value()
		recs[i] = record.Record{Key: padding[:mains[s.main].padding], Value: []byte(value), TimestampMS: c.w.Env().Now().UnixMilli()}
	}
	o := record.EncodeOptions{ProducerID: p.pid, BaseSequence: b.seq}
	answered := false
	answer := func(res partition.ProduceResult) {
		if !answered {
			answered = true
			c.count("produce", asError(res.Err))
			p.answered(b, attempt, res)
		}
	}
	lost := func(text string) func() {
		return func() {
			answer(partition.ProduceResult{Err: runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_TIMEOUT, "%s", text)})
		}
	}
	ok := c.send(p.id, m, func(t *boot, reply func(func())) {
		t.produce(p.slot, recs, o, func(res partition.ProduceResult) { reply(func() { answer(res) }) })
	})
	if !ok {
		c.w.After(time.Millisecond, lost("the broker is down"))
		return
	}
	c.w.After(p.limit, lost("no answer"))
}

var padding = []byte(strings.Repeat("p", 4096))

// asError keeps nil what is nil.
func asError(e *runnelv1.Error) error {
	if e == nil {
		return nil
	}
	return e
}

// produce is what rpc/broker does with a request.
func (b *boot) produce(slot int, recs []record.Record, o record.EncodeOptions, done func(partition.ProduceResult)) {
	c := b.m.c
	s := c.clients.slots[slot]
	p, e := b.agent.Partition(s.topic, s.number)
	if e != nil {
		done(partition.ProduceResult{Err: e, Base: -1})
		return
	}
	buf, err := record.Encode(nil, recs, o)
	var h record.Header
	if err == nil {
		h, err = record.Validate(buf, p.Limits())
	}
	if err != nil {
		c.violate("run", "a batch is refused: %v", err)
		return
	}
	if n := c.faulter; n.trap != nil && p.Status().Leader {
		n.trap(b.m)
	}
	p.Produce(buf, h, func(res partition.ProduceResult) {
		if res.Err == nil && !res.Duplicate {
			st := p.Status()
			c.clients.acks = append(c.clients.acks, ack{slot: slot, base: res.Base, term: st.Term, broker: b.id, at: c.w.Now()})
		}
		done(res)
	})
}

// answered takes the answer to one try of a batch.
func (p *producer) answered(b *batch, attempt int, res partition.ProduceResult) {
	c := p.c
	at := -1
	for i, x := range p.unacked {
		if x == b {
			at = i
		}
	}
	if at < 0 {
		return // its fate is known
	}
	s := c.clients.slots[p.slot]
	if res.Err == nil {
		p.settle(at, check.OK, res.Base)
		return
	}
	if attempt != p.attempt {
		return
	}
	switch res.Err.GetReason() {
	case runnelv1.ErrorReason_ERROR_REASON_DUPLICATE_SEQUENCE:
		p.settle(at, check.Info, 0)
		return
	case runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_PRODUCER, runnelv1.ErrorReason_ERROR_REASON_PRODUCER_FENCED, runnelv1.ErrorReason_ERROR_REASON_OUT_OF_ORDER_SEQUENCE:
		if b.head { // else the batch before it is on its way still
			c.violate("run", "slot %d: producer %d, which sends as it should, is refused: %s", p.slot, p.pid, res.Err.GetMessage())
		}
	}
	noEffect := res.Err.GetKind() == runnelv1.ErrorKind_ERROR_KIND_RETRIABLE
	if noEffect && b.tries == 1 && at == len(p.unacked)-1 && !c.clients.stopped && c.w.Rand().Int64N(4) == 0 {
		// It had no effect, so its sequence is free for another.
		p.seq = b.seq
		p.settle(at, check.Fail, 0)
	}
	s.learn(res.Err)
	if p.resend || len(p.unacked) == 0 {
		return
	}
	p.resend = true
	p.attempt++
	c.w.After(time.Duration(5+c.w.Rand().Int64N(100))*time.Millisecond, func() {
		p.resend = false
		for _, x := range p.unacked {
			p.transmit(x)
		}
	})
}

// settle ends a batch.
func (p *producer) settle(at int, out check.Outcome, base int64) {
	c := p.c
	b := p.unacked[at]
	b.outcome = out
	p.unacked = append(p.unacked[:at:at], p.unacked[at+1:]...)
	for i, x := range b.indices {
		a := &c.clients.history.Appends[x]
		a.Outcome, a.Return, a.Offset = out, c.w.Now(), base+int64(i)
	}
	switch out {
	case check.OK:
		p.acked += len(b.values)
		p.batches++
		c.w.Trace("slot %d: client %d sequence %d is at %d", p.slot, p.id, b.seq, base)
	case check.Fail:
		c.w.Trace("slot %d: client %d sequence %d failed", p.slot, p.id, b.seq)
	}
}
