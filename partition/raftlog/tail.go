package raftlog

import (
	"sort"
	"sync"
	"sync/atomic"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/runnel-io/runnel/partition/record"
)

// tailOverhead is what an entry costs in memory besides its data.
const tailOverhead = 256

// tailEntry is a recent entry in memory. The entry is shared with raft and never changed.
type tailEntry struct {
	e          *raftpb.Entry
	base, next int64
	runMax     int64
	kind       record.Kind
	void       bool
	seq        uint64 // tailBudget.clock when it came in: its age in bytes
	pos        uint64 // bytes of entries since the log was opened, up to and with this one
}

func (t *tailEntry) batch() bool { return t.kind == record.KindBatch && !t.void }

func (t *tailEntry) payload() []byte { return t.e.Data[record.EnvelopeLen:] }

func (t *tailEntry) cost() int64 { return int64(len(t.e.Data)) + tailOverhead }

// tail is a run of entries that ends at the log's last entry. Guarded by Log.mu.
type tail struct {
	ents  []tailEntry // ents[head:] are live
	head  int
	first uint64 // index of ents[head]; last+1 when empty
}

func (t *tail) len() int               { return len(t.ents) - t.head }
func (t *tail) at(i uint64) *tailEntry { return &t.ents[t.head+int(i-t.first)] }
func (t *tail) live() []tailEntry      { return t.ents[t.head:] }

// has tells whether entry i is here.
func (t *tail) has(i uint64) bool { return i >= t.first && i-t.first < uint64(t.len()) }

// push appends the entry that follows the last one.
func (t *tail) push(e tailEntry) {
	if len(t.ents) == cap(t.ents) && t.head > len(t.ents)/2 {
		n := copy(t.ents, t.ents[t.head:])
		clear(t.ents[n:])
		t.ents, t.head = t.ents[:n], 0
	}
	t.ents = append(t.ents, e)
}

// dropFirst lets the oldest entry go and returns its cost.
func (t *tail) dropFirst() int64 {
	c := t.ents[t.head].cost()
	t.ents[t.head] = tailEntry{}
	t.head++
	t.first++
	if t.head == len(t.ents) {
		t.ents, t.head = nil, 0 // an idle log keeps no memory
	}
	return c
}

// truncate drops the entries from index on and returns their cost.
func (t *tail) truncate(from uint64) (cost int64) {
	for t.len() > 0 && t.first+uint64(t.len()) > from {
		n := len(t.ents) - 1
		cost += t.ents[n].cost()
		t.ents[n] = tailEntry{}
		t.ents = t.ents[:n]
	}
	if t.len() == 0 && from < t.first {
		t.first = from
	}
	return cost
}

// findOffset returns the index of the first entry whose next offset is above offset.
func (t *tail) findOffset(offset int64) uint64 {
	live := t.live()
	return t.first + uint64(sort.Search(len(live), func(i int) bool { return live[i].next > offset }))
}

// tailBudget is the memory for recent entries of all logs of a broker. Age is measured in bytes that came in since, so
// evicting all above an age is first in, first out over the whole broker, without one list that all logs share.
type tailBudget struct {
	max   int64
	used  atomic.Int64
	clock atomic.Uint64 // bytes ever added

	mu      sync.Mutex // one reclaim at a time
	nextRun uint64     // clock before which another reclaim would find nothing new
	logs    map[*Log]struct{}
}

// add charges cost and returns the entry's birth.
func (b *tailBudget) add(cost int64) (seq uint64) {
	b.used.Add(cost)
	return b.clock.Add(uint64(cost))
}

func (b *tailBudget) sub(cost int64) { b.used.Add(-cost) }

func (b *tailBudget) join(l *Log) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.logs == nil {
		b.logs = map[*Log]struct{}{}
	}
	b.logs[l] = struct{}{}
}

func (b *tailBudget) leave(l *Log) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.logs, l)
}

// reclaim evicts the oldest entries of all logs when the budget is overdrawn. No Log.mu may be held. Entries above a
// log's applied index stay (RULES 18), so the budget can be overdrawn by what is in flight.
func (b *tailBudget) reclaim() {
	if b.used.Load() <= b.max || !b.mu.TryLock() {
		return // another append reclaims for all
	}
	defer b.mu.Unlock()
	now := b.clock.Load()
	if now < b.nextRun {
		return
	}
	keep := uint64(b.max - b.max/8)
	if now > keep {
		for l := range b.logs {
			l.evict(now - keep)
		}
	}
	b.nextRun = now + uint64(b.max/16)
}

// evict drops unpinned entries and prefetched windows older than cut.
func (l *Log) evict(cut uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var freed int64
	for l.tail.len() > 0 && l.tail.first <= l.applied && l.tail.live()[0].seq < cut {
		freed += l.tail.dropFirst()
	}
	kept := l.windows[:0]
	for _, w := range l.windows {
		if w.seq < cut {
			freed += w.cost
			continue
		}
		kept = append(kept, w)
	}
	clear(l.windows[len(kept):])
	l.windows = kept
	l.s.tails.sub(freed)
}
