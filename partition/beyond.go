package partition

import "sync"

// An offset above the high watermark is out of range only if a leader in session says so after a ReadIndex (RULES 16): this
// replica may be a deposed leader whose watermark lags. TryFetch cannot wait for that. So it answers "nothing yet"; the
// WaitBeyond that follows starts a ReadIndex; and if that proves the offset to be beyond the end, the waiter is called
// and the TryFetch that follows at that offset answers OFFSET_OUT_OF_RANGE, once. If no quorum answers the ReadIndex, the
// waiter is called as well, so that it asks again.

// beyondTTL is how long, in ms, such a proof waits to be told.
const beyondTTL = 1000

// maxProofs bounds the proofs kept; they live for a moment.
const maxProofs = 1024

// beyondEnd holds, for offsets proven to be beyond the end, when that was and how many are to be told.
type beyondEnd struct {
	mu     sync.Mutex
	proofs map[int64]proof
}

type proof struct {
	atMS  int64
	count int
}

func (b *beyondEnd) add(offset, now int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for o, pr := range b.proofs {
		if now-pr.atMS > beyondTTL || now < pr.atMS {
			delete(b.proofs, o)
		}
	}
	if len(b.proofs) >= maxProofs {
		return // whoever asked asks again
	}
	if b.proofs == nil {
		b.proofs = map[int64]proof{}
	}
	b.proofs[offset] = proof{atMS: now, count: b.proofs[offset].count + 1}
}

func (b *beyondEnd) take(offset, now int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	pr, ok := b.proofs[offset]
	if !ok {
		return false
	}
	if pr.count--; pr.count > 0 {
		b.proofs[offset] = pr
	} else {
		delete(b.proofs, offset)
	}
	return now >= pr.atMS && now-pr.atMS <= beyondTTL
}

func (b *beyondEnd) clear() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.proofs = nil
}

// checkBeyond finds out whether a waiter's offset is beyond the end.
func (p *Partition) checkBeyond(x *waiter) {
	a := p.attached.Load()
	if a == nil {
		return
	}
	a.group.ReadIndex(func(_ uint64, err error) {
		// On the worker, after apply. If it failed, the waiter is called to ask again: while the session lasts nothing else
		// need ever call it. That is no spin: in a session a read fails by its timeout, and after one nobody comes here.
		if x.offset <= p.hw.Load() || !p.waiters.remove(x) {
			return
		}
		if err == nil {
			p.beyond.add(x.offset, p.cfg.Env.Now().UnixMilli())
		}
		x.f()
	})
}
