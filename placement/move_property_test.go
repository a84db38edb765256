package placement

import (
	"fmt"
	"slices"

	"pgregory.net/rapid"
)

// drawMoveCommand draws a command about a partition or a broker that is often, but not always, acceptable; nil if there is
// nothing to draw one for.
func drawMoveCommand(t *rapid.T, s *State) Command {
	broker := rapid.Int32Range(1, 6)
	switch rapid.IntRange(0, 9).Draw(t, "broker command") {
	case 0:
		return SetDraining{Broker: broker.Draw(t, "broker"), Draining: rapid.Bool().Draw(t, "draining")}
	case 1:
		return RemoveBroker{Broker: broker.Draw(t, "broker")}
	}
	names := s.TopicNames()
	if len(names) == 0 {
		return nil
	}
	topic := s.Topics[rapid.SampledFrom(names).Draw(t, "topic")]
	id := topic.ID
	if rapid.IntRange(0, 30).Draw(t, "wrong topic") == 0 {
		id += 1000
	}
	n := int32(rapid.IntRange(0, len(topic.Partitions)-1).Draw(t, "partition"))
	p := &topic.Partitions[n]
	order := rapid.Permutation(p.Replicas).Draw(t, "order")
	ids := make([]uint64, len(order))
	for i, r := range order {
		ids[i] = r.ID
	}
	if p.Move != nil && rapid.IntRange(0, 4).Draw(t, "go on") > 0 {
		return drawStep(t, id, n, p.Move)
	}
	switch rapid.IntRange(0, 9).Draw(t, "partition command") {
	case 0:
		return SetPreferred{TopicID: id, Partition: n, Order: ids}
	case 1:
		return AddPartitions{
			Topic: topic.Name, TopicID: id, From: rapid.SampledFrom([]int{0, len(topic.Partitions), len(topic.Partitions) - 1}).Draw(t, "from"),
			Brokers: rapid.SliceOfN(rapid.SliceOfNDistinct(broker, 2, 2, rapid.ID[int32]), 0, 2).Draw(t, "brokers"),
		}
	case 2:
		return SetReplicationFactor{Topic: topic.Name, TopicID: id, RF: rapid.IntRange(0, 4).Draw(t, "rf")}
	case 3:
		c := RecordRecovery{TopicID: id, Partition: n, Kept: rapid.SampledFrom(p.All()).Draw(t, "kept").ID, Note: "by hand"}
		if rapid.IntRange(0, 3).Draw(t, "nothing is left") == 0 {
			c.Kept, c.Brokers = 0, rapid.SliceOfNDistinct(broker, 1, 3, rapid.ID[int32]).Draw(t, "anew on")
		}
		for _, r := range p.All() {
			if r.ID != c.Kept {
				c.Lost = append(c.Lost, r.ID)
			}
		}
		return c
	default:
		kind := rapid.SampledFrom(kinds).Draw(t, "kind")
		c := ProposeMove{
			Topic: topic.Name, TopicID: id, Partition: n, Kind: kind, Reason: "drawn",
			AddBrokers: rapid.SliceOfNDistinct(broker, 0, 2, rapid.ID[int32]).Draw(t, "adds"),
			Removes:    ids[:rapid.IntRange(0, len(ids)).Draw(t, "removes")],
		}
		if rapid.Bool().Draw(t, "ordered") {
			after := Partition{Replicas: slices.DeleteFunc(slices.Clone(p.Replicas), func(r Replica) bool { return slices.Contains(c.Removes, r.ID) })}
			for _, r := range after.Replicas {
				c.OrderBrokers = append(c.OrderBrokers, r.Broker)
			}
			c.OrderBrokers = rapid.Permutation(append(c.OrderBrokers, c.AddBrokers...)).Draw(t, "result")
		}
		if rapid.Bool().Draw(t, "batch") {
			return ProposeMoves{Moves: []ProposeMove{c, c}}
		}
		return c
	}
}

var phases = []Phase{PhaseProposed, PhaseInstalling, PhaseLearner, PhaseCaughtUp, PhaseJoint, PhaseLeft}

func drawStep(t *rapid.T, topic uint64, n int32, m *Move) Command {
	id := m.ID
	if rapid.IntRange(0, 30).Draw(t, "wrong move") == 0 {
		id++
	}
	switch rapid.IntRange(0, 9).Draw(t, "step") {
	case 0:
		return CancelMove{TopicID: topic, Partition: n, Move: id}
	case 1:
		return EndCancelled{TopicID: topic, Partition: n, Move: id}
	case 2:
		return FinishMove{TopicID: topic, Partition: n, Move: id}
	case 3:
		return AdvanceMove{TopicID: topic, Partition: n, Move: id, From: rapid.SampledFrom(phases).Draw(t, "from"), To: rapid.SampledFrom(phases).Draw(t, "to"),
			Entered: rapid.Bool().Draw(t, "entered")}
	case 4:
		if back := m.Back(); back != "" {
			return AdvanceMove{TopicID: topic, Partition: n, Move: id, From: m.Phase, To: back}
		}
	}
	switch {
	case m.Cancelled:
		return EndCancelled{TopicID: topic, Partition: n, Move: id}
	case m.Next() == "":
		return FinishMove{TopicID: topic, Partition: n, Move: id}
	}
	return AdvanceMove{TopicID: topic, Partition: n, Move: id, From: m.Phase, To: m.Next()}
}

// checkMoves: voters of a partition are on different brokers, before a move and after it; a move's replicas share a broker only
// with what it removes; its order is that of its result.
func checkMoves(t fataler, s *State, used usedIDs) {
	for name, topic := range s.Topics {
		for n := range topic.Partitions {
			p := &topic.Partitions[n]
			where := fmt.Sprintf("%s/%d", name, n)
			if len(p.Replicas) == 0 || !distinct(p.Replicas) || !distinct(p.Desired()) {
				t.Fatalf("%s is on %v and will be on %v", where, p.Replicas, p.Desired())
			}
			m := p.Move
			if m == nil {
				continue
			}
			if m.ID == 0 || m.ID >= s.NextMove || m.Revision > s.Revision || !slices.Contains(phases, m.Phase) {
				t.Fatalf("%s has move %+v, next %d", where, m, s.NextMove)
			}
			used.use(t, fmt.Sprintf("move %d", m.ID), fmt.Sprintf("%d/%d", topic.ID, n))
			for _, r := range p.Replicas {
				j, shares := p.Joining(r.Broker)
				if shares && (!slices.Contains(m.Removes, r.ID) || m.Kind != KindReplaceQuarantined) {
					t.Fatalf("%s: replica %d joins %d on broker %d by a move of kind %s", where, j.ID, r.ID, r.Broker, m.Kind)
				}
			}
			if m.Cancelled && !(m.Cancellable() && (m.Installed() || m.SteppedBack)) {
				t.Fatalf("%s: move %+v was cancelled", where, m)
			}
			order := slices.Clone(m.Order)
			slices.Sort(order)
			var want []uint64
			for _, r := range p.All() {
				if !slices.Contains(m.Removes, r.ID) {
					want = append(want, r.ID)
				}
			}
			slices.Sort(want)
			if !slices.Equal(order, want) {
				t.Fatalf("%s: move %+v ends in %v, want some order of %v", where, m, m.Order, want)
			}
		}
	}
}

func distinct(rs []Replica) bool {
	on := map[int32]bool{}
	for _, r := range rs {
		if on[r.Broker] || r.Learner {
			return false
		}
		on[r.Broker] = true
	}
	return true
}

type place struct {
	topic uint64
	n     int32
}

func places(s *State) map[place]*Partition {
	out := map[place]*Partition{}
	for _, t := range s.Topics {
		for n := range t.Partitions {
			out[place{t.ID, int32(n)}] = &t.Partitions[n]
		}
	}
	return out
}

// checkStep: moves go only by legal steps, and what leaves the state leaves a tombstone unless nobody ever held it.
func checkStep(t fataler, s, next *State, c Command) {
	after := places(next)
	for at, p := range places(s) {
		q := after[at]
		if q == nil {
			q = &Partition{}
		}
		if p.Group != q.Group && q.Group != 0 && !beginsAnew(c) {
			t.Fatalf("%T: group %d became %d", c, p.Group, q.Group)
		}
		checkTransition(t, p, q, c)
		checkFounders(t, p, q, next.Revision, c)
		for _, r := range p.All() {
			if _, stays := q.Replica(r.ID); stays {
				continue
			}
			d := next.Tombstones[r.ID]
			if p.Move != nil && p.Move.Phase == PhaseProposed && r.Learner && (d == nil || isRecovery(c)) {
				continue // nothing was installed
			}
			if d == nil || d.Broker != r.Broker || d.Group != p.Group || d.Revision != next.Revision {
				t.Fatalf("%T: replica %+v left with tombstone %+v", c, r, d)
			}
		}
	}
	for id, d := range s.Tombstones {
		_, forget := c.(ForgetReplicas)
		if next.Tombstones[id] == nil && !forget && next.Brokers[d.Broker] != nil {
			t.Fatalf("%T took the tombstone %+v away", c, d)
		}
	}
}

func isRecovery(c Command) bool { _, ok := c.(RecordRecovery); return ok }

func beginsAnew(c Command) bool { r, ok := c.(RecordRecovery); return ok && r.Kept == 0 }

// checkFounders: a group's founders stay the same, and it is known whether it has other replicas, or was recovered, since.
func checkFounders(t fataler, p, q *Partition, revision uint64, c Command) {
	was, before := p.Founding()
	is, now := q.Founding()
	switch {
	case q.Group == 0:
		return
	case q.Group != p.Group:
		if !now || q.Recovered != 0 || q.Move != nil {
			t.Fatalf("%T began %+v", c, q)
		}
		return
	case !slices.Equal(was, is) || now && !before:
		t.Fatalf("%T: the founders %v (still %v) became %v (still %v)", c, was, before, is, now)
	case !isRecovery(c) && q.Recovered != p.Recovered:
		t.Fatalf("%T: recovered at %d became %d", c, p.Recovered, q.Recovered)
	case q.Recovered != p.Recovered && (q.Recovered != revision || len(q.Replicas) != 1 || now):
		t.Fatalf("%T at revision %d left %+v", c, revision, q)
	}
	ids := func(rs []Replica) []uint64 {
		out := make([]uint64, len(rs))
		for i, r := range rs {
			out[i] = r.ID
		}
		slices.Sort(out)
		return out
	}
	if changed := !slices.Equal(ids(p.Replicas), ids(q.Replicas)); changed && now {
		t.Fatalf("%T: the replicas %v became %v and still count as the founders", c, p.Replicas, q.Replicas)
	}
}

func checkTransition(t fataler, p, q *Partition, c Command) {
	was, is := p.Move, q.Move
	if q.Group == 0 || isRecovery(c) {
		return // the topic is gone, or the partition was given up
	}
	switch {
	case was == nil && is != nil:
		if is.Phase != PhaseProposed || is.Cancelled || !slices.Equal(p.Replicas, q.Replicas) {
			t.Fatalf("%T began %+v", c, is)
		}
	case was != nil && is == nil:
		finished := was.Phase == PhaseLeft && slices.EqualFunc(q.Replicas, was.Order, func(r Replica, id uint64) bool { return r.ID == id })
		back := (was.Phase == PhaseProposed && !was.SteppedBack || was.Cancelled) && slices.Equal(p.Replicas, q.Replicas)
		if !finished && !back {
			t.Fatalf("%T ended %+v with %v, before %v", c, was, q.Replicas, p.Replicas)
		}
	case was != nil && was != is:
		if was.ID != is.ID || !slices.Equal(p.Replicas, q.Replicas) || !slices.Equal(was.Adds, is.Adds) || !slices.Equal(was.Order, is.Order) {
			t.Fatalf("%T made %+v of %+v", c, is, was)
		}
		cancel := is.Cancelled && !was.Cancelled && is.Phase == was.Phase && was.Cancellable()
		forward := !was.Cancelled && !is.Cancelled && was.Next() == is.Phase
		stepBack := !is.Cancelled && was.Back() == is.Phase && is.SteppedBack && is.BeforeJoint()
		advance, _ := c.(AdvanceMove)
		entered := was.Cancelled && !is.Cancelled && was.BeforeJoint() && is.Phase == PhaseJoint && advance.Entered
		if was.SteppedBack && !is.SteppedBack {
			t.Fatalf("%T forgot that move %d stepped back", c, was.ID)
		}
		if !cancel && !forward && !stepBack && !entered {
			t.Fatalf("%T took move %d from %s (cancelled %v) to %s (cancelled %v)", c, was.ID, was.Phase, was.Cancelled, is.Phase, is.Cancelled)
		}
	}
}
