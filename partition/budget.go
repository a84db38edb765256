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
// First come, first served, but that whoever comes later is let in where there is room for it and none for the first, until
// overtakes times as many bytes as that one wants have passed it. Without them a single record would wait behind all that
// a flood has in the queue (measured: up to six seconds, not two); without a bound a large request would wait
// for as long as small ones keep coming.
type Budget struct {
	mu      sync.Mutex
	limit   int64
	used    int64
	waiting list.List // of *budgetWait, the one that came first in front
}

const (
	overtakes = 4
	// lookPast is how many of those behind the first are looked at when bytes come back.
	lookPast = 16
)

// budgetWait is somebody who waits for bytes.
type budgetWait struct {
	bytes  int64
	passed int64         // by those that came later
	taken  chan struct{} // closed when the bytes are its own
}

// NewBudget makes a budget of so many bytes.
func NewBudget(bytes int64) *Budget { return &Budget{limit: max(bytes, 1)} }

// TryAcquire takes n bytes if they are there and nobody was passed by too many. A request larger than the whole budget gets
// it when nothing else is in flight, or it could never be served.
func (b *Budget) TryAcquire(n int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.passLocked(n)
}

// passLocked takes n bytes for somebody who comes after all that wait.
func (b *Budget) passLocked(n int64) bool {
	front := b.waiting.Front()
	if front == nil {
		return b.takeLocked(n)
	}
	first := front.Value.(*budgetWait) //nolint:forcetypeassert,errcheck // the list holds nothing else
	if first.passed+n > overtakes*first.bytes || !b.takeLocked(n) {
		return false
	}
	first.passed += n
	return true
}

// Acquire takes n bytes, as TryAcquire does, when it is its turn. With an error, which is ctx's, nothing was taken.
func (b *Budget) Acquire(ctx context.Context, n int64) error {
	b.mu.Lock()
	if b.passLocked(n) {
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

// admitLocked lets in who waits, as far as there is room and nobody is overtaken for too long.
func (b *Budget) admitLocked() {
	at := b.waiting.Front()
	for past := 0; at != nil && past < lookPast; {
		w := at.Value.(*budgetWait) //nolint:forcetypeassert,errcheck // the list holds nothing else
		place, take := at, b.passLocked
		if at == b.waiting.Front() {
			take = b.takeLocked
		}
		at = at.Next()
		if !take(w.bytes) {
			past++
			continue
		}
		b.waiting.Remove(place)
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
