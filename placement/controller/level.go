package controller

import (
	"cmp"

	"github.com/runnel-io/runnel/placement"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// readable refuses a command that a member's release does not read: its replica of the controller group would stop there. next has the members
// once it is applied, those included whose registration is not committed yet. What the log holds of the level already every member reads, or has stopped at.
func (c *Controller) readable(cmd placement.Command, next *placement.State) *runnelv1.Error {
	s, level := c.State(), placement.LevelOf(cmd)
	if level <= s.Level() || c.cfg.Level == nil {
		return nil
	}
	for _, id := range next.BrokerIDs() {
		if id == c.cfg.BrokerID {
			continue
		}
		release := cmp.Or(next.Brokers[id].Version, "unknown")
		switch reads, heard := c.cfg.Level(id); {
		case !heard:
			return runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_OLD_RELEASE,
				"broker %d is not heard of, so it is not known whether its release (%s when it was) reads changes of level %d, which this would be the first of: start it, or remove it",
				id, release, level)
		case max(reads, 1) < level:
			return runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_OLD_RELEASE,
				"the release of broker %d (%s) does not read this change: it reads changes up to level %d, this one has level %d; upgrade broker %d first",
				id, release, max(reads, 1), level, id)
		}
	}
	return nil
}

// reads refuses a broker whose release does not read the log of a cluster that uses so high a level.
func reads(used int, r RegisterBroker) *runnelv1.Error {
	if level := max(r.Level, 1); level < used {
		return runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_OLD_RELEASE,
			"the cluster uses changes of level %d, and your release (%s) reads changes up to level %d: start a newer release", used, r.Broker.Version, level)
	}
	return nil
}
