package placement

import "slices"

// validateMove checks a proposed move of a partition that has none. The error is an *Error.
func (s *State) validateMove(t *Topic, p *Partition, pm *ProposeMove) error {
	if !slices.Contains(kinds, pm.Kind) {
		return Errorf(CodeInvalid, "a move of %s/%d has the unknown kind %q", t.Name, pm.Partition, pm.Kind)
	}
	if len(pm.Reason) > MaxReasonBytes {
		return Errorf(CodeInvalid, "the reason of a move is %d bytes long: at most %d are allowed", len(pm.Reason), MaxReasonBytes)
	}
	if len(pm.AddBrokers) == 0 && len(pm.Removes) == 0 {
		return Errorf(CodeInvalid, "the move of %s/%d changes no replica", t.Name, pm.Partition)
	}
	for i, id := range pm.Removes {
		if slices.Contains(pm.Removes[:i], id) {
			return Errorf(CodeInvalid, "the move of %s/%d removes replica %d twice", t.Name, pm.Partition, id)
		}
		if !slices.ContainsFunc(p.Replicas, func(r Replica) bool { return r.ID == id }) {
			return Errorf(CodeOutdated, "%s/%d has no replica %d to remove: plan anew", t.Name, pm.Partition, id)
		}
	}
	for i, b := range pm.AddBrokers {
		if err := s.validateTarget(t, p, pm, b); err != nil {
			return err
		}
		if slices.Contains(pm.AddBrokers[:i], b) {
			return Errorf(CodeInvalid, "the move of %s/%d adds two replicas on broker %d", t.Name, pm.Partition, b)
		}
	}
	return s.validateCount(t, p, pm)
}

func (s *State) validateTarget(t *Topic, p *Partition, pm *ProposeMove, broker int32) error {
	b := s.Brokers[broker]
	if b == nil {
		return Errorf(CodeUnknownBroker, "%s/%d cannot move to broker %d, which is not a member of the cluster", t.Name, pm.Partition, broker)
	}
	if b.Draining {
		return Errorf(CodeInvalid, "%s/%d cannot move to broker %d, which is being drained: undrain it first", t.Name, pm.Partition, broker)
	}
	old, here := p.On(broker)
	if !here {
		return nil
	}
	// A quarantined replica may stand beside its successor, or three brokers could never heal a partition of three. A dead broker
	// takes no successor; if it is alive again, so is its replica, and two that serve must not be in one place.
	if pm.Kind != KindReplaceQuarantined || !slices.Contains(pm.Removes, old.ID) {
		return Errorf(CodeInvalid, "%s/%d has replica %d on broker %d already: a broker holds one replica of a partition", t.Name, pm.Partition, old.ID, broker)
	}
	return nil
}

func (s *State) validateCount(t *Topic, p *Partition, pm *ProposeMove) error {
	before := len(p.Replicas)
	after := before + len(pm.AddBrokers) - len(pm.Removes)
	if err := ValidateShape(1, after); err != nil {
		return err
	}
	// A move away from the topic's replication factor would be planned back at once.
	if rf := t.ReplicationFactor(); after != before && distance(after, rf) >= distance(before, rf) {
		return Errorf(CodeInvalid, "the move takes %s/%d from %d to %d replicas and the topic's replication factor is %d: change that first", t.Name, pm.Partition, before, after, rf)
	}
	return s.ValidateRoom(len(pm.AddBrokers))
}

func distance(a, b int) int { return max(a, b) - min(a, b) }
