package placement

import (
	"maps"
	"slices"

	"github.com/runnel-io/runnel/partition/env/mutant"
)

// Result is what a command gave, for the one who proposed it. Only the fields of its kind are set.
type Result struct {
	// Changed tells whether the state, and so its revision, changed.
	Changed bool
	// Broker and ControllerReplica answer FoundCluster, RegisterBroker, ReplaceControllerReplica and AddControllerReplica.
	Broker            int32
	ControllerReplica uint64
	// Topic answers CreateTopic, DeleteTopic (the topic that is gone), SetTopicConfig, AlterTopicConfig,
	// AddPartitions and SetReplicationFactor.
	Topic *Topic
	// Changes answers AlterSettings, AlterTopicConfig, SetTopicConfig, AddPartitions and SetReplicationFactor: what became different, by
	// rising key.
	Changes []Change
	// Moves answers ProposeMoves: the moves' ids, in the order of the command.
	Moves []uint64
	// FirstProducer and Producers answer AllocateProducers: the ids FirstProducer .. FirstProducer+Producers-1.
	FirstProducer int64
	Producers     int64
}

// Apply folds a command into a state. It never changes s or anything s points to; the state it returns shares what
// did not change. An error is an *Error, and the state returned with it is s itself.
func Apply(s *State, c Command) (*State, Result, error) {
	n := *s
	var r Result
	var err error
	if _, founding := c.(FoundCluster); !founding && s.ClusterID == "" {
		return s, Result{}, Errorf(CodeNotFounded, "the cluster is not founded yet: wait for its first broker")
	}
	switch c := c.(type) {
	case FoundCluster:
		r, err = n.foundCluster(c)
	case RegisterBroker:
		r, err = n.registerBroker(c)
	case CreateTopic:
		r, err = n.createTopic(c)
	case DeleteTopic:
		r, err = n.deleteTopic(c)
	case SetTopicConfig:
		r, err = n.setTopicConfig(c)
	case AlterTopicConfig:
		r, err = n.alterTopicConfig(c)
	case AlterSettings:
		r, err = n.alterSettings(c)
	case AllocateProducers:
		r, err = n.allocateProducers(c)
	case ForgetReplicas:
		r, err = n.forgetReplicas(c)
	case SetControllerReplica:
		r, err = n.setControllerReplica(c)
	case ReplaceControllerReplica:
		r, err = n.replaceControllerReplica(c)
	case AddControllerReplica:
		r, err = n.addControllerReplica(c)
	case ProposeMoves:
		r, err = n.proposeMoves(c)
	case ProposeMove:
		r, err = n.proposeMoves(ProposeMoves{Moves: []ProposeMove{c}})
	case AdvanceMove:
		r, err = n.advanceMove(c)
	case CancelMove:
		r, err = n.cancelMove(c)
	case EndCancelled:
		r, err = n.endCancelled(c)
	case FinishMove:
		r, err = n.finishMove(c)
	case SetPreferred:
		r, err = n.setPreferred(c)
	case SetDraining:
		r, err = n.setDraining(c)
	case RemoveBroker:
		r, err = n.removeBroker(c)
	case AddPartitions:
		r, err = n.addPartitions(c)
	case SetReplicationFactor:
		r, err = n.setReplicationFactor(c)
	case RecordRecovery:
		r, err = n.recordRecovery(c)
	case RecoverController:
		r, err = n.recoverController(c)
	default:
		err = Errorf(CodeUnknownCommand, "command %T is unknown to this version: upgrade the broker", c)
	}
	if err != nil {
		return s, Result{}, err
	}
	if !r.Changed {
		return s, r, nil
	}
	n.Revision++
	n.level = max(n.Level(), LevelOf(c))
	return &n, r, nil
}

// The methods below work on Apply's shallow copy: they may set its fields and must not write through its maps,
// slices or pointers.

func (s *State) foundCluster(c FoundCluster) (Result, error) {
	if c.ClusterID == "" || c.Broker.Incarnation == "" {
		return Result{}, Errorf(CodeInvalid, "founding needs a cluster id and the founder's incarnation")
	}
	if s.ClusterID != "" {
		// The same founder asking again, after an answer that got lost.
		if b := s.Brokers[1]; s.ClusterID == c.ClusterID && b != nil && b.Incarnation == c.Broker.Incarnation {
			return Result{Broker: b.ID, ControllerReplica: b.ControllerReplica}, nil
		}
		return Result{}, Errorf(CodeFounded, "the cluster was founded already, with id %s", s.ClusterID)
	}
	s.ClusterID = c.ClusterID
	s.NextBroker, s.NextReplica = 2, 2
	s.NextGroup = ControllerGroup + 1
	s.NextTopic = 1
	s.NextMove = 1
	s.NextProducer = 1
	b := brokerOf(c.Broker)
	b.ID, b.ControllerReplica = 1, 1
	s.Brokers = map[int32]*Broker{1: b}
	s.Controller = []Replica{{ID: 1, Broker: 1}}
	return Result{Changed: true, Broker: 1, ControllerReplica: 1}, nil
}

func brokerOf(r Registration) *Broker {
	return &Broker{
		ID: r.ID, Incarnation: r.Incarnation, ClientAddr: r.ClientAddr, PeerAddr: r.PeerAddr, Rack: r.Rack, Version: r.Version,
	}
}

func (s *State) registerBroker(c RegisterBroker) (Result, error) {
	in := c.Broker
	if in.Incarnation == "" || in.PeerAddr == "" {
		return Result{}, Errorf(CodeInvalid, "a broker registers with its incarnation and its peer address")
	}
	if in.ID != 0 {
		old, ok := s.Brokers[in.ID]
		if !ok {
			return Result{}, Errorf(CodeUnknownBroker, "broker %d is not a member of cluster %s: start it with an empty data folder to join as a new broker", in.ID, s.ClusterID)
		}
		if old.Incarnation != in.Incarnation {
			return Result{}, Errorf(CodeOtherIncarnation, "broker %d is registered with another data folder (incarnation %s, not %s): start it with an empty data folder to join as a new broker",
				in.ID, old.Incarnation, in.Incarnation)
		}
	}
	// A broker whose first answer got lost knows only its incarnation.
	for _, old := range s.Brokers {
		if old.Incarnation == in.Incarnation || mutant.On(mutant.WipedReplicaKeepsID) && old.PeerAddr == in.PeerAddr {
			return s.renewBroker(old, in), nil
		}
	}
	b := brokerOf(in)
	b.ID, b.ControllerReplica = s.NextBroker, s.NextReplica
	s.NextBroker++
	s.NextReplica++
	s.setBroker(b)
	s.Controller = append(slices.Clip(s.Controller), Replica{ID: b.ControllerReplica, Broker: b.ID, Learner: true})
	return Result{Changed: true, Broker: b.ID, ControllerReplica: b.ControllerReplica}, nil
}

func (s *State) renewBroker(old *Broker, in Registration) Result {
	b := brokerOf(in)
	b.ID, b.ControllerReplica, b.Draining = old.ID, old.ControllerReplica, old.Draining
	r := Result{Broker: b.ID, ControllerReplica: b.ControllerReplica}
	if *b != *old {
		s.setBroker(b)
		r.Changed = true
	}
	return r
}

func (s *State) setBroker(b *Broker) {
	s.Brokers = maps.Clone(s.Brokers)
	s.Brokers[b.ID] = b
}

func (s *State) allocateProducers(c AllocateProducers) (Result, error) {
	if c.Count < 1 || c.Count > MaxProducerBlock {
		return Result{}, Errorf(CodeInvalid, "%d producer ids asked for: a block has 1 to %d", c.Count, MaxProducerBlock)
	}
	if s.Brokers[c.Broker] == nil {
		return Result{}, Errorf(CodeUnknownBroker, "broker %d is not a member of the cluster", c.Broker)
	}
	r := Result{Changed: true, FirstProducer: s.NextProducer, Producers: c.Count}
	s.NextProducer += c.Count
	return r, nil
}

func (s *State) forgetReplicas(c ForgetReplicas) (Result, error) {
	var left map[uint64]*Tombstone
	for _, id := range c.Replicas {
		t := s.Tombstones[id]
		// Only the holder can say that its data is gone; an answer sent twice finds nothing.
		if t == nil || t.Broker != c.Broker {
			continue
		}
		if left == nil {
			left = maps.Clone(s.Tombstones)
		}
		delete(left, id)
	}
	if left == nil {
		return Result{}, nil
	}
	s.Tombstones = left
	return Result{Changed: true}, nil
}

func (s *State) setControllerReplica(c SetControllerReplica) (Result, error) {
	i := slices.IndexFunc(s.Controller, func(r Replica) bool { return r.ID == c.Replica })
	if i < 0 {
		return Result{}, Errorf(CodeInvalid, "the controller group has no replica %d", c.Replica)
	}
	if s.Controller[i].Learner == c.Learner {
		return Result{}, nil
	}
	s.Controller = slices.Clone(s.Controller)
	s.Controller[i].Learner = c.Learner
	return Result{Changed: true}, nil
}
