package placement

import (
	"slices"
	"strconv"
)

func (s *State) setPreferred(c SetPreferred) (Result, error) {
	t, err := s.partitionOf(c.TopicID, c.Partition)
	if err != nil {
		return Result{}, err
	}
	p := t.Partitions[c.Partition]
	if p.Move != nil {
		return Result{}, Errorf(CodeMoveUnderWay, "%s/%d has move %d under way, which sets the order of its replicas: wait for it", t.Name, c.Partition, p.Move.ID)
	}
	order := make([]Replica, 0, len(p.Replicas))
	for i, id := range c.Order {
		r, ok := p.Replica(id)
		if !ok {
			return Result{}, Errorf(CodeOutdated, "%s/%d has no replica %d to put in order: plan anew", t.Name, c.Partition, id)
		}
		if slices.Contains(c.Order[:i], id) {
			return Result{}, Errorf(CodeInvalid, "the order of %s/%d names replica %d twice", t.Name, c.Partition, id)
		}
		order = append(order, r)
	}
	if len(order) != len(p.Replicas) {
		return Result{}, Errorf(CodeOutdated, "the order of %s/%d names %d of its %d replicas: plan anew", t.Name, c.Partition, len(order), len(p.Replicas))
	}
	if slices.Equal(order, p.Replicas) {
		return Result{}, nil
	}
	p.Replicas = order
	s.setPartition(t, c.Partition, p)
	return Result{Changed: true}, nil
}

func (s *State) addPartitions(c AddPartitions) (Result, error) {
	t, err := s.topic(c.Topic, c.TopicID)
	if err != nil {
		return Result{}, err
	}
	have := len(t.Partitions)
	switch {
	case c.From != 0 && have >= c.From+len(c.Brokers) && len(c.Brokers) > 0:
		return Result{Topic: t}, nil // it has them already
	case c.From != 0 && have != c.From:
		return Result{}, Errorf(CodeOutdated, "topic %q has %d partitions and this was planned for %d: plan anew", t.Name, have, c.From)
	}
	total, err := s.validateBrokers(c.Brokers)
	if err != nil {
		return Result{}, err
	}
	if rf := t.ReplicationFactor(); len(c.Brokers[0]) != rf {
		return Result{}, Errorf(CodeOutdated, "the new partitions of topic %q have %d replicas and its replication factor is %d: plan anew", t.Name, len(c.Brokers[0]), rf)
	}
	if err := ValidateShape(have+len(c.Brokers), len(c.Brokers[0])); err != nil {
		return Result{}, err
	}
	nt := *t
	nt.Partitions = append(slices.Clip(t.Partitions), s.newPartitions(c.Brokers)...)
	s.Replicas += total
	s.setTopic(&nt)
	return Result{Changed: true, Topic: &nt, Changes: counted("partitions", have, len(nt.Partitions))}, nil
}

// newPartitions makes partitions with the next ids of the state.
func (s *State) newPartitions(brokers [][]int32) []Partition {
	out := make([]Partition, len(brokers))
	for i, bs := range brokers {
		p := Partition{Group: s.NextGroup, Replicas: make([]Replica, len(bs))}
		s.NextGroup++
		for j, b := range bs {
			p.Replicas[j] = Replica{ID: s.NextReplica, Broker: b}
			s.NextReplica++
		}
		out[i] = p
	}
	return out
}

func (s *State) setReplicationFactor(c SetReplicationFactor) (Result, error) {
	t, err := s.topic(c.Topic, c.TopicID)
	if err != nil {
		return Result{}, err
	}
	if err := ValidateShape(1, c.RF); err != nil {
		return Result{}, err
	}
	if t.ReplicationFactor() == c.RF {
		return Result{Topic: t}, nil
	}
	if more := (c.RF - t.ReplicationFactor()) * len(t.Partitions); more > 0 {
		if err := s.ValidateRoom(more); err != nil {
			return Result{}, err
		}
	}
	nt := *t
	nt.RF = c.RF
	s.setTopic(&nt)
	return Result{Changed: true, Topic: &nt, Changes: counted("replication factor", t.ReplicationFactor(), c.RF)}, nil
}

// counted is the change of a number.
func counted(key string, old, now int) []Change {
	return []Change{{Key: key, Old: strconv.Itoa(old), New: strconv.Itoa(now)}}
}
