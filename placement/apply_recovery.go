package placement

import "slices"

func (s *State) recordRecovery(c RecordRecovery) (Result, error) {
	t, err := s.partitionOf(c.TopicID, c.Partition)
	if err != nil {
		return Result{}, err
	}
	if len(c.Note) > MaxReasonBytes {
		return Result{}, Errorf(CodeInvalid, "the note is %d bytes long: at most %d are allowed", len(c.Note), MaxReasonBytes)
	}
	p := t.Partitions[c.Partition]
	if anew := c.After != 0 && c.After == p.Recovered; !anew && s.recovered(c, &p) {
		return Result{}, nil // asked for again
	}
	lost, ids, err := loses(t, &p, c)
	if err != nil {
		return Result{}, err
	}
	next := Partition{}
	if c.Kept == 0 {
		total, err := s.validateBrokers([][]int32{c.Brokers})
		if err != nil {
			return Result{}, err
		}
		next = s.newPartitions([][]int32{c.Brokers})[0]
		s.Replicas += total
	} else {
		kept, _ := p.Replica(c.Kept)
		kept.Learner = false
		next.Group, next.Replicas, next.Recovered = p.Group, []Replica{kept}, s.Revision+1
		next.Founders, _ = p.Founding()
	}
	s.bury(t.Name, c.Partition, p.Group, lost)
	nt := *t
	nt.RF = t.ReplicationFactor() // what the planner brings the partition back to
	nt.Partitions = slices.Clone(t.Partitions)
	nt.Partitions[c.Partition] = next
	s.setTopic(&nt)
	keep := s.Recoveries
	if len(keep) >= MaxRecoveries {
		keep = keep[len(keep)-MaxRecoveries+1:]
	}
	s.Recoveries = append(slices.Clone(keep), Recovery{
		Topic: t.Name, TopicID: t.ID, Partition: c.Partition, Kept: c.Kept, Lost: ids, Note: c.Note, Revision: s.Revision + 1,
	})
	return Result{Changed: true}, nil
}

// loses returns the replicas that a recovery gives up, and their ids, rising, which must be those that it names.
func loses(t *Topic, p *Partition, c RecordRecovery) (lost []Replica, ids []uint64, err error) {
	if c.Kept != 0 {
		if err := keepable(t, p, c); err != nil {
			return nil, nil, err
		}
	}
	ids = []uint64{}
	for _, r := range p.All() {
		if r.ID != c.Kept {
			lost, ids = append(lost, r), append(ids, r.ID)
		}
	}
	slices.Sort(ids)
	named := slices.Clone(c.Lost)
	slices.Sort(named)
	// One that is kept and was the only one loses nobody: its group may still have others in its configuration.
	if len(lost) == 0 && c.Kept == 0 || !slices.Equal(named, ids) {
		return nil, nil, Errorf(CodeOutdated, "keeping replica %d of %s/%d loses replicas %v, and %v were named: look at its replicas again", c.Kept, t.Name, c.Partition, ids, c.Lost)
	}
	return lost, ids, nil
}

// keepable tells whether a replica can be the one that is kept. A learner can once it is known to be installed: it holds what was
// committed, up to some point, and may be all that is left of a partition that was on the way to another broker.
func keepable(t *Topic, p *Partition, c RecordRecovery) error {
	kept, ok := p.Replica(c.Kept)
	if !ok {
		return Errorf(CodeOutdated, "%s/%d has no replica %d to keep: look at its replicas again", t.Name, c.Partition, c.Kept)
	}
	if len(c.Brokers) > 0 {
		return Errorf(CodeInvalid, "%s/%d is to keep replica %d and to begin anew on brokers %v: choose one", t.Name, c.Partition, c.Kept, c.Brokers)
	}
	if kept.Learner && !p.Move.KnownInstalled() {
		return Errorf(CodeInvalid, "replica %d of %s/%d is not known to be installed and cannot be the one that is kept", c.Kept, t.Name, c.Partition)
	}
	return nil
}

// recovered tells whether the recovery was made already, and nothing happened to the partition since.
func (s *State) recovered(c RecordRecovery, p *Partition) bool {
	if c.Kept != 0 && (p.Move != nil || len(p.Replicas) != 1 || p.Replicas[0].ID != c.Kept) {
		return false
	}
	lost := slices.Clone(c.Lost)
	slices.Sort(lost)
	return slices.ContainsFunc(s.Recoveries, func(r Recovery) bool {
		return r.TopicID == c.TopicID && r.Partition == c.Partition && r.Kept == c.Kept && slices.Equal(r.Lost, lost)
	})
}
