package admin

import (
	"context"

	"golang.org/x/sync/errgroup"

	"github.com/runnel-io/runnel/placement"
	"github.com/runnel-io/runnel/placement/controller"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// ListBrokers implements runnelv1.AdminServer.
func (s *Server) ListBrokers(context.Context, *runnelv1.ListBrokersRequest) (*runnelv1.ListBrokersResponse, error) {
	if err := s.begin("list_brokers"); err != nil {
		return nil, err
	}
	return &runnelv1.ListBrokersResponse{Brokers: s.brokers(s.cluster.State())}, nil
}

func (s *Server) brokers(st *placement.State) []*runnelv1.BrokerDescription {
	leaders, replicas := map[int32]int32{}, map[int32]int32{}
	for _, t := range st.Topics {
		for n := range t.Partitions {
			p := &t.Partitions[n]
			if id, _, ok := s.cluster.Leader(p.Group); ok {
				leaders[id]++
			}
			for _, r := range p.Replicas {
				replicas[r.Broker]++
			}
		}
	}
	http := s.http()
	out := make([]*runnelv1.BrokerDescription, 0, len(st.Brokers))
	for _, id := range st.BrokerIDs() {
		b := st.Brokers[id]
		out = append(out, &runnelv1.BrokerDescription{
			Id: b.ID, Address: b.ClientAddr, PeerAddress: b.PeerAddr, Alive: s.cluster.Alive(b.ID),
			Leaders: leaders[id], Replicas: replicas[id], Version: b.Version, Rack: b.Rack,
			Draining: b.Draining, HttpAddress: http[id],
		})
	}
	return out
}

// ClusterStatus implements runnelv1.AdminServer.
func (s *Server) ClusterStatus(ctx context.Context, _ *runnelv1.ClusterStatusRequest) (*runnelv1.ClusterStatusResponse, error) {
	if err := s.begin("cluster_status"); err != nil {
		return nil, err
	}
	st := s.cluster.State()
	topics := make([]*placement.Topic, 0, len(st.Topics))
	for _, name := range st.TopicNames() {
		topics = append(topics, st.Topics[name])
	}
	views, o, unknown := s.viewAndOverview(ctx, topics)
	out := &runnelv1.ClusterStatusResponse{
		ClusterId: st.ClusterID, ControllerId: s.cluster.ControllerID(), Brokers: s.brokers(st),
		Topics: int32(len(topics)), Partitions: int32(len(views)), //nolint:gosec // the controller bounds both
	}
	if o != nil {
		out.Moves, out.MovesMore = describeMoves(o.Moves)
		out.Blocked, out.BlockedMore = describeBlocked(o.Plan.Blocked, o.Plan.BlockedMore)
	} else {
		out.Moves, out.MovesMore = recordedMoves(st)
		out.PlacementUnknown = unknown
	}
	for _, v := range views {
		if r := v.leaderless(s.cluster.Alive); r != "" {
			out.Leaderless = append(out.Leaderless, &runnelv1.PartitionProblem{Topic: v.topic, Partition: v.number, Reason: r})
		} else if r := v.underReplicated(s.cluster.Alive); r != "" {
			out.UnderReplicated = append(out.UnderReplicated, &runnelv1.PartitionProblem{Topic: v.topic, Partition: v.number, Reason: r})
		}
	}
	return out, nil
}

// viewAndOverview looks at all partitions of topics and asks the controller for its view, side by side, each for at most
// askWait, and longer only for partitions that are about to be whole. Without the controller's view it tells why.
func (s *Server) viewAndOverview(ctx context.Context, topics []*placement.Topic) ([]*view, *controller.OverviewAnswer, string) {
	var (
		o   *controller.OverviewAnswer
		err error
		g   errgroup.Group
	)
	g.Go(func() error {
		ask, cancel := s.within(ctx, askWait)
		defer cancel()
		o, _, err = s.overview(ask)
		return nil // told below: the rest counts without it
	})
	views := s.view(ctx, topics)
	s.settle(ctx, views)
	_ = g.Wait()
	if err != nil {
		return views, nil, cut(runnelv1.AsError(err).Error())
	}
	return views, o, ""
}
