package raftlog

import (
	"container/list"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// fileCache bounds how many segment files are open: an idle one costs a descriptor, a mapping and, when open for
// writing, its freelist. Sealed and active files have their own budgets, so that a scan of old data does not close the
// files that appends need.
type fileCache struct {
	gauge prometheus.Gauge

	mu     sync.Mutex // taken under segFile.mu, never the other way round
	sealed lru
	active lru
}

type lru struct {
	l   list.List // of *segFile, the most recently used in front
	max int
}

// cacheSlot is a file's place in the cache; guarded by fileCache.mu.
type cacheSlot struct {
	elem *list.Element
	in   *lru
}

// opened is called under f.mu, so it evicts nothing itself.
func (c *fileCache) opened(f *segFile) {
	c.gauge.Inc()
	c.mu.Lock()
	defer c.mu.Unlock()
	in := &c.active
	if f.readOnly {
		in = &c.sealed
	}
	if f.cached.elem != nil {
		f.cached.in.l.Remove(f.cached.elem)
	}
	f.cached = cacheSlot{elem: in.l.PushFront(f), in: in}
}

func (c *fileCache) closed() { c.gauge.Dec() }

// used marks f as the most recently used and closes files above the budget.
func (c *fileCache) used(f *segFile) {
	c.mu.Lock()
	if f.cached.elem == nil {
		c.mu.Unlock()
		return
	}
	in := f.cached.in
	in.l.MoveToFront(f.cached.elem)
	var victims []*segFile
	for n := in.l.Len() - in.max; n > 0; n-- {
		e := in.l.Back()
		v := e.Value.(*segFile)
		if v == f {
			break
		}
		in.l.Remove(e)
		v.cached = cacheSlot{}
		victims = append(victims, v)
	}
	c.mu.Unlock()
	for _, v := range victims {
		if !v.closeIdle() {
			c.readmit(v) // in use: back to the front
		}
	}
}

func (c *fileCache) readmit(f *segFile) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.db == nil || f.dropped {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if f.cached.elem == nil {
		in := &c.active
		if f.readOnly {
			in = &c.sealed
		}
		f.cached = cacheSlot{elem: in.l.PushFront(f), in: in}
	}
}

func (c *fileCache) forget(f *segFile) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f.cached.elem != nil {
		f.cached.in.l.Remove(f.cached.elem)
		f.cached = cacheSlot{}
	}
}
