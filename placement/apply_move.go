package placement

import (
	"maps"
	"slices"
)

func (s *State) proposeMoves(c ProposeMoves) (Result, error) {
	if len(c.Moves) == 0 || len(c.Moves) > MaxMoveBatch {
		return Result{}, Errorf(CodeInvalid, "%d moves given: one command has 1 to %d", len(c.Moves), MaxMoveBatch)
	}
	r := Result{Moves: make([]uint64, len(c.Moves))}
	// Topics that this command changes already: their partitions were copied and may be written.
	fresh := map[string]*Topic{}
	for i := range c.Moves {
		pm := &c.Moves[i]
		t, err := s.topic(pm.Topic, pm.TopicID)
		if err != nil {
			return Result{}, err
		}
		if pm.Partition < 0 || int(pm.Partition) >= len(t.Partitions) {
			return Result{}, Errorf(CodeInvalid, "topic %q has partitions 0 to %d, not %d", t.Name, len(t.Partitions)-1, pm.Partition)
		}
		p := t.Partitions[pm.Partition]
		if p.Move != nil {
			if !sameMove(&p, pm) {
				return Result{}, Errorf(CodeMoveUnderWay, "%s/%d has move %d under way (%s, %s): wait for it or cancel it", t.Name, pm.Partition, p.Move.ID, p.Move.Kind, p.Move.Phase)
			}
			r.Moves[i] = p.Move.ID
			continue
		}
		m, err := s.newMove(t, &p, pm)
		if err != nil {
			return Result{}, err
		}
		if fresh[t.Name] == nil {
			if len(fresh) == 0 {
				s.Topics = maps.Clone(s.Topics)
			}
			nt := *t
			nt.Partitions = slices.Clone(t.Partitions)
			s.Topics[t.Name] = &nt
			fresh[t.Name] = &nt
		}
		fresh[t.Name].Partitions[pm.Partition].Move = m
		s.NextMove = m.ID + 1
		s.NextReplica += uint64(len(m.Adds))
		s.Replicas += len(m.Adds)
		r.Moves[i] = m.ID
		r.Changed = true
	}
	return r, nil
}

// sameMove tells whether the partition's move is the one that is proposed.
func sameMove(p *Partition, pm *ProposeMove) bool {
	m := p.Move
	if m.Cancelled || m.Kind != pm.Kind || !slices.Equal(m.Removes, pm.Removes) {
		return false
	}
	if !slices.EqualFunc(m.Adds, pm.AddBrokers, func(r Replica, b int32) bool { return r.Broker == b }) {
		return false
	}
	return len(pm.OrderBrokers) == 0 || slices.EqualFunc(p.Desired(), pm.OrderBrokers, func(r Replica, b int32) bool { return r.Broker == b })
}

// newMove checks a proposed move and makes it, with the next ids of the state.
func (s *State) newMove(t *Topic, p *Partition, pm *ProposeMove) (*Move, error) {
	if err := s.validateMove(t, p, pm); err != nil {
		return nil, err
	}
	m := &Move{
		ID: s.NextMove, Phase: PhaseProposed, Removes: slices.Clone(pm.Removes),
		Reason: pm.Reason, Kind: pm.Kind, Revision: s.Revision + 1,
	}
	for i, b := range pm.AddBrokers {
		m.Adds = append(m.Adds, Replica{ID: s.NextReplica + uint64(i), Broker: b, Learner: true}) //nolint:gosec // an index
	}
	// The default order: each new replica stands where one leaves, the others at the end.
	spare := m.Adds
	for _, r := range p.Replicas {
		switch {
		case !slices.Contains(m.Removes, r.ID):
			m.Order = append(m.Order, r.ID)
		case len(spare) > 0:
			m.Order = append(m.Order, spare[0].ID)
			spare = spare[1:]
		}
	}
	for _, r := range spare {
		m.Order = append(m.Order, r.ID)
	}
	if len(pm.OrderBrokers) == 0 {
		return m, nil
	}
	after := Partition{Replicas: p.Replicas, Move: m}
	result := after.Desired()
	m.Order = m.Order[:0]
	for _, b := range pm.OrderBrokers {
		i := slices.IndexFunc(result, func(r Replica) bool { return r.Broker == b })
		if i < 0 || slices.Contains(m.Order, result[i].ID) {
			return nil, Errorf(CodeInvalid, "the order %v of %s/%d is not that of its replicas after the move", pm.OrderBrokers, t.Name, pm.Partition)
		}
		m.Order = append(m.Order, result[i].ID)
	}
	if len(m.Order) != len(result) {
		return nil, Errorf(CodeInvalid, "the order %v of %s/%d names %d of its %d replicas after the move", pm.OrderBrokers, t.Name, pm.Partition, len(m.Order), len(result))
	}
	return m, nil
}

// moveAt finds a partition with the move that a command names.
func (s *State) moveAt(topicID uint64, n int32, id uint64) (*Topic, Partition, error) {
	t, err := s.partitionOf(topicID, n)
	if err != nil {
		return nil, Partition{}, err
	}
	p := t.Partitions[n]
	if p.Move == nil || p.Move.ID != id {
		return nil, Partition{}, Errorf(CodeUnknownMove, "%s/%d has no move %d: it is over, or it never was", t.Name, n, id)
	}
	return t, p, nil
}

// partitionOf finds the topic by id and checks that it has the partition.
func (s *State) partitionOf(topicID uint64, n int32) (*Topic, error) {
	t := s.TopicByID(topicID)
	if t == nil {
		return nil, Errorf(CodeUnknownTopic, "no topic has id %d: it was deleted", topicID)
	}
	if n < 0 || int(n) >= len(t.Partitions) {
		return nil, Errorf(CodeInvalid, "topic %q has partitions 0 to %d, not %d", t.Name, len(t.Partitions)-1, n)
	}
	return t, nil
}

// setPartition replaces one partition of a topic.
func (s *State) setPartition(t *Topic, n int32, p Partition) {
	nt := *t
	nt.Partitions = slices.Clone(t.Partitions)
	nt.Partitions[n] = p
	s.setTopic(&nt)
}

func (s *State) advanceMove(c AdvanceMove) (Result, error) {
	t, p, err := s.moveAt(c.TopicID, c.Partition, c.Move)
	if err != nil {
		return Result{}, err
	}
	m := *p.Move
	if m.Phase == c.To && !m.Cancelled {
		return Result{}, nil // asked for again
	}
	next := m.Next() == c.To || m.Back() == c.To
	if m.Cancelled {
		if !c.Entered || !m.BeforeJoint() || c.To != PhaseJoint {
			return Result{}, Errorf(CodeMovePhase, "move %d of %s/%d was cancelled and goes no further", m.ID, t.Name, c.Partition)
		}
		next = true // its group entered the joint configuration after all
	}
	if m.Phase != c.From || !next || c.To == "" {
		return Result{}, Errorf(CodeMovePhase, "move %d of %s/%d is %s: it cannot go from %q to %q", m.ID, t.Name, c.Partition, m.Phase, c.From, c.To)
	}
	m.SteppedBack = m.SteppedBack || c.To == m.Back()
	m.Phase, m.Cancelled, m.Revision = c.To, false, s.Revision+1
	p.Move = &m
	s.setPartition(t, c.Partition, p)
	return Result{Changed: true}, nil
}

func (s *State) cancelMove(c CancelMove) (Result, error) {
	t, p, err := s.moveAt(c.TopicID, c.Partition, c.Move)
	if err != nil {
		return Result{}, err
	}
	m := *p.Move
	switch {
	case m.Cancelled:
		return Result{}, nil
	case !m.Cancellable():
		return Result{}, Errorf(CodeMovePhase, "move %d of %s/%d is %s and can only go forward: wait for it and move the partition back", m.ID, t.Name, c.Partition, m.Phase)
	case !m.Installed() && !m.SteppedBack:
		p.Move = nil
		s.Replicas -= len(m.Adds)
	default:
		m.Cancelled, m.Revision = true, s.Revision+1
		p.Move = &m
	}
	s.setPartition(t, c.Partition, p)
	return Result{Changed: true}, nil
}

func (s *State) endCancelled(c EndCancelled) (Result, error) {
	t, p, err := s.moveAt(c.TopicID, c.Partition, c.Move)
	if err != nil {
		return Result{}, err
	}
	if !p.Move.Cancelled {
		return Result{}, Errorf(CodeMovePhase, "move %d of %s/%d was not cancelled", c.Move, t.Name, c.Partition)
	}
	s.bury(t.Name, c.Partition, p.Group, p.Move.Adds)
	p.Move = nil
	s.setPartition(t, c.Partition, p)
	return Result{Changed: true}, nil
}

func (s *State) finishMove(c FinishMove) (Result, error) {
	t, p, err := s.moveAt(c.TopicID, c.Partition, c.Move)
	if err != nil {
		return Result{}, err
	}
	if p.Move.Phase != PhaseLeft {
		return Result{}, Errorf(CodeMovePhase, "move %d of %s/%d is %s: it is finished when its group has left the joint configuration", c.Move, t.Name, c.Partition, p.Move.Phase)
	}
	left := slices.DeleteFunc(slices.Clone(p.Replicas), func(r Replica) bool { return !slices.Contains(p.Move.Removes, r.ID) })
	s.bury(t.Name, c.Partition, p.Group, left)
	p.Founders, _ = p.Founding()
	p.Replicas, p.Move = p.Desired(), nil
	s.setPartition(t, c.Partition, p)
	return Result{Changed: true}, nil
}

// bury leaves tombstones for replicas that leave the state and counts them out.
func (s *State) bury(topic string, n int32, group uint64, gone []Replica) {
	s.Replicas -= len(gone)
	if len(gone) == 0 {
		return
	}
	s.Tombstones = maps.Clone(s.Tombstones)
	s.buryInto(topic, n, group, gone)
}

// buryInto is bury on tombstones that were copied already; it does not count.
func (s *State) buryInto(topic string, n int32, group uint64, gone []Replica) {
	for _, r := range gone {
		s.Tombstones[r.ID] = &Tombstone{Group: group, Replica: r.ID, Broker: r.Broker, Topic: topic, Partition: n, Revision: s.Revision + 1}
	}
}
