package partition

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
)

// acquiring asks a budget for bytes on a goroutine of its own, and returns once that waits or has them.
func acquiring(ctx context.Context, b *Budget, n int64) <-chan error {
	c := make(chan error, 1)
	go func() { c <- b.Acquire(ctx, n) }()
	synctest.Wait()
	return c
}

// ended tells whether an Acquire has ended, after all that can go on went on.
func ended(c <-chan error) bool {
	synctest.Wait()
	return len(c) > 0
}

func TestBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(100)
		if !b.TryAcquire(60) || b.TryAcquire(50) || !b.TryAcquire(40) {
			t.Fatal("the budget does not add up")
		}
		waits := acquiring(t.Context(), b, 50)
		if ended(waits) {
			t.Fatal("it gives out more than there is")
		}
		b.Release(60)
		if !ended(waits) || <-waits != nil || b.Used() != 90 {
			t.Fatalf("used %d of 100 after 60 came back", b.Used())
		}
		b.Release(90)
		if !b.TryAcquire(1000) {
			t.Fatal("a request larger than the budget can never pass")
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := b.Acquire(ctx, 1); !errors.Is(err, context.Canceled) {
			t.Fatalf("waited: %v", err)
		}
		if b.Used() != 1000 || b.Limit() != 100 {
			t.Fatalf("used %d of %d", b.Used(), b.Limit())
		}
	})
}

func TestABudgetThatGrowsLetsInWhoWaitsAndOneThatShrinksTakesNothingBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(10)
		if !b.TryAcquire(8) || b.TryAcquire(4) {
			t.Fatal("a budget of 10")
		}
		waits := acquiring(t.Context(), b, 4)
		b.SetLimit(12)
		if !ended(waits) || <-waits != nil || b.Limit() != 12 {
			t.Fatal("a budget of 12 does not take 4 more")
		}
		b.SetLimit(5)
		if b.Used() != 12 || b.TryAcquire(1) {
			t.Error("a budget that shrank gives out more")
		}
		b.Release(8)
		if !b.TryAcquire(1) || b.TryAcquire(1) {
			t.Error("it gives out too little or too much")
		}
	})
}

// A large request gets its turn however many small ones come: four times its bytes may pass it.
func TestRule23ALargeRequestIsNotKeptWaitingBySmallOnesThatCameLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(64)
		for range 64 {
			if !b.TryAcquire(1) {
				t.Fatal("a budget of 64")
			}
		}
		large := acquiring(t.Context(), b, 16)
		passed := 0
		for b.Release(1); b.TryAcquire(1); b.Release(1) { // one goes, and the next one comes
			if passed++; passed > overtakes*16 {
				t.Fatal("small requests pass for ever")
			}
		}
		if passed != overtakes*16 {
			t.Errorf("%d small requests passed, want %d", passed, overtakes*16)
		}
		small := acquiring(t.Context(), b, 1)
		for i := 1; i < 16; i++ {
			if ended(large) || ended(small) {
				t.Fatalf("somebody was let in with %d of 16 free", i)
			}
			b.Release(1)
		}
		if !ended(large) || <-large != nil {
			t.Fatal("the large request still waits for its sixteen bytes")
		}
		if ended(small) {
			t.Fatal("there is room for nobody else")
		}
		b.Release(16)
		if !ended(small) || <-small != nil || b.Used() != 49 {
			t.Errorf("%d bytes are in use", b.Used())
		}
	})
}

// A single record does not wait behind the requests of a flood, which do not fit.
func TestRule23ASmallRequestPassesThoseThatDoNotFit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(100)
		if !b.TryAcquire(90) {
			t.Fatal("a budget of 100")
		}
		var flood []<-chan error
		for range 5 {
			flood = append(flood, acquiring(t.Context(), b, 20))
		}
		if !b.TryAcquire(2) {
			t.Error("it waits although there is room")
		}
		behind := acquiring(t.Context(), b, 9) // does not fit yet
		b.Release(2)
		if !ended(behind) || <-behind != nil {
			t.Error("it waits although there is room by now")
		}
		b.Release(99)
		for i, c := range flood {
			if !ended(c) || <-c != nil {
				t.Errorf("request %d of the flood still waits", i)
			}
		}
	})
}

// One that gives up must not leave those behind it waiting for what is there, nor keep what it got in the same moment.
func TestRule23WhoGivesUpWaitingForTheBudgetHoldsUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(10)
		if !b.TryAcquire(6) {
			t.Fatal("a budget of 10")
		}
		ctx, cancel := context.WithCancel(t.Context())
		large := acquiring(ctx, b, 8)
		for b.TryAcquire(4) { // until nothing may pass it any more
			b.Release(4)
		}
		small := acquiring(t.Context(), b, 4)
		if ended(large) || ended(small) {
			t.Fatal("it gives out more than there is")
		}
		cancel()
		if !ended(large) || !errors.Is(<-large, context.Canceled) {
			t.Fatal("the first one still waits")
		}
		if !ended(small) || <-small != nil {
			t.Fatal("the second one waits for nobody, with room for it")
		}
		b.Release(4)
		for range 100 { // it is let in and gives up at once; either may come first
			ctx, cancel := context.WithCancel(t.Context())
			first, second := acquiring(ctx, b, 5), acquiring(t.Context(), b, 4)
			go cancel()
			go b.Release(6)
			if !ended(first) || !ended(second) || <-second != nil {
				t.Fatal("somebody waits beside an empty budget")
			}
			if <-first == nil {
				b.Release(5)
			}
			if b.Release(4); b.Used() != 0 || !b.TryAcquire(6) {
				t.Fatalf("%d bytes are lost", b.Used())
			}
		}
	})
}
