package admin

import (
	"context"
	"slices"

	"github.com/runnel-io/runnel/placement/controller"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// MovePartition implements runnelv1.AdminServer.
func (s *Server) MovePartition(ctx context.Context, r *runnelv1.MovePartitionRequest) (*runnelv1.MovePartitionResponse, error) {
	const api = "move_partition"
	if err := s.begin(api); err != nil {
		return nil, err
	}
	if err := targets(r.GetBrokers()); err != nil {
		return nil, s.fail(api, err)
	}
	before, err := s.before(ctx, r.GetTopic(), r.GetTopicId(), r.GetPartition())
	if err != nil {
		return nil, s.fail(api, err)
	}
	res, err := s.change(ctx, api, controller.MovePartition{
		Topic: r.GetTopic(), ID: r.GetTopicId(), Partition: r.GetPartition(), Brokers: r.GetBrokers(), Reason: r.GetReason(),
	})
	if err != nil {
		return nil, err
	}
	if res.Move == nil {
		return &runnelv1.MovePartitionResponse{}, nil
	}
	s.log.Info("move asked for", "topic", r.GetTopic(), "partition", r.GetPartition(), "move", res.Move.ID, "to", r.GetBrokers())
	return &runnelv1.MovePartitionResponse{Move: describeMove(&controller.MoveProgress{
		Topic: r.GetTopic(), Partition: r.GetPartition(), Move: *res.Move, From: before, To: r.GetBrokers(),
	})}, nil
}

func targets(brokers []int32) error {
	if len(brokers) == 0 {
		return invalid("the move names no broker: name those that shall have a replica, the preferred leader first")
	}
	for i, b := range brokers {
		if b < 1 {
			return invalid("%d is no broker's id: they begin at 1", b)
		}
		if slices.Contains(brokers[:i], b) {
			return invalid("broker %d is named twice: a broker holds one replica of a partition", b)
		}
	}
	return nil
}

// before is where a partition is now. The topic's id may be 0: any.
func (s *Server) before(ctx context.Context, topic string, id uint64, n int32) ([]int32, error) {
	ctx, cancel := s.within(ctx, s.patience(ctx))
	defer cancel()
	t, err := s.topic(ctx, topic)
	if err != nil {
		return nil, err
	}
	p, err := partitionOf(t, n)
	if err != nil || sameTopic(t, id) != nil { // perhaps it was added since, or the topic made anew
		if t, err = s.newest(ctx, topic); err != nil {
			return nil, err
		}
		if err = sameTopic(t, id); err != nil {
			return nil, err
		}
		if p, err = partitionOf(t, n); err != nil {
			return nil, err
		}
	}
	return brokersOf(p.Replicas), nil
}

// CancelMove implements runnelv1.AdminServer.
func (s *Server) CancelMove(ctx context.Context, r *runnelv1.CancelMoveRequest) (*runnelv1.CancelMoveResponse, error) {
	const api = "cancel_move"
	if err := s.begin(api); err != nil {
		return nil, err
	}
	if _, err := s.change(ctx, api, controller.CancelMove{Topic: r.GetTopic(), Partition: r.GetPartition(), Move: r.GetMove()}); err != nil {
		return nil, err
	}
	s.log.Info("move cancelled", "topic", r.GetTopic(), "partition", r.GetPartition(), "move", r.GetMove())
	return &runnelv1.CancelMoveResponse{}, nil
}

// TransferLeadership implements runnelv1.AdminServer.
func (s *Server) TransferLeadership(ctx context.Context, r *runnelv1.TransferLeadershipRequest) (*runnelv1.TransferLeadershipResponse, error) {
	const api = "transfer_leadership"
	if err := s.begin(api); err != nil {
		return nil, err
	}
	at, err := s.before(ctx, r.GetTopic(), 0, r.GetPartition())
	if err != nil {
		return nil, s.fail(api, err)
	}
	to := r.GetTo()
	if to == 0 && len(at) > 0 {
		to = at[0]
	}
	if to < 1 {
		return nil, s.fail(api, invalid("%d is no broker's id: name a broker with a replica of %s/%d", to, r.GetTopic(), r.GetPartition()))
	}
	if _, err := s.change(ctx, api, controller.TransferLeadership{Topic: r.GetTopic(), Partition: r.GetPartition(), To: to}); err != nil {
		return nil, err
	}
	s.log.Info("leadership transferred", "topic", r.GetTopic(), "partition", r.GetPartition(), "to", to)
	seen, cancel := s.within(ctx, min(viewWait, s.patience(ctx)))
	defer cancel()
	s.until(seen, func() bool {
		p := partitionAt(s.cluster.State().Topics[r.GetTopic()], r.GetPartition())
		if p == nil {
			return true
		}
		leader, _, ok := s.cluster.Leader(p.Group)
		return ok && leader == to
	})
	return &runnelv1.TransferLeadershipResponse{Leader: to}, nil
}

// ListMoves implements runnelv1.AdminServer.
func (s *Server) ListMoves(ctx context.Context, r *runnelv1.ListMovesRequest) (*runnelv1.ListMovesResponse, error) {
	const api = "list_moves"
	o, _, err := s.look(ctx, api)
	if err != nil {
		return nil, err
	}
	if t := r.GetTopic(); t != "" {
		if _, err := s.topic(ctx, t); err != nil {
			return nil, s.fail(api, err)
		}
		o.Moves = slices.DeleteFunc(o.Moves, func(m controller.MoveProgress) bool { return m.Topic != t })
	}
	out := &runnelv1.ListMovesResponse{}
	out.Moves, out.More = describeMoves(o.Moves)
	return out, nil
}

func describeMoves(moves []controller.MoveProgress) (out []*runnelv1.MoveDescription, more int32) {
	moves, more = first(moves)
	for i := range moves {
		out = append(out, describeMove(&moves[i]))
	}
	return out, more
}
