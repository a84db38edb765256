package proxy

import (
	"context"
	"sync"
	"time"
)

// Slow is what a slow link does to each piece that passes: it waits, and takes its time.
type Slow struct {
	Delay time.Duration
	Rate  int // bytes a second; 0: any
}

// path is one direction between two nodes.
type path struct {
	mu      sync.Mutex
	cuts    int           // faults that have cut it
	changed chan struct{} // closed at each change
	slow    Slow
	drop    float64 // share of datagrams that are lost
	hits    int     // what came while it was cut or slow: pieces, ends, connections and datagrams
}

func newPath() *path { return &path{changed: make(chan struct{})} }

func (p *path) change(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
	close(p.changed)
	p.changed = make(chan struct{})
}

// pass waits, for something that has come, until nothing cuts the path.
func (p *path) pass(ctx context.Context) error {
	for met := false; ; met = true {
		p.mu.Lock()
		cut, changed := p.cuts > 0, p.changed
		if cut && !met {
			p.hits++
		}
		p.mu.Unlock()
		if !cut {
			return ctx.Err()
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// takes is how long the path is busy with n bytes.
func (p *path) takes(n int) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.slow != (Slow{}) {
		p.hits++
	}
	d := p.slow.Delay
	if p.slow.Rate > 0 {
		d += time.Duration(float64(n) / float64(p.slow.Rate) * float64(time.Second))
	}
	return d
}

// loses says whether a datagram is lost. chance is from 0 to 1.
func (p *path) loses(chance float64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cuts > 0 {
		p.hits++
		return true
	}
	return chance < p.drop
}
