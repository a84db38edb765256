package gossip

import (
	"context"
	"fmt"
	"time"
)

const (
	publishTimeout = time.Second // for one update to reach a first member; it spreads later all the same
	leaveTimeout   = time.Second // for the farewell to reach a first member
)

// runRejoin owns the rejoin timer.
func (g *Gossip) runRejoin(ctx context.Context) {
	defer g.routines.Done()
	tick := time.NewTicker(g.rejoinEvery)
	defer tick.Stop()
	for first := true; ; first = false {
		g.rejoin(ctx)
		if first {
			close(g.tried)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Tried is closed when each seed was tried once: whoever answered is among the members by then, with all that it knows.
func (g *Gossip) Tried() <-chan struct{} { return g.tried }

// runPublish announces what SetMeta changed.
func (g *Gossip) runPublish(ctx context.Context) {
	defer g.routines.Done()
	for {
		select {
		case <-ctx.Done():
			return
		case <-g.publish:
			// The update is queued even when this times out: it only says that nobody has heard it yet.
			if err := g.list.UpdateNode(publishTimeout); err != nil {
				g.log.Debug("an update has not reached a member yet", "error", err)
			}
		}
	}
}

// runNotify calls OnChange.
func (g *Gossip) runNotify(ctx context.Context) {
	defer g.routines.Done()
	for {
		select {
		case <-ctx.Done():
			return
		case <-g.changes:
			if g.onChange != nil {
				g.onChange()
			}
		}
	}
}

// Stop says farewell, so that others need not suspect, and closes the port. It is safe to call more than once. If ctx
// ends first it answers an error, and the rest ends in the background within a few seconds.
func (g *Gossip) Stop(ctx context.Context) error {
	g.stop.Do(func() {
		g.cancel()
		go func() { // ends by itself: leaving and shutting down are bounded in time
			defer close(g.stopped)
			if err := g.list.Leave(leaveTimeout); err != nil {
				g.log.Debug("the farewell reached nobody", "error", err)
			}
			g.stopErr = g.list.Shutdown()
			g.routines.Wait()
		}()
	})
	select {
	case <-g.stopped:
		return g.stopErr
	case <-ctx.Done():
		return fmt.Errorf("gossip: stop: %w", ctx.Err())
	}
}
