package placement

import (
	"iter"
	"slices"
)

// Phase is how far a move is. A move whose command finished it is no longer in the State.
type Phase string

// The phases, in their order. Up to caught_up a move can be cancelled; from joint on it only goes forward, but for Move.Back.
//
// Installing and joint are intents: each is committed before anything of it is done, so whoever finds a move in the phase before knows
// that nothing was done yet. The others are facts: each is committed after it came about, so it may have come about before the State
// says so. What follows for one who finds a move in a phase, after any crash:
//
//	proposed    no broker holds anything of the new replicas
//	installing  they may be installed or not, and may be learners of the group already
//	learner     they are installed and are learners of the group
//	caught_up   the group is not in the joint configuration, as far as known: this is the last chance to turn back
//	joint       the group may be in the old configuration still, in the joint one, or in the new one
//	left        the group has the new voters alone, and knows it for good; the others' data may be deleted
//
// For good: a majority of the new voters hold a durable commit at or above the entry that left the joint configuration. Else a crash of
// the only voter, a power cut of all of them, or the death of a leader that alone knew would put them back into the joint configuration,
// where they need the votes of the others. The group's leader tells when that is so (multiraft.Status.Changing, false), and no data of
// the old half is deleted before left is committed on that word.
const (
	PhaseProposed   Phase = "proposed"   // recorded, nothing done
	PhaseInstalling Phase = "installing" // intent: the target brokers fetch the log, offline
	PhaseLearner    Phase = "learner"    // fact: the new replicas are learners of the group
	PhaseCaughtUp   Phase = "caught_up"  // fact: they hold what the leader holds
	PhaseJoint      Phase = "joint"      // intent: the group goes through the joint configuration of old and new voters
	PhaseLeft       Phase = "left"       // fact: the group has left it, the new voters alone decide
)

// Kind tells what a move is for.
type Kind string

// The kinds.
const (
	KindJoin               Kind = "join"                // fills a broker that has much less than its share
	KindDrain              Kind = "drain"               // empties a broker that shall leave
	KindReplaceDead        Kind = "replace_dead"        // the replica's broker is not heard any more
	KindReplaceQuarantined Kind = "replace_quarantined" // the replica's disk lied or failed
	KindRack               Kind = "rack"                // spreads a partition over more racks
	KindBalance            Kind = "balance"             // evens the load of brokers
	KindManual             Kind = "manual"              // an operator asked
	KindReplicationFactor  Kind = "replication_factor"  // the partition has more or fewer replicas than its topic asks
)

var kinds = []Kind{
	KindJoin, KindDrain, KindReplaceDead, KindReplaceQuarantined, KindRack, KindBalance, KindManual, KindReplicationFactor,
}

// Move is a change of a partition's replicas that is under way. The leader of the controller group alone moves it on;
// brokers only act on what it has committed.
type Move struct {
	// ID is from State.NextMove, used once and never 0.
	ID    uint64 `json:"id"`
	Phase Phase  `json:"phase"`
	// Adds holds the new replicas, all learners until the move is finished. One may share its broker with a replica in
	// Removes that is quarantined, with no other.
	Adds []Replica `json:"adds,omitempty"`
	// Removes holds the ids of those of Partition.Replicas that leave.
	Removes []uint64 `json:"removes,omitempty"`
	// Order holds the ids of the replicas that result, the preferred leader first.
	Order []uint64 `json:"order"`
	// Reason is for people.
	Reason string `json:"reason,omitempty"`
	Kind   Kind   `json:"kind"`
	// Cancelled is set while a move is on its way back: in phases installing, learner and caught_up, and in proposed if it stepped back.
	Cancelled bool `json:"cancelled,omitempty"`
	// SteppedBack is set once it was taken back out of joint. Its group may have been asked to enter the joint configuration, so it is not
	// cancelled without asking the group, though nothing of it is installed.
	SteppedBack bool `json:"stepped_back,omitempty"`
	// Revision is that of the last step.
	Revision uint64 `json:"revision"`
}

// Next is the phase after the present one; "" for a move that was cancelled and for one that only FinishMove takes
// further. A move without new replicas has nothing to install: it goes from proposed to joint.
func (m *Move) Next() Phase {
	if m.Cancelled {
		return ""
	}
	switch m.Phase {
	case PhaseProposed:
		if len(m.Adds) == 0 {
			return PhaseJoint
		}
		return PhaseInstalling
	case PhaseInstalling:
		return PhaseLearner
	case PhaseLearner:
		return PhaseCaughtUp
	case PhaseCaughtUp:
		return PhaseJoint
	case PhaseJoint:
		return PhaseLeft
	}
	return ""
}

// Back is the phase before joint; "" for a move in any other phase. Joint is an intent: a move whose new voters became unfit before its group
// entered the joint configuration would be held there for ever. Whoever proposes to take it back has been told by the leader that
// the group did not enter and that nothing is under way there. Should the group be found to have entered all the same, the move
// goes to joint again, even if it was cancelled meanwhile (AdvanceMove.Entered): then there is no way but forward.
func (m *Move) Back() Phase {
	switch {
	case m.Phase != PhaseJoint:
		return ""
	case len(m.Adds) == 0:
		return PhaseProposed
	}
	return PhaseCaughtUp
}

// BeforeJoint tells whether the move is in the phase before joint, where Back leads, cancelled or not.
func (m *Move) BeforeJoint() bool {
	if len(m.Adds) == 0 {
		return m.Phase == PhaseProposed
	}
	return m.Phase == PhaseCaughtUp
}

// Cancellable tells whether CancelMove is possible still, or done already.
func (m *Move) Cancellable() bool { return m.Phase != PhaseJoint && m.Phase != PhaseLeft }

// Installed tells whether brokers may hold data of the new replicas.
func (m *Move) Installed() bool { return m.Phase != PhaseProposed }

// KnownInstalled tells whether the new replicas are installed, by all that is recorded, and stay.
func (m *Move) KnownInstalled() bool {
	return !m.Cancelled && m.Phase != PhaseProposed && m.Phase != PhaseInstalling
}

// All returns the partition's replicas and, after them, those that a move adds.
func (p *Partition) All() []Replica {
	if p.Move == nil {
		return p.Replicas
	}
	return append(slices.Clip(p.Replicas), p.Move.Adds...)
}

// Replica returns a replica of the partition or of its move by its id.
func (p *Partition) Replica(id uint64) (Replica, bool) {
	for _, r := range p.Replicas {
		if r.ID == id {
			return r, true
		}
	}
	if p.Move != nil {
		for _, r := range p.Move.Adds {
			if r.ID == id {
				return r, true
			}
		}
	}
	return Replica{}, false
}

// Joining returns the replica that a move adds on the broker.
func (p *Partition) Joining(broker int32) (Replica, bool) {
	if p.Move != nil {
		for _, r := range p.Move.Adds {
			if r.Broker == broker {
				return r, true
			}
		}
	}
	return Replica{}, false
}

// Desired returns the replicas as they will be when the move is over: after it, or as before it if it was cancelled.
func (p *Partition) Desired() []Replica {
	if p.Move == nil || p.Move.Cancelled {
		return p.Replicas
	}
	out := make([]Replica, 0, len(p.Move.Order))
	for _, id := range p.Move.Order {
		if r, ok := p.Replica(id); ok {
			r.Learner = false
			out = append(out, r)
		}
	}
	return out
}

// MoveRef is a move and where it is.
type MoveRef struct {
	Topic     *Topic
	Partition int32
	Move      *Move
}

// Moves iterates over the partitions with a move, by topic name and number. It looks at every partition.
func (s *State) Moves() iter.Seq[MoveRef] {
	return func(yield func(MoveRef) bool) {
		for _, name := range s.TopicNames() {
			t := s.Topics[name]
			for n := range t.Partitions {
				if m := t.Partitions[n].Move; m != nil && !yield(MoveRef{Topic: t, Partition: int32(n), Move: m}) { //nolint:gosec // bounded by MaxPartitions
					return
				}
			}
		}
	}
}

// TopicByID returns the topic with the id, or nil. It looks at every topic.
func (s *State) TopicByID(id uint64) *Topic {
	for _, t := range s.Topics {
		if t.ID == id {
			return t
		}
	}
	return nil
}
