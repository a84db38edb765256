package broker

import (
	"context"

	"github.com/runnel-io/runnel/partition"
	"github.com/runnel-io/runnel/placement"
	"github.com/runnel-io/runnel/placement/controller"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// view is what the services see of the broker: the small interfaces they declare, over whatever core there is. The gate
// keeps clients out until there is one.
type view struct{ b *Broker }

var errStarting = runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_UNAVAILABLE, "the broker is starting; try again, or another broker")

func (v view) Partition(topic string, n int32) (*partition.Partition, *runnelv1.Error) {
	c := v.b.core.Load()
	if c == nil {
		return nil, errStarting
	}
	return c.agent.Partition(topic, n)
}

func (v view) State() *placement.State { return v.b.state() }

func (v view) Leader(group uint64) (int32, uint64, bool) {
	c := v.b.core.Load()
	if c == nil {
		return 0, 0, false
	}
	return c.host.Leader(group)
}

func (v view) Alive(id int32) bool {
	c := v.b.core.Load()
	return c != nil && c.host.Alive(id)
}

func (v view) ControllerID() int32 {
	id, _, ok := v.Leader(controllerGroup)
	if !ok {
		return 0
	}
	return id
}

// httpAddresses tells where the brokers that gossip sees serve metrics and health. One of another cluster is left out: its ids mean
// others.
func (b *Broker) httpAddresses() map[int32]string {
	out := map[int32]string{}
	cluster := b.store.Identity().ClusterID
	for _, m := range b.gossip.Members() {
		if m.BrokerID != 0 && m.ClusterID == cluster {
			out[m.BrokerID] = m.HTTP
		}
	}
	return out
}

// Changed is closed when the state or a leader changes.
func (v view) Changed() <-chan struct{} { return v.b.changes.changed() }

func (v view) Do(ctx context.Context, r controller.Request) (controller.Response, error) {
	c := v.b.core.Load()
	if c == nil {
		return controller.Response{}, errStarting
	}
	return c.ctl.Do(ctx, r)
}

func (v view) Call(ctx context.Context, id int32, method string, body []byte) ([]byte, error) {
	if id == v.b.ID() {
		return v.b.servePeer(ctx, id, method, body)
	}
	return v.b.peers.Call(ctx, id, method, body)
}
