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

// pin tells which topic's id a request lacks, and how to give it; an empty name if it lacks none.
func pin(r Request) (topic string, with func(id uint64) Request) {
	switch q := r.(type) {
	case DeleteTopic:
		if q.ID == 0 {
			return q.Name, func(id uint64) Request { q.ID = id; return q }
		}
	case MovePartition:
		if q.ID == 0 {
			return q.Topic, func(id uint64) Request { q.ID = id; return q }
		}
	case CancelMove:
		if q.ID == 0 {
			return q.Topic, func(id uint64) Request { q.ID = id; return q }
		}
	case TransferLeadership:
		if q.ID == 0 {
			return q.Topic, func(id uint64) Request { q.ID = id; return q }
		}
	case AddPartitions:
		if q.ID == 0 {
			return q.Topic, func(id uint64) Request { q.ID = id; return q }
		}
	case SetReplicationFactor:
		if q.ID == 0 {
			return q.Topic, func(id uint64) Request { q.ID = id; return q }
		}
	case RecoverPartition:
		if q.ID == 0 {
			return q.Topic, func(id uint64) Request { q.ID = id; return q }
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
		if p.Move == nil {
			return nil, nil, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_MOVE, "%s/%d has no move under way that could be cancelled", t.Name, r.Partition)
		}
		return placement.CancelMove{TopicID: t.ID, Partition: r.Partition, Move: p.Move.ID}, nil, nil
	case SetDraining:
		return placement.SetDraining{Broker: r.Broker, Draining: r.Draining}, nil, nil
	case RemoveBroker:
		// One that is alive and not draining may be given replicas at any moment.
		if b := s.Brokers[r.Broker]; b != nil && !b.Draining && c.alive(b.ID) {
			return nil, nil, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_BROKER_IN_USE, "broker %d is alive and not being drained: drain it first, or stop it", b.ID)
		}
		if id, votes := c.votes(s, r.Broker); votes { // the record of it may lag
			return nil, nil, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_BROKER_IN_USE, "broker %d still votes in the controller group as replica %d: wait until another votes in its place", r.Broker, id)
		}
		return placement.RemoveBroker{Broker: r.Broker}, nil, nil
	case AddPartitions:
		return c.planPartitions(s, r)
	case SetReplicationFactor:
		return c.planFactor(s, r)
	case RecoverPartition:
		return c.planRecovery(s, r)
	}
	return nil, nil, invalid("request %T is unknown to this broker: upgrade it", r)
}

// votes tells whether a broker's replica of the controller group has a vote in raft's configuration.
func (c *Controller) votes(s *placement.State, broker int32) (replica uint64, votes bool) {
	c.mu.Lock()
	conf := c.members.conf
	c.mu.Unlock()
	for _, r := range s.Controller {
		if r.Broker == broker && (slices.Contains(conf.GetVoters(), r.ID) || slices.Contains(conf.GetVotersOutgoing(), r.ID)) {
			return r.ID, true
		}
	}
	return 0, false
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
		return placement.SetTopicConfig{Name: t.Name, ID: t.ID, Config: t.Config}, nil, nil // changes nothing and answers the topic
	case r.Partitions < have:
		return nil, nil, invalid("topic %q has %d partitions and can only get more: records would be lost with a partition", t.Name, have)
	}
	a, perr := plan.AddPartitions(s, c.aliveOf(s), t.Name, r.Partitions-have)
	if perr != nil {
		return nil, nil, toError(perr)
	}
	return placement.AddPartitions{Topic: t.Name, TopicID: t.ID, From: have, Brokers: a.Brokers}, a.Reasons, nil
}

func (c *Controller) planFactor(s *placement.State, r SetReplicationFactor) (placement.Command, []string, *runnelv1.Error) {
	t, err := topicIn(s, r.Topic, r.ID)
	if err != nil {
		return nil, nil, err
	}
	cmd := placement.SetReplicationFactor{Topic: t.Name, TopicID: t.ID, RF: r.RF}
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

// planRecovery gives up what cannot come back. It is refused while raft can still decide by itself.
func (c *Controller) planRecovery(s *placement.State, r RecoverPartition) (placement.Command, []string, *runnelv1.Error) {
	t, p, err := partitionIn(s, r.Topic, r.ID, r.Partition)
	if err != nil {
		return nil, nil, err
	}
	if (r.Keep == 0) != r.Anew {
		return nil, nil, invalid("the recovery of %s/%d names the broker whose replica is kept, or says that it begins anew: one of the two", t.Name, r.Partition)
	}
	v := plan.View{State: s, Alive: c.aliveOf(s), Quarantined: c.quarantined()}
	switch {
	case !c.majorityAlive(p):
	case c.vigil(t, r.Partition) >= stuckFor:
		v.Stuck = map[uint64]bool{p.Group: true}
	default:
		kept, ok := p.On(r.Keep)
		if ok && slices.ContainsFunc(s.Recoveries, func(x placement.Recovery) bool {
			return x.TopicID == t.ID && x.Partition == r.Partition && x.Kept == kept.ID
		}) {
			return nil, nil, nil // asked for again
		}
		return nil, nil, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_QUORUM_ALIVE,
			"a majority of the replicas of %s/%d is there: it needs no recovery by hand, and acknowledged records could be lost by one; if it has no leader all the same, ask again in %s", t.Name, r.Partition, stuckFor)
	}
	cmd, reasons, perr := plan.Recover(v, t.Name, r.Partition, r.Keep)
	if perr != nil {
		return nil, nil, toError(perr)
	}
	if r.Ask {
		return nil, reasons, nil
	}
	cmd.Note = r.Note
	return cmd, reasons, nil
}

// quarantined returns what this leader knows of replicas that can never serve again.
func (c *Controller) quarantined() map[uint64]string {
	if d := c.driving(); d != nil {
		return *d.quarantine.Load()
	}
	return nil
}

// majorityAlive tells whether the replicas that decide now can: in a joint configuration both the old and the new ones have to.
func (c *Controller) majorityAlive(p *placement.Partition) bool {
	bad := c.quarantined()
	enough := func(rs []placement.Replica) bool {
		n := 0
		for _, r := range rs {
			if _, q := bad[r.ID]; !q && c.alive(r.Broker) {
				n++
			}
		}
		return n > len(rs)/2
	}
	if p.Move != nil && p.Move.Phase == placement.PhaseJoint && !enough(p.Desired()) {
		return false
	}
	return enough(p.Replicas)
}

// transferLeadership has a partition's leader hand over. It writes no command.
func (c *Controller) transferLeadership(ctx context.Context, r TransferLeadership) (Response, *runnelv1.Error) {
	d := c.driving()
	if d == nil {
		return Response{}, c.notController()
	}
	if err := c.confirm(ctx); err != nil {
		return Response{}, err
	}
	s := c.State()
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
