package agent

import (
	"context"
	"slices"
	"sync"
	"time"
)

// forgetBatch is how many replicas one report names at most.
const forgetBatch = 1000

// forgetTimeout bounds one report; a longer outage is met by the next wake.
const forgetTimeout = 15 * time.Second

// forgetter tells the controller which replicas' data is gone. It owns one goroutine, since the report blocks until
// the controller has committed it. What could not be reported is kept and tried again at the next wake; after a restart
// the tombstones bring it back.
type forgetter struct {
	mu      sync.Mutex
	ids     map[uint64]struct{} // bounded by the replicas this broker held
	kick    chan struct{}       // of capacity 1: wakes coalesce
	cancel  context.CancelFunc
	running sync.WaitGroup
}

func (f *forgetter) start(a *Agent) {
	ctx, cancel := context.WithCancel(context.Background())
	f.mu.Lock()
	f.kick = make(chan struct{}, 1)
	f.cancel = cancel
	f.mu.Unlock()
	f.running.Go(func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-f.kick:
				a.cfg.Env.Resumed()
				f.report(ctx, a)
			}
		}
	})
	f.wake()
}

func (f *forgetter) stop() {
	f.mu.Lock()
	cancel := f.cancel
	f.mu.Unlock()
	if cancel != nil {
		cancel()
	}
	f.running.Wait()
}

func (f *forgetter) add(id uint64) {
	f.mu.Lock()
	if f.ids == nil {
		f.ids = map[uint64]struct{}{}
	}
	f.ids[id] = struct{}{}
	f.mu.Unlock()
	f.wake()
}

func (f *forgetter) wake() {
	f.mu.Lock()
	kick := f.kick
	f.mu.Unlock()
	select {
	case kick <- struct{}{}: // a nil channel is never ready: not started yet
	default:
	}
}

// report sends batches until nothing is left or one fails.
func (f *forgetter) report(ctx context.Context, a *Agent) {
	for ctx.Err() == nil {
		batch := f.batch(a)
		if len(batch) == 0 || a.cfg.Forget == nil {
			return
		}
		ctx, cancel := a.cfg.Env.Within(ctx, forgetTimeout)
		err := a.cfg.Forget(ctx, batch)
		cancel()
		if err != nil {
			a.log.Warn("deleted replicas could not be reported and will be again", "replicas", len(batch), "error", err)
			return
		}
		f.mu.Lock()
		for _, id := range batch {
			delete(f.ids, id)
		}
		f.mu.Unlock()
	}
}

// batch takes the lowest ids, and drops those whose tombstones are gone already.
func (f *forgetter) batch(a *Agent) []uint64 {
	s := a.latest.Load()
	f.mu.Lock()
	defer f.mu.Unlock()
	var ids []uint64
	for id := range f.ids {
		if s.Tombstones[id] == nil {
			delete(f.ids, id)
			continue
		}
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids[:min(len(ids), forgetBatch)]
}
