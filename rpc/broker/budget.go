package broker

import "context"

// budget bounds the bytes of produce requests in flight over all streams; *partition.Budget is one.
type budget interface {
	// TryAcquire takes n bytes if there is room, or if nothing at all is taken, so that a large request can pass.
	TryAcquire(n int64) bool
	// Release gives n bytes back.
	Release(n int64)
	// Wait returns when a TryAcquire is worth another try, or with ctx's error.
	Wait(ctx context.Context) error
}

// admit waits for n bytes of the budget.
func (s *Server) admit(ctx context.Context, n int64) error {
	if s.budget.TryAcquire(n) {
		return nil
	}
	s.metrics.budgetWaits.Inc()
	for {
		if err := s.budget.Wait(ctx); err != nil {
			return err
		}
		if s.budget.TryAcquire(n) {
			return nil
		}
	}
}
