package client

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/runnel-io/runnel/partition/record"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// recordOverhead is what a record without key, value and headers is counted as in the buffer.
const recordOverhead = 32

// producer takes records and sees them acknowledged. One lock guards its state, and is never held while a promise runs,
// a batch is built or the network is used.
//
// Its goroutines: one sink for each broker that leads something (sink.go), one receiver for each open stream (answer.go),
// one that runs promises (promise.go), one that looks after time-outs (expire.go), one that fetches producer ids (ids.go).
type producer struct {
	cfg     config
	meta    *metadata
	refresh *refresher
	conns   *conns
	log     *slog.Logger
	pools   pools

	ctx    context.Context
	cancel context.CancelFunc
	// wg counts everything but the promise goroutine, which ends last.
	wg sync.WaitGroup

	mu       sync.Mutex
	closed   bool
	topics   map[string]*topicQueues
	sinks    map[int32]*sink
	ids      idState
	attempts uint64

	// used is the bytes of the buffer that are taken; room is closed when some become free, nil if nobody waits.
	used int
	room chan struct{}
	// unfinished counts records whose promise has not returned; idle is closed when there are none, nil if nobody waits.
	unfinished int
	idle       chan struct{}
	// flushing counts Flush calls; linger is off while there is one.
	flushing int

	// finished is for the promise goroutine, which is poked for it. It holds no more than the buffer did.
	finished []*batch
	poke     chan struct{}
	drained  chan struct{} // closed when the promise goroutine has ended
	last     bool          // nothing will be finished any more
}

// topicQueues is a topic's partitions and the choice between them.
type topicQueues struct {
	name  string
	parts []*queue // empty: not known yet
	// pending are records that came before the partitions were known.
	pending []pendingRecord
	// batchBytes bounds a batch: the client's setting, or what the topic takes if that is less.
	batchBytes int
	// sticky is the partition that records without a key go to until stickyBytes reach the size of a batch, or stickyFor is over.
	sticky      *queue
	stickyBytes int
	stickySince time.Time
}

type pendingRecord struct {
	item
	room int
	born time.Time
}

func newProducer(ctx context.Context, cfg config, m *metadata, r *refresher, c *conns) *producer {
	p := &producer{
		cfg: cfg, meta: m, refresh: r, conns: c, log: cfg.log,
		topics: make(map[string]*topicQueues), sinks: make(map[int32]*sink),
		poke: make(chan struct{}, 1), drained: make(chan struct{}),
	}
	p.ctx, p.cancel = context.WithCancel(ctx)
	p.ids.poke = make(chan struct{}, 1)
	p.wg.Go(p.runExpiry)
	p.wg.Go(p.runIDs)
	go p.runPromises() // awaited by close through drained
	r.add(p)
	return p
}

func (p *producer) produce(ctx context.Context, r *Record, promise func(*Record, error)) {
	size := recordOverhead + len(r.Key) + len(r.Value)
	for i := range r.Headers {
		size += 8 + len(r.Headers[i].Key) + len(r.Headers[i].Value)
	}
	it := item{r, promise}
	p.mu.Lock()
	if err := p.admitLocked(ctx, r, size); err != nil {
		p.rejectLocked(it, err)
		p.mu.Unlock()
		return
	}
	p.used += size
	p.unfinished++
	now := time.Now()
	if r.Timestamp.IsZero() {
		r.Timestamp = now
	}
	t := p.topics[r.Topic]
	if t == nil {
		t = &topicQueues{name: r.Topic, batchBytes: p.cfg.batchBytes}
		p.topics[r.Topic] = t
		if v, ok := p.meta.track(r.Topic); ok {
			p.setPartitionsLocked(t, v)
		}
	}
	if len(t.parts) == 0 {
		t.pending = append(t.pending, pendingRecord{it, size, now})
		p.mu.Unlock()
		p.refresh.trigger()
		return
	}
	p.appendLocked(t, it, size, now)
	p.mu.Unlock()
}

// admitLocked waits until the buffer has room for size bytes. It gives the lock away while it waits.
func (p *producer) admitLocked(ctx context.Context, r *Record, size int) *Error {
	switch {
	case r.Topic == "":
		return runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, "the record has no topic")
	case r.Partition < AnyPartition:
		return runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT,
			"partition is %d: use AnyPartition (-1) or a partition of the topic", r.Partition)
	case size > p.cfg.bufferBytes:
		return runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_BATCH_TOO_LARGE,
			"the record has %d bytes, the client's whole buffer %d: see WithBufferBytes", size, p.cfg.bufferBytes)
	}
	for !p.closed && p.used+size > p.cfg.bufferBytes {
		if p.room == nil {
			p.room = make(chan struct{})
		}
		room := p.room
		p.mu.Unlock()
		var err error
		select {
		case <-room:
		case <-ctx.Done():
			err = ctx.Err()
		}
		p.mu.Lock()
		if err != nil {
			return notWritten(runnelv1.ErrorReason_ERROR_REASON_TIMEOUT,
				fmt.Sprintf("gave up waiting for room in the buffer: %v", err))
		}
	}
	if p.closed {
		return errClosed()
	}
	return nil
}

// notWritten is an error of a record that no attempt can have written: it had no effect, and producing it again is safe.
func notWritten(reason runnelv1.ErrorReason, msg string) *Error {
	return &Error{Kind: runnelv1.ErrorKind_ERROR_KIND_RETRIABLE, Reason: reason, Message: msg}
}

func errClosed() *Error {
	return notWritten(runnelv1.ErrorReason_ERROR_REASON_STOPPING, "the client was closed before the record was written: call Flush before Close")
}

// errClosedCall ends a call: trying again is of no use.
func errClosedCall() *Error {
	return &Error{Kind: runnelv1.ErrorKind_ERROR_KIND_DEFINITE, Reason: runnelv1.ErrorReason_ERROR_REASON_STOPPING, Message: "the client is closed"}
}

// rejectLocked fails a record that was never accepted.
func (p *producer) rejectLocked(it item, err *Error) {
	p.unfinished++
	p.finishLocked(&batch{items: []item{it}, state: stateFailed, err: err})
}

// appendLocked puts a record into the open batch of its partition.
func (p *producer) appendLocked(t *topicQueues, it item, size int, born time.Time) {
	q, err := t.choose(it.r, size, born)
	if err != nil {
		p.finishLocked(&batch{items: []item{it}, state: stateFailed, err: err, room: size})
		return
	}
	b, changed := q.open, false
	if b != nil && b.builder.Len()+size > t.batchBytes {
		q.full, q.open, b, changed = append(q.full, b), nil, nil, true
	}
	if b == nil {
		b = p.pools.batch(q, born)
		q.open, changed = b, true
	}
	b.builder.Add(record.Record{Key: it.r.Key, Value: it.r.Value, Headers: it.r.Headers, TimestampMS: it.r.Timestamp.UnixMilli()})
	b.items = append(b.items, it)
	b.room += size
	if b.builder.Len() >= t.batchBytes {
		q.full, q.open, changed = append(q.full, b), nil, true
	}
	if changed { // one more record in the same batch changes nothing about when it is sent
		p.readyLocked(q)
		if q.leader.id == noLeader {
			p.refresh.trigger() // nobody may be looking for one: the partition was empty until now
		}
	}
}

// setPartitionsLocked makes queues for the partitions of a topic and hands the records that waited for them on. A topic that was deleted
// and made again may have fewer: what the others still have is failed.
func (p *producer) setPartitionsLocked(t *topicQueues, v *topicView) {
	if v.maxBatch > 0 {
		t.batchBytes = min(p.cfg.batchBytes, v.maxBatch)
	}
	if n := len(v.leaders); n < len(t.parts) {
		for _, q := range t.parts[n:] {
			p.dropQueueLocked(q, t.unknownPartition(q.num, n))
		}
		clear(t.parts[n:])
		t.parts, t.sticky = t.parts[:n], nil
	}
	for n := len(t.parts); n < len(v.leaders); n++ {
		t.parts = append(t.parts, p.newQueueLocked(t.name, int32(n)))
	}
	for n, l := range v.leaders {
		q := t.parts[n]
		if q.leader != l {
			// A partition that moved need not wait out a pause that was meant for the old leader. Without a newer term it must the
			// second time: two brokers may each name the other for a while.
			if l.id != noLeader && (l.term > q.leader.term || q.leader.id != l.id && q.failures <= 1) {
				q.notBefore = time.Time{}
			}
			if l.term > q.leader.term {
				q.failures, q.lost = 0, false
			}
			p.followLocked(q, l)
			p.readyLocked(q)
		}
	}
	pending := t.pending
	t.pending = nil
	for _, r := range pending {
		p.appendLocked(t, r.item, r.room, r.born)
	}
}

// metadataChanged takes in addresses, leaders and topics.
func (p *producer) metadataChanged() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.leaveOldAddressesLocked()
	for name, t := range p.topics {
		v := p.meta.topic(name)
		switch {
		case v.err != nil:
			p.dropTopicLocked(t, v.err)
		case len(v.leaders) > 0:
			p.setPartitionsLocked(t, v)
		}
	}
}

// dropTopicLocked fails everything of a topic that does not exist, or cannot be written, and forgets it.
func (p *producer) dropTopicLocked(t *topicQueues, err *Error) {
	delete(p.topics, t.name)
	p.failTopicLocked(t, err)
}

// failTopicLocked finishes all of a topic's records, in the order of each partition.
func (p *producer) failTopicLocked(t *topicQueues, err *Error) {
	for _, q := range t.parts {
		p.dropQueueLocked(q, err)
	}
	for _, r := range t.pending {
		p.finishLocked(&batch{items: []item{r.item}, state: stateFailed, err: err, room: r.room})
	}
	t.pending = nil
}

// wantsLeader tells whether records wait for a topic or for a leader.
func (p *producer) wantsLeader() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, t := range p.topics {
		if len(t.pending) > 0 {
			return true
		}
		for _, q := range t.parts {
			if (q.leader.id == noLeader || q.lost) && !q.empty() {
				return true
			}
		}
	}
	return false
}

// close fails what is not acknowledged and waits for every goroutine and promise.
func (p *producer) close() {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		<-p.drained
		return
	}
	p.closed = true
	if p.room != nil {
		close(p.room)
		p.room = nil
	}
	p.mu.Unlock()
	p.refresh.remove(p)
	p.cancel()
	p.wg.Wait()
	p.mu.Lock()
	for _, t := range p.topics {
		p.failTopicLocked(t, errClosed())
	}
	clear(p.topics)
	p.last = true
	p.mu.Unlock()
	p.pokePromises()
	<-p.drained
}
