package controller

import (
	"context"
	"fmt"
	"slices"

	"github.com/runnel-io/runnel/placement"
	"github.com/runnel-io/runnel/placement/ask"
	"github.com/runnel-io/runnel/placement/plan"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// pin tells of which topic a request lacks the id, or more, and how to give it that; an empty name if it lacks nothing.
func pin(r Request) (topic string, with func(t *placement.Topic) Request) {
	switch q := r.(type) {
	case DeleteTopic:
		if q.ID == 0 {
			return q.Name, func(t *placement.Topic) Request { q.ID = t.ID; return q }
		}
	case MovePartition:
		if q.ID == 0 {
			return q.Topic, func(t *placement.Topic) Request { q.ID = t.ID; return q }
		}
	case CancelMove:
		if q.ID == 0 || q.Move == 0 {
			return q.Topic, func(t *placement.Topic) Request {
				if q.ID == 0 {
					q.ID = t.ID
				}
				if n := int(q.Partition); q.Move == 0 && n >= 0 && n < len(t.Partitions) && t.Partitions[n].Move != nil {
					q.Move = t.Partitions[n].Move.ID
				}
				return q
			}
		}
	case TransferLeadership:
		if q.ID == 0 {
			return q.Topic, func(t *placement.Topic) Request { q.ID = t.ID; return q }
		}
	case AddPartitions:
		if q.ID == 0 {
			return q.Topic, func(t *placement.Topic) Request { q.ID = t.ID; return q }
		}
	case SetReplicationFactor:
		if q.ID == 0 {
			return q.Topic, func(t *placement.Topic) Request { q.ID = t.ID; return q }
		}
	case RecoverPartition:
		if q.ID == 0 {
			return q.Topic, func(t *placement.Topic) Request { q.ID = t.ID; return q }
		}
	}
	return "", nil
}

// planOperation turns an operator's request into the command that fulfils it on a state; nil if nothing is to be changed.
func (c *Controller) planOperation(s *placement.State, r Request) (placement.Command, []string, *runnelv1.Error) {
	switch r := r.(type) {
	case MovePartition:
		cmd, err := c.planMove(s, r)
		return cmd, nil, err
	case CancelMove:
		t, p, err := partitionIn(s, r.Topic, r.ID, r.Partition)
		if err != nil {
			return nil, nil, err
		}
		if p.Move != nil && r.Move != 0 && p.Move.ID != r.Move {
			return nil, nil, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_MOVE, "move %d of %s/%d is over: move %d is under way, which is left alone", r.Move, t.Name, r.Partition, p.Move.ID)
		}
		if p.Move == nil || r.Move == 0 {
			return nil, nil, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_MOVE, "%s/%d has no move under way that could be cancelled", t.Name, r.Partition)
		}
		return placement.CancelMove{TopicID: t.ID, Partition: r.Partition, Move: p.Move.ID}, nil, nil
	case SetDraining:
		return placement.SetDraining{Broker: r.Broker, Draining: r.Draining}, nil, nil
	case RemoveBroker:
		cmd, err := c.planRemoval(s, r.Broker)
		return cmd, nil, err
	case AddPartitions:
		return c.planPartitions(s, r)
	case SetReplicationFactor:
		return c.planFactor(s, r)
	case RecoverPartition:
		return c.planRecovery(s, r)
	}
	return nil, nil, invalid("request %T is unknown to this broker: upgrade it", r)
}

// planRemoval removes a broker, or, if it is silent and only its vote in the controller group is left of it, begins to take that.
func (c *Controller) planRemoval(s *placement.State, broker int32) (placement.Command, *runnelv1.Error) {
	b := s.Brokers[broker]
	silent := b != nil && !c.alive(broker)
	// One that is alive and not draining may be given replicas at any moment.
	if b != nil && !b.Draining && !silent {
		return nil, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_BROKER_IN_USE, "broker %d is alive and not being drained: drain it first, or stop it", b.ID)
	}
	vote := c.votes(s, broker) // the record of it may lag
	if vote == nil && b != nil && slices.ContainsFunc(s.Controller, func(r placement.Replica) bool { return r.Broker == broker && !r.Learner }) {
		vote = runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_BROKER_IN_USE, "broker %d is still recorded as a voter of the controller group: ask again", broker)
	}
	switch {
	case vote == nil:
		return placement.RemoveBroker{Broker: broker}, nil
	case vote.GetKind() == runnelv1.ErrorKind_ERROR_KIND_RETRIABLE || !silent || s.Empty(broker) != nil:
		return nil, vote
	case !b.Draining: // the controller group takes the vote of one that drains, silent or not
		return placement.SetDraining{Broker: broker, Draining: true}, nil
	}
	vote.Kind = runnelv1.ErrorKind_ERROR_KIND_RETRIABLE
	vote.Message = fmt.Sprintf("broker %d is silent and holds nothing; its vote in the controller group is being taken: ask again in a moment. It is drained meanwhile: undrain it to keep it", broker)
	return nil, vote
}

// whole tells whether a command did all that was asked; if not, the request is planned anew on what it led to.
func whole(q Request, s *placement.State) bool {
	r, removal := q.(RemoveBroker)
	return !removal || s.Brokers[r.Broker] == nil
}

// showResult sets what a request answers beside what its command gave.
func showResult(q Request, s *placement.State, r *Response) {
	switch q := q.(type) {
	case MovePartition:
		if t, p, err := partitionIn(s, q.Topic, q.ID, q.Partition); err == nil {
			r.Topic, r.Move = t, p.Move
		}
	case RecoverPartition:
		if t, _, err := partitionIn(s, q.Topic, q.ID, q.Partition); err == nil {
			r.Topic = t
		}
	}
}

func topicIn(s *placement.State, name string, id uint64) (*placement.Topic, *runnelv1.Error) {
	t := s.Topics[name]
	if t == nil || id != 0 && t.ID != id {
		return nil, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_TOPIC, "topic %q does not exist, or no longer with this id", name)
	}
	return t, nil
}

func partitionIn(s *placement.State, name string, id uint64, number int32) (*placement.Topic, *placement.Partition, *runnelv1.Error) {
	t, err := topicIn(s, name, id)
	if err != nil {
		return nil, nil, err
	}
	if number < 0 || int(number) >= len(t.Partitions) {
		return nil, nil, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_PARTITION, "topic %q has partitions 0 to %d, not %d", name, len(t.Partitions)-1, number)
	}
	return t, &t.Partitions[number], nil
}

func isOn(replicas []placement.Replica, brokers []int32) bool {
	return slices.EqualFunc(replicas, brokers, func(r placement.Replica, b int32) bool { return r.Broker == b })
}

// planMove makes a move of the brokers that a partition shall be on, or only an order of its replicas.
func (c *Controller) planMove(s *placement.State, r MovePartition) (placement.Command, *runnelv1.Error) {
	t, p, err := partitionIn(s, r.Topic, r.ID, r.Partition)
	if err != nil {
		return nil, err
	}
	if len(r.Brokers) == 0 {
		return nil, invalid("a move of %s/%d names no brokers: name all that shall hold it, the preferred leader first", t.Name, r.Partition)
	}
	if m := p.Move; m != nil {
		if !m.Cancelled && isOn(p.Desired(), r.Brokers) {
			return nil, nil // asked for again
		}
		return nil, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_MOVE_UNDER_WAY, "%s/%d has move %d under way (%s, %s): wait for it or cancel it", t.Name, r.Partition, m.ID, m.Kind, m.Phase)
	}
	pm := placement.ProposeMove{Topic: t.Name, TopicID: t.ID, Partition: r.Partition, OrderBrokers: r.Brokers, Reason: r.Reason, Kind: placement.KindManual}
	if pm.Reason == "" {
		pm.Reason = "an operator asked for it"
	}
	for i, b := range r.Brokers {
		if slices.Contains(r.Brokers[:i], b) {
			return nil, invalid("the move of %s/%d names broker %d twice", t.Name, r.Partition, b)
		}
		if _, here := p.On(b); here {
			continue
		}
		if s.Brokers[b] != nil && !c.alive(b) {
			return nil, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_NOT_ENOUGH_BROKERS, "%s/%d cannot move to broker %d, which is silent: start it, or name another", t.Name, r.Partition, b)
		}
		pm.AddBrokers = append(pm.AddBrokers, b)
	}
	for _, x := range p.Replicas {
		if !slices.Contains(r.Brokers, x.Broker) {
			pm.Removes = append(pm.Removes, x.ID)
		}
	}
	if len(pm.AddBrokers)+len(pm.Removes) > 0 {
		return pm, nil
	}
	cmd := placement.SetPreferred{TopicID: t.ID, Partition: r.Partition}
	for _, b := range r.Brokers {
		x, _ := p.On(b)
		cmd.Order = append(cmd.Order, x.ID)
	}
	return cmd, nil
}

func (c *Controller) planPartitions(s *placement.State, r AddPartitions) (placement.Command, []string, *runnelv1.Error) {
	t, err := topicIn(s, r.Topic, r.ID)
	if err != nil {
		return nil, nil, err
	}
	have := len(t.Partitions)
	switch {
	case r.Partitions == have:
		return placement.AlterTopicConfig{Name: t.Name, ID: t.ID}, nil, nil // changes nothing and answers the topic
	case r.Partitions < have:
		return nil, nil, invalid("topic %q has %d partitions and can only get more: records would be lost with a partition", t.Name, have)
	}
	a, perr := plan.AddPartitions(s, c.aliveOf(s), t.Name, r.Partitions-have)
	if perr != nil {
		return nil, nil, toError(perr)
	}
	return placement.AddPartitions{Topic: t.Name, TopicID: t.ID, From: have, Brokers: a.Brokers, By: r.By}, a.Reasons, nil
}

func (c *Controller) planFactor(s *placement.State, r SetReplicationFactor) (placement.Command, []string, *runnelv1.Error) {
	t, err := topicIn(s, r.Topic, r.ID)
	if err != nil {
		return nil, nil, err
	}
	cmd := placement.SetReplicationFactor{Topic: t.Name, TopicID: t.ID, RF: r.RF, By: r.By}
	if t.ReplicationFactor() == r.RF {
		return cmd, nil, nil
	}
	p, perr := plan.ReplicationFactor(plan.View{State: s, Alive: c.aliveOf(s)}, t.Name, r.RF)
	if perr != nil {
		return nil, nil, toError(perr)
	}
	reasons := append(p.Reasons, fmt.Sprintf("%d of %d partitions are moved, a few at a time", len(p.Moves), len(t.Partitions)))
	for _, b := range p.Blocked {
		reasons = append(reasons, fmt.Sprintf("%s/%d waits: %s", b.Topic, b.Partition, b.Reason))
	}
	return cmd, reasons, nil
}

// transferLeadership has a partition's leader hand over. It writes no command.
func (c *Controller) transferLeadership(ctx context.Context, r TransferLeadership) (Response, *runnelv1.Error) {
	d := c.driving()
	if d == nil {
		return Response{}, c.notController()
	}
	s, err := c.confirmed(ctx)
	if err != nil {
		return Response{}, err
	}
	t, p, err := partitionIn(s, r.Topic, r.ID, r.Partition)
	if err != nil {
		return Response{}, err
	}
	to, ok := p.On(r.To)
	if !ok {
		return Response{}, invalid("broker %d holds no replica of %s/%d that votes: name one that does", r.To, t.Name, r.Partition)
	}
	lead, _, known := c.cfg.Leader(p.Group)
	if !known {
		return Response{}, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_UNAVAILABLE, "%s/%d has no leader now that could hand over: try again", t.Name, r.Partition)
	}
	resp := Response{Revision: s.Revision, ClusterID: s.ClusterID, Topic: t}
	if !d.ask(ctx, func() { d.hold(p.Group) }) {
		return Response{}, c.notController()
	}
	if lead == r.To {
		return resp, nil
	}
	req := ask.ChangeRequest{Group: p.Group, Kind: ask.Transfer, Replica: to.ID, Broker: r.To}
	if _, err := d.call(ctx, lead, ask.MethodChange, ask.Encode(req), transferLimit); err != nil {
		return Response{}, err
	}
	return resp, nil
}
