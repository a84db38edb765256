package multiraft

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"
)

// groupTable holds the groups of a host by id, and in the order of ids for whoever goes over them all: a map's order
// would make simulations differ.
type groupTable struct {
	mu     sync.RWMutex
	byID   map[uint64]*Group
	closed bool
	// sorted is replaced, never changed; nil if it has to be made anew. Whoever needs it makes it, not each that adds: a broker
	// starts ten thousand groups.
	sorted atomic.Pointer[[]*Group]
}

func (t *groupTable) get(id uint64) *Group {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.byID[id]
}

// all gives the groups by rising id. The slice must not be changed.
func (t *groupTable) all() []*Group {
	if p := t.sorted.Load(); p != nil {
		return *p
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.allLocked()
}

func (t *groupTable) allLocked() []*Group {
	all := make([]*Group, 0, len(t.byID))
	for _, g := range t.byID {
		all = append(all, g)
	}
	slices.SortFunc(all, func(a, b *Group) int { return cmp.Compare(a.id, b.id) })
	t.sorted.Store(&all)
	return all
}

// add tells false if the id is taken, or the table closed.
func (t *groupTable) add(g *Group) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed || t.byID[g.id] != nil {
		return false
	}
	if t.byID == nil {
		t.byID = make(map[uint64]*Group)
	}
	t.byID[g.id] = g
	t.sorted.Store(nil)
	return true
}

// close has nothing added or removed any more and gives the groups there are, which are the caller's to stop.
func (t *groupTable) close() []*Group {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	return t.allLocked()
}

// clear empties the table.
func (t *groupTable) clear() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.byID = nil
	t.sorted.Store(nil)
}

func (t *groupTable) remove(id uint64) *Group {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil
	}
	g := t.byID[id]
	if g != nil {
		delete(t.byID, id)
		t.sorted.Store(nil)
	}
	return g
}

// leaderWatchers are the functions of OnLeaders.
type leaderWatchers struct {
	mu sync.Mutex
	fs []func()
}

func (w *leaderWatchers) add(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fs = append(w.fs, f)
}

func (w *leaderWatchers) call() {
	w.mu.Lock()
	fs := w.fs[:len(w.fs):len(w.fs)]
	w.mu.Unlock()
	for _, f := range fs {
		f()
	}
}
