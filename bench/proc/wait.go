package proc

import (
	"context"
	"time"
)

// Wait lets d pass: a measurement over a span has nothing else to wait for. The error is ctx's, if that ends first.
func Wait(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
