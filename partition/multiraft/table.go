package multiraft

import (
	"slices"
	"sync"
	"sync/atomic"
)

// groupTable holds the groups of a host by id, and in the order of ids for whoever goes over them all: a map's order
// would make simulations differ.
type groupTable struct {
	mu     sync.RWMutex
	byID   map[uint64]*Group
	sorted atomic.Pointer[[]*Group] // replaced, never changed
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
	return nil
}

// add tells false if the id is taken.
func (t *groupTable) add(g *Group) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.byID[g.id] != nil {
		return false
	}
	if t.byID == nil {
		t.byID = make(map[uint64]*Group)
	}
	t.byID[g.id] = g
	t.publishLocked()
	return true
}

func (t *groupTable) remove(id uint64) *Group {
	t.mu.Lock()
	defer t.mu.Unlock()
	g := t.byID[id]
	if g != nil {
		delete(t.byID, id)
		t.publishLocked()
	}
	return g
}

func (t *groupTable) publishLocked() {
	all := make([]*Group, 0, len(t.byID))
	for _, g := range t.byID {
		all = append(all, g)
	}
	slices.SortFunc(all, func(a, b *Group) int {
		if a.id < b.id {
			return -1
		}
		return 1
	})
	t.sorted.Store(&all)
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
