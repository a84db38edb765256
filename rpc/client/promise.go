package client

import (
	"context"

	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// finishLocked hands a batch whose fate is known to the promise goroutine. Batches of a partition come in order.
func (p *producer) finishLocked(b *batch) {
	if p.last {
		// Only a record rejected after Close comes here; the goroutine is gone or going.
		p.mu.Unlock()
		b.keepPromises()
		p.mu.Lock()
		p.keptLocked(b)
		return
	}
	p.finished = append(p.finished, b)
	p.pokePromises()
}

func (p *producer) pokePromises() {
	select {
	case p.poke <- struct{}{}:
	default:
	}
}

// runPromises runs promises, one after the other, until close has finished the last batch.
func (p *producer) runPromises() {
	defer close(p.drained)
	var spare []*batch
	for range p.poke {
		p.mu.Lock()
		work, last := p.finished, p.last
		p.finished = spare[:0]
		p.mu.Unlock()
		for i, b := range work {
			work[i] = nil
			p.freeRoom(b.room) // before the promise, which may produce again
			b.keepPromises()
			p.settled(b)
		}
		spare = work
		if last {
			return
		}
	}
}

func (b *batch) keepPromises() {
	var err error
	if b.err != nil {
		err = b.err
	}
	for i := range b.items {
		it := &b.items[i]
		if err == nil {
			it.r.Partition, it.r.Offset = b.q.num, b.base+int64(i)
		}
		if it.promise != nil {
			it.promise(it.r, err)
		}
	}
}

func (p *producer) freeRoom(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.used -= n
	if p.room != nil {
		close(p.room)
		p.room = nil
	}
}

// settled counts a batch's promises as kept, and takes the batch back.
func (p *producer) settled(b *batch) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keptLocked(b)
	if b.holds == 0 && b.q != nil {
		p.pools.recycle(b)
	}
}

func (p *producer) keptLocked(b *batch) {
	p.unfinished -= len(b.items)
	if p.unfinished == 0 && p.idle != nil {
		close(p.idle)
		p.idle = nil
	}
}

// flush sends without linger and waits until nothing is unfinished.
func (p *producer) flush(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.flushing++
	defer func() { p.flushing-- }()
	for _, t := range p.topics {
		for _, q := range t.parts {
			p.readyLocked(q)
		}
	}
	for p.unfinished > 0 {
		if p.idle == nil {
			p.idle = make(chan struct{})
		}
		idle := p.idle
		p.mu.Unlock()
		var err error
		select {
		case <-idle:
		case <-ctx.Done():
			err = ctx.Err()
		}
		p.mu.Lock()
		if err != nil {
			return runnelv1.AsError(err)
		}
	}
	return nil
}
