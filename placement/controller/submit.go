package controller

import (
	"context"

	"github.com/runnel-io/runnel/placement"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// ownCommand is a command that this broker itself wants committed: it never travels.
type ownCommand struct{ cmd placement.Command }

func (ownCommand) repeatable() bool { return false }

// submit implements desk.
func (c *Controller) submit(ctx context.Context, cmd placement.Command) *runnelv1.Error {
	_, err := c.lead(ctx, ownCommand{cmd})
	return err
}
