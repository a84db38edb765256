package partition

import (
	"context"
	"sync"
)

// Budget bounds the bytes of produce requests in flight over a whole broker (RULES 23). Whoever takes a request in
// acquires its bytes before it calls Produce and releases them when the last done was called; Produce itself acquires
// nothing, so nothing is counted twice.
type Budget struct {
	mu     sync.Mutex
	limit  int64
	used   int64
	change chan struct{} // closed and replaced when bytes come back; nil while nobody waits
}

// NewBudget makes a budget of so many bytes.
func NewBudget(bytes int64) *Budget { return &Budget{limit: max(bytes, 1)} }

// TryAcquire takes n bytes if they are there. A request larger than the whole budget gets it when nothing else is in
// flight, or it could never be served.
func (b *Budget) TryAcquire(n int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.used > 0 && b.used+n > b.limit {
		return false
	}
	b.used += n
	return true
}

// Release gives n bytes back. It panics if more is given back than was taken: the budget would grow for good.
func (b *Budget) Release(n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used -= n
	if b.used < 0 {
		panic("partition: more released to the produce budget than was acquired")
	}
	if b.change != nil {
		close(b.change)
		b.change = nil
	}
}

// Wait returns when bytes came back or some are free, so that TryAcquire is worth another try, or with ctx's error.
func (b *Budget) Wait(ctx context.Context) error {
	b.mu.Lock()
	if b.used == 0 {
		b.mu.Unlock()
		return ctx.Err()
	}
	if b.change == nil {
		b.change = make(chan struct{})
	}
	change := b.change
	b.mu.Unlock()
	select {
	case <-change:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
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
	if b.change != nil {
		close(b.change)
		b.change = nil
	}
}
