package partition

import (
	"github.com/runnel-io/runnel/partition/record"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// ProduceResult is the fate of a batch.
type ProduceResult struct {
	// Base is the offset of the batch's first record, LogStart the log start at that time.
	Base     int64
	LogStart int64
	// Duplicate: the batch had been written before; Base is its original offset.
	Duplicate bool
	// Err is nil for an acknowledged batch; otherwise its kind tells whether the batch may have been written.
	Err *runnelv1.Error
}

// pending is a batch from Produce to its answer.
type pending struct {
	// buf is the entry's data: room for the envelope, then the batch. Nil once raft has its copy.
	buf  []byte
	size int64 // of the batch

	pid   int64 // -1 for none
	epoch int16
	seq   int32
	count int32

	base int64 // once a turn stamped it
	done func(ProduceResult)
	// joined are duplicates that came while it was in flight (RULES 11).
	joined []func(ProduceResult)
}

func (it *pending) finish(r ProduceResult) {
	it.done(r)
	for _, done := range it.joined {
		r.Duplicate = r.Err == nil
		done(r)
	}
	it.done, it.joined = nil, nil
}

// inflight is what this session proposed and has not applied, in offset order, and each producer's end of it.
type inflight struct {
	items []*pending
	tails map[int64]*tail
	// fresh counts tails of producers that the folded table does not have yet.
	fresh int
}

// tail is a producer's batches in flight. It has at least one, or it is not there.
type tail struct {
	items []*pending
	fresh bool
}

func newInflight() inflight { return inflight{tails: map[int64]*tail{}} }

func (f *inflight) push(it *pending, known bool) {
	f.items = append(f.items, it)
	if it.pid < 0 {
		return
	}
	t := f.tails[it.pid]
	if t == nil {
		t = &tail{fresh: !known}
		f.tails[it.pid] = t
		if t.fresh {
			f.fresh++
		}
	}
	t.items = append(t.items, it)
}

// first drops and returns the first batch if it is the one at base: it has been applied, and the folded table knows its
// producer.
func (f *inflight) first(base int64) *pending {
	if len(f.items) == 0 || f.items[0].base != base {
		return nil
	}
	it := f.items[0]
	f.items[0] = nil
	if f.items = f.items[1:]; len(f.items) == 0 {
		f.items = nil // let the array go
	}
	if t := f.tails[it.pid]; t != nil {
		f.known(t)
		t.items[0] = nil
		t.items = t.items[1:]
		f.dropIfEmpty(it.pid, t)
	}
	return it
}

// dropLast takes the newest n back: raft did not take them.
func (f *inflight) dropLast(n int) {
	for range n {
		last := len(f.items) - 1
		it := f.items[last]
		f.items[last] = nil
		f.items = f.items[:last]
		if t := f.tails[it.pid]; t != nil {
			t.items = t.items[:len(t.items)-1]
			f.dropIfEmpty(it.pid, t)
		}
	}
}

func (f *inflight) dropIfEmpty(pid int64, t *tail) {
	if len(t.items) == 0 {
		f.known(t)
		delete(f.tails, pid)
	}
}

func (f *inflight) known(t *tail) {
	if t.fresh {
		t.fresh = false
		f.fresh--
	}
}

// clear empties it and returns what there was.
func (f *inflight) clear() []*pending {
	items := f.items
	*f = newInflight()
	return items
}

// newest is the producer's last batch in flight, or nil.
func (f *inflight) newest(pid int64) *pending {
	if t := f.tails[pid]; t != nil {
		return t.items[len(t.items)-1]
	}
	return nil
}

// find looks for an equal batch in flight.
func (f *inflight) find(h *pending) *pending {
	t := f.tails[h.pid]
	if t == nil {
		return nil
	}
	for _, it := range t.items {
		if it.epoch == h.epoch && it.seq == h.seq && it.count == h.count {
			return it
		}
	}
	return nil
}

func newPending(buf []byte, h record.Header, done func(ProduceResult)) *pending {
	it := &pending{buf: buf, size: int64(len(buf) - record.EnvelopeLen), pid: -1, count: h.Count, done: done}
	if h.Idempotent() {
		it.pid, it.epoch, it.seq = h.ProducerID, h.ProducerEpoch, h.BaseSequence
	}
	return it
}
