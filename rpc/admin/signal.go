package admin

import "sync"

// Signal tells any number of waiters that something changed. The zero value is ready.
type Signal struct {
	mu sync.Mutex
	ch chan struct{}
}

// Changed gives a channel that is closed by the next Notify.
func (s *Signal) Changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ch == nil {
		s.ch = make(chan struct{})
	}
	return s.ch
}

// Notify wakes all who hold a channel. It never blocks, and costs next to nothing without waiters.
func (s *Signal) Notify() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ch != nil {
		close(s.ch)
		s.ch = nil
	}
}
