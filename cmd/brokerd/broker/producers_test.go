package broker

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestProducerIDsAreNeverGivenTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		next, asked := int64(0), 0
		p := &producerIDs{ask: func(ctx context.Context) (int64, int64, error) {
			asked++
			if asked%3 == 0 {
				return 0, 0, errors.New("no controller")
			}
			first := next
			next += 10
			<-time.After(time.Millisecond) // a round trip, in the bubble's time
			return first, 10, nil
		}}
		var mu sync.Mutex
		seen, failed := map[int64]bool{}, 0
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				for range 5 {
					id, err := p.NextProducerID(t.Context())
					mu.Lock()
					if err != nil {
						failed++
					} else if seen[id] {
						t.Errorf("id %d was given twice", id)
					} else {
						seen[id] = true
					}
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		if len(seen)+failed != 250 || len(seen) < 200 {
			t.Errorf("%d ids, %d failures", len(seen), failed)
		}
	})
}

func TestAWaitForAProducerIDEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := make(chan struct{})
		p := &producerIDs{ask: func(context.Context) (int64, int64, error) { <-hang; return 1, 1, nil }}
		go func() {
			if _, err := p.NextProducerID(t.Context()); err != nil {
				t.Error(err)
			}
		}()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := p.NextProducerID(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		close(hang)
		synctest.Wait()
	})
}
