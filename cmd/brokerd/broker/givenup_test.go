package broker

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// At a start one broker is heard of at once and hangs, another one later, and a seed never answers.
func TestAsksWhatWasGivenUpWithinOneBudget(t *testing.T) {
	for _, c := range []struct {
		name  string
		knows bool // the one that is heard of later
		seeds bool // all of them answer, with that one
		want  time.Duration
	}{
		{"nobody knows", false, false, givenUpWithin},
		{"nobody knows, and all are heard of", false, true, givenUpWithin},
		{"one knows", true, false, givenUpWithin / 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				change, all := make(chan struct{}), make(chan struct{})
				var mu sync.Mutex
				members := []int32{2}
				heard := func() []int32 {
					mu.Lock()
					defer mu.Unlock()
					return slices.Clone(members)
				}
				time.AfterFunc(givenUpWithin/2, func() {
					mu.Lock()
					members = append(members, 3)
					mu.Unlock()
					if c.seeds {
						close(all)
					}
					close(change)
				})
				never := make(chan struct{})
				changed := func() <-chan struct{} {
					if len(heard()) == 1 {
						return change
					}
					return never
				}
				began, asked := time.Now(), make(chan int32, 9)
				askEach(t.Context(), heard, changed, all, func(ctx context.Context, id int32) bool {
					asked <- id
					if id == 3 {
						return c.knows
					}
					<-ctx.Done()
					return false
				})
				if took := time.Since(began); took != c.want {
					t.Errorf("it takes %s, not %s", took, c.want)
				}
				if len(asked) != 2 {
					t.Errorf("%d are asked, not each of the two once", len(asked))
				}
			})
		})
	}
}
