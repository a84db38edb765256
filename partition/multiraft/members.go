package multiraft

import (
	"maps"
	"sync"
	"sync/atomic"
)

// members maps replicas to brokers. Read by any task, replaced as a whole.
type members struct {
	mu sync.Mutex // of writers
	m  atomic.Pointer[map[uint64]int32]
}

// get gives the map, which must not be changed.
func (s *members) get() map[uint64]int32 {
	if p := s.m.Load(); p != nil {
		return *p
	}
	return nil
}

// broker gives the broker of a replica, 0 if it is not known.
func (s *members) broker(replica uint64) int32 { return s.get()[replica] }

// set tells where all are. Those that are to stay keep their places if m does not name them.
func (s *members) set(m map[uint64]int32, stay []uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := maps.Clone(m)
	for _, id := range stay {
		if _, named := c[id]; !named && s.broker(id) != 0 {
			if c == nil {
				c = make(map[uint64]int32)
			}
			c[id] = s.broker(id)
		}
	}
	s.m.Store(&c)
}

// put tells where one replica is.
func (s *members) put(replica uint64, broker int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := maps.Clone(s.get())
	if m == nil {
		m = make(map[uint64]int32)
	}
	m[replica] = broker
	s.m.Store(&m)
}

// learn adds a replica that was not known but wrote to us: a member added by a change that is not applied here yet.
func (s *members) learn(replica uint64, broker int32) {
	if _, ok := s.get()[replica]; ok {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	m := maps.Clone(s.get())
	if m == nil {
		m = make(map[uint64]int32)
	}
	if _, ok := m[replica]; !ok {
		m[replica] = broker
		s.m.Store(&m)
	}
}
