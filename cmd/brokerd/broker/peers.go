package broker

import (
	"context"

	"github.com/runnel-io/runnel/partition/catchup"
	"github.com/runnel-io/runnel/placement"
	"github.com/runnel-io/runnel/placement/ask"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
	"github.com/runnel-io/runnel/rpc/admin"
	"github.com/runnel-io/runnel/rpc/peer"
)

// identity is what the peer service says of this broker.
func (b *Broker) identity() peer.Identity {
	id := b.store.Identity()
	return peer.Identity{ClusterID: id.ClusterID, BrokerID: id.BrokerID, Incarnation: id.Incarnation, Nonce: b.nonce, Version: Version()}
}

// resolve finds a broker's peer address: gossip hears of a changed one first, the controller's state has it for good.
func (b *Broker) resolve(id int32) (string, bool) {
	cluster := b.store.Identity().ClusterID
	for _, m := range b.gossip.Members() {
		if m.ClusterID == cluster && m.BrokerID == id && m.Peer != "" {
			return m.Peer, true
		}
	}
	if br := b.state().Brokers[id]; br != nil {
		return br.PeerAddr, br.PeerAddr != ""
	}
	return "", false
}

// admits refuses a broker whose data folder is not the one that is registered under its id (RULES 27). One that the state does not know may
// have joined just now, or was removed and has to hear that from the controller.
func admits(s *placement.State, id peer.Identity) error {
	if known := s.Brokers[id.BrokerID]; known != nil && known.Incarnation != id.Incarnation {
		return runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_BROKER,
			"broker %d is registered with another data folder than yours: start yours empty, to join as a new broker", id.BrokerID)
	}
	return nil
}

// state is the controller's newest state that this broker has applied; an empty one before it has any.
func (b *Broker) state() *placement.State {
	if c := b.core.Load(); c != nil {
		return c.ctl.State()
	}
	return &placement.State{}
}

// servePeer answers another broker's calls.
func (b *Broker) servePeer(ctx context.Context, from int32, method string, body []byte) ([]byte, error) {
	if method == methodGivenUp && from > 0 {
		return b.serveGivenUp(body)
	}
	c := b.core.Load()
	if c == nil {
		return nil, errStarting
	}
	if method == methodController {
		return c.ctl.ServeFrom(ctx, from, body)
	}
	if from <= 0 { // all but the request to join is for members
		return nil, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, "only a broker of the cluster may ask for %q", method)
	}
	switch {
	case method == methodPartitionStatus:
		if a := b.services.rpcAdmin.Load(); a != nil {
			return a.ServePartitionStatus(ctx, body)
		}
		return nil, errStarting
	case method == admin.MethodSettings:
		return admin.ServeSettings(body, b.settings())
	case method == methodLeaving:
		c.leaving.says(from, b.env.Now())
		c.ctl.Notice()
		return nil, nil
	case method == methodRecovered:
		return b.serveRecovered(c, from, body)
	case catchup.Handles(method):
		return b.catchup.ship(ctx, c.ships, from, method, body)
	case ask.Handles(method):
		return c.agent.Serve(ctx, method, body)
	}
	return nil, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, "broker %d asked for the unknown method %q", from, method)
}

const (
	methodController      = "controller.do"
	methodPartitionStatus = "partition.status"
)
