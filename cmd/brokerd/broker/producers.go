package broker

import (
	"context"
	"sync"

	"github.com/runnel-io/runnel/placement/controller"
)

// producerIDs gives producer ids out of blocks that the controller allots. A block that is not used up at a stop is lost, which
// costs nothing of 63 bits.
type producerIDs struct {
	ask func(context.Context) (first, count int64, err error)

	mu   sync.Mutex
	next int64
	left int64
	busy chan struct{} // closed when the request in flight is over; nil: none is
}

func newProducerIDs(v view) *producerIDs {
	return &producerIDs{ask: func(ctx context.Context) (int64, int64, error) {
		r, err := v.Do(ctx, controller.AllocateProducers{Broker: v.b.ID()})
		return r.FirstProducer, r.Producers, err
	}}
}

// NextProducerID gives an id that no producer of the cluster ever got. One request to the controller runs at a time;
// whoever comes meanwhile waits for its block.
func (p *producerIDs) NextProducerID(ctx context.Context) (int64, error) {
	for {
		p.mu.Lock()
		if p.left > 0 {
			id := p.next
			p.next++
			p.left--
			p.mu.Unlock()
			return id, nil
		}
		if busy := p.busy; busy != nil {
			p.mu.Unlock()
			select {
			case <-busy:
				continue
			case <-ctx.Done():
				return 0, ctx.Err()
			}
		}
		p.busy = make(chan struct{})
		p.mu.Unlock()
		first, count, err := p.ask(ctx)
		p.mu.Lock()
		if err == nil {
			p.next, p.left = first, count
		}
		close(p.busy)
		p.busy = nil
		p.mu.Unlock()
		if err != nil {
			return 0, err
		}
	}
}
