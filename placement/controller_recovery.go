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
	// Lost are the replicas that its configuration had beside it, for people.
	Lost []uint64 `json:"lost"`
	// Below is the first id that a replica gets after it; see NewRecoverController. All of the group below it, but Kept, are given up: lost
	// commands may have made some that no log names.
	Below uint64 `json:"below"`
	Note  string `json:"note,omitempty"`
}

func (RecoverController) isCommand() {}

// NewRecoverController makes the command for a state that is left.
func NewRecoverController(s *State, kept uint64, broker int32, lost []uint64, note string) RecoverController {
	return RecoverController{Kept: kept, Broker: broker, Lost: lost, Below: s.NextReplica + recoveryJump, Note: note}
}

// ControllerRecovery is the controller group's majority given up by hand.
type ControllerRecovery struct {
	Kept     uint64   `json:"kept"`
	Broker   int32    `json:"broker"`
	Lost     []uint64 `json:"lost"`
	Below    uint64   `json:"below"`
	Note     string   `json:"note,omitempty"`
	Revision uint64   `json:"revision"`
}

// GivesUp tells whether a replica of the controller group was given up. It must never be heard again: a majority of such could go on by itself.
// Its broker, if it comes back, gets another one.
func (r ControllerRecovery) GivesUp(replica uint64) bool {
	return replica < r.Below && replica != r.Kept
}

const (
	// recoveryJump is more than any number of ids that lost commands gave, brokersJump than any number of brokers that joined by them.
	recoveryJump = 1 << 32
	brokersJump  = 1000
	// MaxControllerRecoveries bounds State.ControllerRecoveries; the oldest go.
	MaxControllerRecoveries = 100
)

func (s *State) recoverController(c RecoverController) (Result, error) {
	if s.Brokers[c.Broker] == nil {
		return Result{}, Errorf(CodeUnknownBroker, "broker %d is not a member of the cluster", c.Broker)
	}
	if c.Below < s.NextReplica+recoveryJump || c.Kept >= s.NextReplica {
		return Result{}, Errorf(CodeInvalid, "replica %d cannot be kept, with new replicas from %d on: the next id is %d", c.Kept, c.Below, s.NextReplica)
	}
	s.NextBroker += brokersJump
	s.NextTopic += recoveryJump
	s.NextGroup += recoveryJump
	s.NextReplica = c.Below
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
		Kept: c.Kept, Broker: c.Broker, Lost: c.Lost, Below: c.Below, Note: c.Note, Revision: s.Revision + 1,
	})
	return Result{Changed: true, Broker: c.Broker, ControllerReplica: c.Kept}, nil
}

// ControllerRecovered is the newest recovery of the controller group; false if there was none.
func (s *State) ControllerRecovered() (ControllerRecovery, bool) {
	n := len(s.ControllerRecoveries)
	if n == 0 {
		return ControllerRecovery{}, false
	}
	return s.ControllerRecoveries[n-1], true
}
