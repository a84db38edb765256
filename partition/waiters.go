package partition

import "sync"

// waiters are those who wait for the high watermark to move. Nearly all wait at its very end, so firing looks at each. It
// is a slice, not a map, so that a simulated cluster calls them in the same order each time.
type waiters struct {
	mu     sync.Mutex
	all    []*waiter
	closed bool
	fired  []func() // reused by fire, which only the worker calls
}

type waiter struct {
	offset int64
	f      func()
	at     int // place in all, -1 once it is gone
}

// add registers a waiter; false if the partition has stopped.
func (w *waiters) add(x *waiter) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		x.at = -1
		return false
	}
	x.at = len(w.all)
	w.all = append(w.all, x)
	return true
}

// remove tells whether the waiter was still there, so that only one of those who find it calls f.
func (w *waiters) remove(x *waiter) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if x.at < 0 {
		return false
	}
	last := w.all[len(w.all)-1]
	w.all[x.at], last.at = last, x.at
	w.all[len(w.all)-1] = nil
	w.all = w.all[:len(w.all)-1]
	x.at = -1
	return true
}

// fire calls and drops those who wait for an offset below hw.
func (w *waiters) fire(hw int64) {
	w.mu.Lock()
	fired, kept := w.fired[:0], w.all[:0]
	for _, x := range w.all {
		if x.offset < hw {
			fired = append(fired, x.f)
			x.at = -1
			continue
		}
		x.at = len(kept)
		kept = append(kept, x)
	}
	clear(w.all[len(kept):])
	w.all = kept
	w.mu.Unlock()
	for i, f := range fired {
		f()
		fired[i] = nil
	}
	w.fired = fired[:0]
}

// fireAll calls and drops all.
func (w *waiters) fireAll() { w.drop(false) }

// close calls and drops all, and has later ones called at once.
func (w *waiters) close() { w.drop(true) }

func (w *waiters) drop(closing bool) {
	w.mu.Lock()
	all := w.all
	w.all = nil
	for _, x := range all {
		x.at = -1
	}
	w.closed = w.closed || closing
	w.mu.Unlock()
	for _, x := range all {
		x.f()
	}
}

// WaitBeyond calls f once when offset can be read (the high watermark is above it), or when asking again gives another
// answer: the replica stopped, lost or ended its session, or found that offset is out of range. f may be called before
// WaitBeyond returns and must not block. After cancel returns, f is not called unless it is being called already.
func (p *Partition) WaitBeyond(offset int64, f func()) (cancel func()) {
	x := &waiter{offset: offset, f: f}
	if !p.waiters.add(x) {
		f()
		return func() {}
	}
	if p.hw.Load() > offset {
		if p.waiters.remove(x) { // or it was fired meanwhile
			f()
		}
		return func() {}
	}
	if p.leading.Load() && offset > p.hw.Load() {
		p.checkBeyond(x)
	}
	return func() { p.waiters.remove(x) }
}
