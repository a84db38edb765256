package placement

import (
	"cmp"
	"slices"
)

// A broker's replica of the controller group is replaced in three steps, for the same reason as a partition's: an id is installed
// once (RULES 19). ReplaceControllerReplica gives up the old id and names a new one; the broker installs that offline and says so;
// AddControllerReplica then makes it known, and the controller's leader makes it a learner. Whoever leads takes the old one, which the
// state knows no more, out of the raft group.

// ReplaceControllerReplica gives up a broker's replica of the controller group: it lacks what is no longer in the log, or its disk
// failed. The broker gets a new id.
type ReplaceControllerReplica struct {
	Broker int32 `json:"broker"`
	// Old is the replica that is given up. If the broker has another one by now, nothing changes.
	Old uint64 `json:"old"`
}

// AddControllerReplica records that a broker has installed the replica that ReplaceControllerReplica named.
type AddControllerReplica struct {
	Broker  int32  `json:"broker"`
	Replica uint64 `json:"replica"`
}

func (ReplaceControllerReplica) isCommand() {}
func (AddControllerReplica) isCommand()     {}

func (s *State) replaceControllerReplica(c ReplaceControllerReplica) (Result, error) {
	old := s.Brokers[c.Broker]
	if old == nil {
		return Result{}, Errorf(CodeUnknownBroker, "broker %d is not a member of the cluster", c.Broker)
	}
	if old.ControllerReplica != c.Old {
		return Result{Broker: old.ID, ControllerReplica: old.ControllerReplica}, nil // it was replaced already
	}
	b := *old
	b.ControllerReplica = s.NextReplica
	s.NextReplica++
	s.setBroker(&b)
	s.Controller = slices.DeleteFunc(slices.Clone(s.Controller), func(r Replica) bool { return r.ID == c.Old })
	return Result{Changed: true, Broker: b.ID, ControllerReplica: b.ControllerReplica}, nil
}

func (s *State) addControllerReplica(c AddControllerReplica) (Result, error) {
	b := s.Brokers[c.Broker]
	switch {
	case b == nil:
		return Result{}, Errorf(CodeUnknownBroker, "broker %d is not a member of the cluster", c.Broker)
	case b.ControllerReplica != c.Replica:
		return Result{}, Errorf(CodeOutdated, "broker %d shall have replica %d of the controller group, not %d: install that one", b.ID, b.ControllerReplica, c.Replica)
	}
	r := Result{Broker: b.ID, ControllerReplica: b.ControllerReplica}
	at, known := slices.BinarySearchFunc(s.Controller, c.Replica, func(r Replica, id uint64) int { return cmp.Compare(r.ID, id) })
	if known {
		return r, nil
	}
	r.Changed = true
	s.Controller = slices.Insert(slices.Clone(s.Controller), at, Replica{ID: c.Replica, Broker: b.ID, Learner: true})
	return r, nil
}
