package controller

import (
	"context"

	"github.com/runnel-io/runnel/partition/raftlog"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// The group's own log. A checkpoint holds the whole state, so nobody needs the entries before it but a replica that was away: that
// one gets what it lacks from the newest segments, or, if it was away for longer, is replaced by one that is installed from a
// shipment. A new broker always is. Log positions of members differ, so each moves its own start.
//
// A replacement takes a majority. A voter that comes back while another is lost may be what the majority lacks, and then only the log can
// bring it up to date: so much is kept, 256 to 512 MiB, that hardly any absence is longer.
const (
	logSegment = 4 << 20 // bytes; at some hundred bytes a command, thousands of them
	logKeep    = 64      // segments
)

// LogOptions is how the group's log is to be kept, on every broker.
func LogOptions() raftlog.LogOptions {
	return raftlog.LogOptions{SegmentBytes: logSegment, KeepSegments: logKeep}
}

// Ship gives a view of the group's log, from which a broker that joins installs its replica (catchup.Source). Any replica that
// runs will do.
func (c *Controller) Ship(ctx context.Context) (*raftlog.Shipment, error) {
	if s, ok := c.attached().(interface {
		Ship(context.Context) (*raftlog.Shipment, error)
	}); ok {
		return s.Ship(ctx)
	}
	return nil, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_UNAVAILABLE, "broker %d does not run its controller replica yet: ask another one, or again", c.cfg.BrokerID)
}
