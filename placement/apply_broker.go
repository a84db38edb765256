package placement

import (
	"maps"
	"slices"
)

func (s *State) setDraining(c SetDraining) (Result, error) {
	old := s.Brokers[c.Broker]
	if old == nil {
		return Result{}, Errorf(CodeUnknownBroker, "broker %d is not a member of the cluster", c.Broker)
	}
	if old.Draining == c.Draining {
		return Result{Broker: c.Broker}, nil
	}
	b := *old
	b.Draining = c.Draining
	s.setBroker(&b)
	return Result{Changed: true, Broker: c.Broker}, nil
}

// Empty refuses with an *Error if a broker holds a replica of a partition or is to get one.
func (s *State) Empty(broker int32) error {
	for _, name := range s.TopicNames() {
		t := s.Topics[name]
		for n := range t.Partitions {
			p := &t.Partitions[n]
			if _, ok := p.On(broker); ok {
				return Errorf(CodeBrokerInUse, "broker %d still holds a replica of %s/%d: drain it and wait until it is empty", broker, name, n)
			}
			if _, ok := p.Joining(broker); ok {
				return Errorf(CodeBrokerInUse, "broker %d is to get a replica of %s/%d by move %d: cancel the move or wait for it, then drain the broker", broker, name, n, p.Move.ID)
			}
		}
	}
	return nil
}

func (s *State) removeBroker(c RemoveBroker) (Result, error) {
	b := s.Brokers[c.Broker]
	if b == nil {
		if c.Broker > 0 && c.Broker < s.NextBroker {
			return Result{Broker: c.Broker}, nil // it was removed already
		}
		return Result{}, Errorf(CodeUnknownBroker, "broker %d is not a member of the cluster", c.Broker)
	}
	if err := s.Empty(b.ID); err != nil {
		return Result{}, err
	}
	for _, r := range s.Controller {
		if r.Broker == b.ID && !r.Learner {
			return Result{}, Errorf(CodeBrokerInUse, "broker %d still votes in the controller group: drain it and wait until another broker votes in its place", b.ID)
		}
	}
	s.Brokers = maps.Clone(s.Brokers)
	delete(s.Brokers, b.ID)
	s.Controller = slices.DeleteFunc(slices.Clone(s.Controller), func(r Replica) bool { return r.Broker == b.ID })
	var left map[uint64]*Tombstone
	for id, d := range s.Tombstones {
		if d.Broker == b.ID {
			if left == nil {
				left = maps.Clone(s.Tombstones)
			}
			delete(left, id)
		}
	}
	if left != nil {
		s.Tombstones = left
	}
	s.forgetSettings(b.ID)
	return Result{Changed: true, Broker: b.ID}, nil
}
