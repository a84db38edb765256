package partition

import (
	"container/list"
	"context"
	"sync"
)

// Budget bounds bytes over a whole broker, above all those of produce requests in flight (RULES 23). Whoever takes a
// request in acquires its bytes before it calls Produce and releases them when the last done was called; Produce itself
// acquires nothing, so nothing is counted twice.
//
// First come, first served: while somebody waits, nobody who comes later is let in, however little it asks for. Or a
// large request would wait for as long as small ones keep coming.
type Budget struct {
	mu      sync.Mutex
	limit   int64
	used    int64
	waiting list.List // of *budgetWait, the one that came first in front
}

// budgetWait is somebody who waits for bytes.
type budgetWait struct {
	bytes int64
	taken chan struct{} // closed when the bytes are its own
}

// NewBudget makes a budget of so many bytes.
func NewBudget(bytes int64) *Budget { return &Budget{limit: max(bytes, 1)} }

// TryAcquire takes n bytes if they are there and nobody waits. A request larger than the whole budget gets it when nothing
// else is in flight, or it could never be served.
func (b *Budget) TryAcquire(n int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.waiting.Len() == 0 && b.takeLocked(n)
}

// Acquire takes n bytes, as TryAcquire does, once everybody who came before has theirs. With an error, which is ctx's,
// nothing was taken.
func (b *Budget) Acquire(ctx context.Context, n int64) error {
	b.mu.Lock()
	if b.waiting.Len() == 0 && b.takeLocked(n) {
		b.mu.Unlock()
		return nil
	}
	w := &budgetWait{bytes: n, taken: make(chan struct{})}
	place := b.waiting.PushBack(w)
	b.mu.Unlock()
	select {
	case <-w.taken:
		return nil
	case <-ctx.Done():
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case <-w.taken: // in the same moment
		b.used -= n
	default:
		b.waiting.Remove(place)
	}
	b.admitLocked() // those behind may have waited for this one alone
	return ctx.Err()
}

func (b *Budget) takeLocked(n int64) bool {
	if b.used > 0 && b.used+n > b.limit {
		return false
	}
	b.used += n
	return true
}

// admitLocked lets in who waits, as far as there is room.
func (b *Budget) admitLocked() {
	for first := b.waiting.Front(); first != nil; first = b.waiting.Front() {
		w := first.Value.(*budgetWait) //nolint:forcetypeassert,errcheck // the list holds nothing else
		if !b.takeLocked(w.bytes) {
			return
		}
		b.waiting.Remove(first)
		close(w.taken)
	}
}

// Release gives n bytes back. It panics if more is given back than was taken: the budget would grow for good.
func (b *Budget) Release(n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used -= n
	if b.used < 0 {
		panic("partition: more released to the budget than was acquired")
	}
	b.admitLocked()
}

// Used is how many bytes are taken, Limit how many there are.
func (b *Budget) Used() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.used
}

// Limit is the budget's size in bytes.
func (b *Budget) Limit() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.limit
}

// SetLimit makes the budget another size. What is taken stays taken: of a smaller budget nothing is given out until enough came back.
func (b *Budget) SetLimit(bytes int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.limit = max(bytes, 1)
	b.admitLocked()
}
