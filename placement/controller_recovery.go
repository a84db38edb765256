package placement

import (
	"maps"
	"slices"
)

// RecoverController records that the controller group's majority was given up by hand and that one replica goes on alone. It is not
// proposed but written into that replica's log while it does not run, behind the changes of the configuration (raftlog.RecoverAlone).
//
// What only the lost replicas held is unknown, ids among it that were given to brokers, replicas, topics and producers. Such an id must never be given
// again: a producer that got a known one would have its records taken for duplicates. So all counters jump ahead, and so does the revision,
// since whoever knows a state takes only newer ones.
//
// A lost command may also have moved or deleted a partition whose replicas this state takes for its founders. Their data may be gone by
// now, and none of them may be made from nothing any more: a majority of such would be an empty partition beside the real one.
type RecoverController struct {
	// Kept is the replica that goes on, Broker the one that has it.
	Kept   uint64 `json:"kept"`
	Broker int32  `json:"broker"`
	// Lost are the replicas that its configuration had beside it. Those that the state knows are lost as well.
	Lost []uint64 `json:"lost"`
	Note string   `json:"note,omitempty"`
}

func (RecoverController) isCommand() {}

// ControllerRecovery is the controller group's majority given up by hand. The replicas in Lost must never be heard again: a majority of them
// could go on by itself. Their brokers, if they come back, get new ones.
type ControllerRecovery struct {
	Kept     uint64   `json:"kept"`
	Broker   int32    `json:"broker"`
	Lost     []uint64 `json:"lost"`
	Note     string   `json:"note,omitempty"`
	Revision uint64   `json:"revision"`
}

const (
	// recoveryJump is more than any number of commands that were lost, brokersJump than any number of brokers that joined by them.
	recoveryJump = 1 << 32
	brokersJump  = 1000
	// MaxControllerRecoveries bounds State.ControllerRecoveries; the oldest go.
	MaxControllerRecoveries = 100
)

func (s *State) recoverController(c RecoverController) (Result, error) {
	kept := s.Brokers[c.Broker]
	if kept == nil {
		return Result{}, Errorf(CodeUnknownBroker, "broker %d is not a member of the cluster", c.Broker)
	}
	lost := slices.Clone(c.Lost)
	for _, r := range s.Controller {
		lost = append(lost, r.ID)
	}
	for _, b := range s.Brokers {
		lost = append(lost, b.ControllerReplica)
	}
	slices.Sort(lost)
	lost = slices.DeleteFunc(slices.Compact(lost), func(id uint64) bool { return id == c.Kept })

	s.NextBroker += brokersJump
	s.NextTopic += recoveryJump
	s.NextGroup += recoveryJump
	s.NextReplica += recoveryJump
	s.NextMove += recoveryJump
	s.NextProducer += recoveryJump * MaxProducerBlock
	s.Revision += recoveryJump

	s.Brokers = maps.Clone(s.Brokers)
	for _, id := range s.BrokerIDs() {
		b := *s.Brokers[id]
		if b.ID == c.Broker {
			b.ControllerReplica = c.Kept
		} else {
			b.ControllerReplica = s.NextReplica
			s.NextReplica++
		}
		s.Brokers[id] = &b
	}
	s.Controller = []Replica{{ID: c.Kept, Broker: c.Broker}}
	s.Topics = maps.Clone(s.Topics)
	for name, t := range s.Topics {
		nt := *t
		nt.Partitions = slices.Clone(t.Partitions)
		for n := range nt.Partitions {
			nt.Partitions[n].Founders, _ = nt.Partitions[n].Founding()
		}
		s.Topics[name] = &nt
	}
	keep := s.ControllerRecoveries
	if len(keep) >= MaxControllerRecoveries {
		keep = keep[len(keep)-MaxControllerRecoveries+1:]
	}
	s.ControllerRecoveries = append(slices.Clone(keep), ControllerRecovery{
		Kept: c.Kept, Broker: c.Broker, Lost: lost, Note: c.Note, Revision: s.Revision + 1,
	})
	return Result{Changed: true, Broker: c.Broker, ControllerReplica: c.Kept}, nil
}

// LostControllers are the replicas of the controller group that were given up by hand, of all recoveries that the state knows.
func (s *State) LostControllers() (ids []uint64) {
	for _, r := range s.ControllerRecoveries {
		ids = append(ids, r.Lost...)
	}
	return ids
}
