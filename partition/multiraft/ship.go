package multiraft

import (
	"context"
	"fmt"

	"github.com/runnel-io/runnel/partition/raftlog"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// Ship takes a view of what this replica has applied, to install a new one from (RULES 19). Any replica that runs will do: what is
// applied is the same everywhere. It waits for the worker and blocks on the disk. The shipment must be closed before the
// replica is stopped for good to have its descriptors back; its calls fail from the stop on.
func (g *Group) Ship(ctx context.Context) (*raftlog.Shipment, error) {
	type point struct {
		cp  raftlog.Checkpoint
		err error
	}
	at := make(chan point, 1)
	g.shipPoint(func(cp raftlog.Checkpoint, err error) { at <- point{cp, err} })
	select {
	case p := <-at:
		g.env.Resumed()
		if p.err != nil {
			return nil, p.err
		}
		sh, err := g.store.Ship(ctx, p.cp)
		if err != nil {
			return nil, fmt.Errorf("ship %s: %w", g.name, err)
		}
		return sh, nil
	case <-ctx.Done():
		g.env.Resumed()
		return nil, ctx.Err()
	}
}

// shipPoint has the worker fold a checkpoint at what is applied, with the configuration as of it.
func (g *Group) shipPoint(done func(raftlog.Checkpoint, error)) {
	g.in.control(func() {
		if g.rn == nil {
			done(raftlog.Checkpoint{}, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_UNAVAILABLE,
				"the replica of %s on broker %d has stopped; ship the log of another one", g.name, g.self))
			return
		}
		done(g.checkpoint(), nil)
	})
	g.task.Wake()
}
