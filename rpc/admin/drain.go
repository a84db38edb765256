package admin

import (
	"context"

	"github.com/runnel-io/runnel/placement"
	"github.com/runnel-io/runnel/placement/controller"
	"github.com/runnel-io/runnel/placement/plan"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// DrainBroker implements runnelv1.AdminServer.
func (s *Server) DrainBroker(ctx context.Context, r *runnelv1.DrainBrokerRequest) (*runnelv1.DrainBrokerResponse, error) {
	if err := s.setDraining(ctx, "drain_broker", r.GetBroker(), true); err != nil {
		return nil, err
	}
	return &runnelv1.DrainBrokerResponse{}, nil
}

// UndrainBroker implements runnelv1.AdminServer.
func (s *Server) UndrainBroker(ctx context.Context, r *runnelv1.UndrainBrokerRequest) (*runnelv1.UndrainBrokerResponse, error) {
	if err := s.setDraining(ctx, "undrain_broker", r.GetBroker(), false); err != nil {
		return nil, err
	}
	return &runnelv1.UndrainBrokerResponse{}, nil
}

func (s *Server) setDraining(ctx context.Context, api string, broker int32, draining bool) error {
	if err := s.begin(api); err != nil {
		return err
	}
	if broker < 1 {
		return s.fail(api, invalid("%d is no broker's id: they begin at 1", broker))
	}
	if _, err := s.change(ctx, api, controller.SetDraining{Broker: broker, Draining: draining}); err != nil {
		return err
	}
	s.log.Info("drain set", "broker", broker, "draining", draining)
	return nil
}

// RemoveBroker implements runnelv1.AdminServer.
func (s *Server) RemoveBroker(ctx context.Context, r *runnelv1.RemoveBrokerRequest) (*runnelv1.RemoveBrokerResponse, error) {
	const api = "remove_broker"
	if err := s.begin(api); err != nil {
		return nil, err
	}
	if r.GetBroker() < 1 {
		return nil, s.fail(api, invalid("%d is no broker's id: they begin at 1", r.GetBroker()))
	}
	if _, err := s.change(ctx, api, controller.RemoveBroker{Broker: r.GetBroker()}); err != nil {
		return nil, err
	}
	s.log.Info("broker removed", "broker", r.GetBroker())
	return &runnelv1.RemoveBrokerResponse{}, nil
}

// DescribeDrain implements runnelv1.AdminServer. Of a broker that is not being drained it tells what there would be to do,
// as far as this broker knows.
func (s *Server) DescribeDrain(ctx context.Context, r *runnelv1.DescribeDrainRequest) (*runnelv1.DescribeDrainResponse, error) {
	const api = "describe_drain"
	o, _, err := s.look(ctx, api)
	if err != nil {
		return nil, err
	}
	id := r.GetBroker()
	for i := range o.Drains {
		if o.Drains[i].Broker == id {
			d := describeDrain(&o.Drains[i], o.Moves)
			d.Waiting = append(d.Waiting, whyStill(d)...)
			return &runnelv1.DescribeDrainResponse{Drain: d}, nil
		}
	}
	st := s.cluster.State()
	if st.Brokers[id] == nil {
		return nil, s.fail(api, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_BROKER, "broker %d is not a member of the cluster", id))
	}
	d := plan.Drain(s.guess(st), id)
	return &runnelv1.DescribeDrainResponse{Drain: describeDrain(&d, o.Moves)}, nil
}

// guess is the planners' view of the cluster as this broker knows it.
func (s *Server) guess(st *placement.State) plan.View {
	v := plan.View{State: st, Alive: map[int32]bool{}, Leaders: map[uint64]int32{}}
	for id := range st.Brokers {
		v.Alive[id] = s.cluster.Alive(id)
	}
	for _, t := range st.Topics {
		for i := range t.Partitions {
			if id, _, ok := s.cluster.Leader(t.Partitions[i].Group); ok {
				v.Leaders[t.Partitions[i].Group] = id
			}
		}
	}
	return v
}

// whyStill tells why a drain that is not blocked does not take off more.
func whyStill(d *runnelv1.DrainDescription) (why []string) {
	rest := d.GetReplicas() - d.GetMoving() - int32(len(d.GetBlocked())) - d.GetBlockedMore() //nolint:gosec // counts replicas
	switch {
	case rest > 0 && d.GetMoving() > 0:
		why = append(why, "its other replicas wait for their turn: so many move at a time")
	case d.GetReplicas() == 0 && d.GetControllerVoter():
		why = append(why, "it votes in the controller group until another broker has taken its place")
	}
	return why
}
