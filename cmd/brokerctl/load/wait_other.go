//go:build !linux

package load

import "context"

// newWaiter makes a waiter for one goroutine. Elsewhere than on Linux it is the runtime's timer.
func newWaiter(context.Context) (waiter, error) { return timerWaiter{}, nil }
