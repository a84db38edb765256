package broker

import "context"

// budget bounds bytes over all streams; *partition.Budget is one.
type budget interface {
	// TryAcquire takes n bytes if there is room and who waits has not been passed by too many, or if nothing at all is taken, so that a large
	// request can pass.
	TryAcquire(n int64) bool
	// Acquire waits for its turn and for room, and takes n bytes; or it takes none and answers with ctx's error.
	Acquire(ctx context.Context, n int64) error
	// Release gives n bytes back.
	Release(n int64)
}

// admit waits for n bytes of the budget of produce requests.
func (s *Server) admit(ctx context.Context, n int64) error {
	if s.budget.TryAcquire(n) {
		return nil
	}
	s.metrics.budgetWaits.Inc()
	return s.budget.Acquire(ctx, n)
}
