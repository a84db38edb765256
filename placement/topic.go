package placement

import (
	"maps"
	"slices"
)

func (s *State) createTopic(c CreateTopic) (Result, error) {
	if err := ValidateName(c.Name); err != nil {
		return Result{}, err
	}
	if old := s.Topics[c.Name]; old != nil {
		if c.RequestID != "" && old.RequestID == c.RequestID {
			return Result{Topic: old}, nil // our own work, asked for again
		}
		return Result{}, Errorf(CodeTopicExists, "topic %q exists already", c.Name)
	}
	if c.RequestID != "" && slices.Contains(s.Retired, c.RequestID) {
		return Result{}, Errorf(CodeUnknownTopic, "topic %q was created by this request and has been deleted since", c.Name)
	}
	if err := validateConfig(c.Config); err != nil {
		return Result{}, err
	}
	total, err := s.validateBrokers(c.Brokers)
	if err != nil {
		return Result{}, err
	}
	t := &Topic{Name: c.Name, ID: s.NextTopic, RequestID: c.RequestID}
	if len(c.Config) > 0 {
		t.Config = maps.Clone(c.Config)
	}
	s.NextTopic++
	t.Partitions = s.newPartitions(c.Brokers)
	s.setTopic(t)
	s.Replicas += total
	return Result{Changed: true, Topic: t}, nil
}

func (s *State) validateBrokers(brokers [][]int32) (total int, err error) {
	rf := 0
	if len(brokers) > 0 {
		rf = len(brokers[0])
	}
	if err := ValidateShape(len(brokers), rf); err != nil {
		return 0, err
	}
	for i, bs := range brokers {
		if len(bs) != rf {
			return 0, Errorf(CodeInvalid, "partition %d has %d replicas and partition 0 has %d", i, len(bs), rf)
		}
		for j, b := range bs {
			if s.Brokers[b] == nil {
				return 0, Errorf(CodeUnknownBroker, "partition %d is placed on broker %d, which is not a member of the cluster", i, b)
			}
			if slices.Contains(bs[:j], b) {
				return 0, Errorf(CodeInvalid, "partition %d is placed twice on broker %d", i, b)
			}
		}
		total += len(bs)
	}
	return total, s.ValidateRoom(total)
}

func (s *State) deleteTopic(c DeleteTopic) (Result, error) {
	t, err := s.topic(c.Name, c.ID)
	if err != nil {
		return Result{}, err
	}
	s.Topics = maps.Clone(s.Topics)
	delete(s.Topics, c.Name)
	s.Tombstones = maps.Clone(s.Tombstones)
	for i, p := range t.Partitions {
		gone := p.Replicas
		s.Replicas -= len(p.All())
		if p.Move != nil && p.Move.Installed() {
			gone = p.All()
		}
		s.buryInto(t.Name, int32(i), p.Group, gone) //nolint:gosec // bounded by MaxPartitions
	}
	if t.RequestID != "" {
		keep := s.Retired
		if len(keep) >= MaxRetired {
			keep = keep[len(keep)-MaxRetired+1:]
		}
		s.Retired = append(slices.Clone(keep), t.RequestID)
	}
	return Result{Changed: true, Topic: t}, nil
}

func (s *State) setTopicConfig(c SetTopicConfig) (Result, error) {
	old, err := s.topic(c.Name, c.ID)
	if err != nil {
		return Result{}, err
	}
	return s.giveConfig(old, c.Config)
}

func (s *State) alterTopicConfig(c AlterTopicConfig) (Result, error) {
	old, err := s.topic(c.Name, c.ID)
	if err != nil {
		return Result{}, err
	}
	return s.giveConfig(old, c.Merged(old.Config))
}

// Merged gives the settings that a topic with these has after the command.
func (c *AlterTopicConfig) Merged(config map[string]string) map[string]string {
	return merged(config, c.Set, c.Unset)
}

func (s *State) giveConfig(old *Topic, config map[string]string) (Result, error) {
	if err := validateConfig(config); err != nil {
		return Result{}, err
	}
	if maps.Equal(old.Config, config) {
		return Result{Topic: old}, nil
	}
	t := *old
	t.Config = nil
	if len(config) > 0 {
		t.Config = maps.Clone(config)
	}
	s.setTopic(&t)
	return Result{Changed: true, Topic: &t, Changes: changesOf(old.Config, t.Config)}, nil
}

// topic finds a topic by name; an id other than 0 must be its id.
func (s *State) topic(name string, id uint64) (*Topic, error) {
	t := s.Topics[name]
	if t == nil {
		return nil, Errorf(CodeUnknownTopic, "topic %q does not exist", name)
	}
	if id != 0 && t.ID != id {
		return nil, Errorf(CodeUnknownTopic, "topic %q with id %d does not exist any more: the topic of that name now has id %d", name, id, t.ID)
	}
	return t, nil
}

func (s *State) setTopic(t *Topic) {
	s.Topics = maps.Clone(s.Topics)
	s.Topics[t.Name] = t
}
