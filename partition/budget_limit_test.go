package partition

import (
	"context"
	"runtime"
	"testing"
)

func TestABudgetThatGrowsLetsInWhoWaitsAndOneThatShrinksTakesNothingBack(t *testing.T) {
	b := NewBudget(10)
	if !b.TryAcquire(8) || b.TryAcquire(4) {
		t.Fatal("a budget of 10")
	}
	waited := make(chan error, 1)
	began := make(chan struct{})
	go func() {
		close(began)
		waited <- b.Wait(context.Background())
	}()
	<-began
	for { // until it waits: there is nothing that tells
		b.mu.Lock()
		waits := b.change != nil
		b.mu.Unlock()
		if waits {
			break
		}
		runtime.Gosched()
	}
	b.SetLimit(12)
	if err := <-waited; err != nil || !b.TryAcquire(4) || b.Limit() != 12 {
		t.Fatalf("a budget of 12 does not take 4 more: %v", err)
	}
	b.SetLimit(5)
	if b.Used() != 12 || b.TryAcquire(1) {
		t.Error("a budget that shrank gives out more")
	}
	b.Release(8)
	if !b.TryAcquire(1) || b.TryAcquire(1) {
		t.Error("it gives out too little or too much")
	}
}
