package plan

import (
	"fmt"

	"github.com/runnel-io/runnel/placement"
)

// factor brings partitions to their topic's replication factor: all that lack come in one move, and so do all that go.
func (w *world) factor(fewer bool) {
	for i := range w.topics {
		t := &w.topics[i]
		for n := range t.parts {
			p := &t.parts[n]
			switch {
			case p.busy || len(p.at) == 0:
			case !fewer && len(p.at) < t.rf:
				w.grow(p)
			case fewer && len(p.at) > t.rf:
				w.shrink(p)
			}
		}
	}
}

func (w *world) grow(p *part) {
	was, rf := len(p.at), p.topic.rf
	if q := w.quorum(p.at); !q.ok() {
		w.block(p, p.at[0].broker, fmt.Sprintf("the partition has %d of %d replicas, and %s", was, rf, q))
		return
	}
	if !w.hasRoom(true) {
		w.plan.Waiting++
		return
	}
	old := p.at
	w.count(p, -1)
	var adds []int32
	for len(p.at) < rf {
		b := w.place(p, -1, true)
		if b < 0 || len(adds) == 0 && !w.mayCopy(p, b, true) {
			break
		}
		p.at = append(p.at[:len(p.at):len(p.at)], slot{broker: b})
		adds = append(adds, w.brokers[b].id)
	}
	w.count(p, 1)
	switch {
	case len(adds) > 0:
		w.add(p, adds, nil, placement.KindReplicationFactor, fmt.Sprintf("the partition has %d of %d replicas", len(old), rf))
	case w.place(p, -1, true) >= 0:
		w.plan.Waiting++
		return
	}
	if len(p.at) < rf {
		w.block(p, p.at[0].broker, fmt.Sprintf("the partition has %d of %d replicas; %s", len(p.at), rf, w.noPlace(rf)))
	}
}

func (w *world) shrink(p *part) {
	was, rf := len(p.at), p.topic.rf
	var gone []int
	left := &part{topic: p.topic, n: p.n, p: p.p, at: append([]slot(nil), p.at...)}
	ids := make([]int, was) // of left.at, indexes into p.at
	for i := range ids {
		ids[i] = i
	}
	for len(left.at) > rf {
		i := w.worst(left)
		gone = append(gone, ids[i])
		left.at = append(left.at[:i], left.at[i+1:]...)
		ids = append(ids[:i], ids[i+1:]...)
	}
	if w.serving(p) < majority(was) || w.serving(left) < majority(rf) {
		w.block(p, p.at[0].broker, fmt.Sprintf("the partition has %d replicas instead of %d, and too few serve to remove one safely: bring their brokers back", was, rf))
		return
	}
	w.drop(p, gone, placement.KindReplicationFactor, fmt.Sprintf("the partition has %d replicas and its topic asks for %d", was, rf))
}

// worst chooses the replica that a partition misses least.
func (w *world) worst(p *part) int {
	w.countRacks(p, -1)
	best := -1
	for i := range p.at {
		if best < 0 || w.worse(p, i, best) {
			best = i
		}
	}
	return best
}

func (w *world) worse(p *part, i, j int) bool {
	a, b := &w.brokers[p.at[i].broker], &w.brokers[p.at[j].broker]
	if x, y := w.serves(p.at[i]), w.serves(p.at[j]); x != y {
		return !x
	}
	if a.draining != b.draining {
		return a.draining
	}
	if x, y := w.inRack[a.rack], w.inRack[b.rack]; x != y {
		return x > y
	}
	if x, y := p.topic.replicasOn(p.at[i].broker), p.topic.replicasOn(p.at[j].broker); x != y {
		return x > y
	}
	if a.replicas != b.replicas {
		return a.replicas > b.replicas
	}
	return i > j // the preferred leader stays
}

// ReplicationFactor plans every move that brings a topic to a replication factor, without limits: what Next will do, a few at
// a time, once placement.SetReplicationFactor is recorded. It refuses, with a *placement.Error, what cannot be reached
// with the brokers there are.
func ReplicationFactor(v View, name string, rf int) (Plan, error) {
	s := v.State
	t := s.Topics[name]
	if t == nil {
		return Plan{}, placement.Errorf(placement.CodeUnknownTopic, "topic %q does not exist", name)
	}
	if err := placement.ValidateShape(1, rf); err != nil {
		return Plan{}, err
	}
	if more := (rf - t.ReplicationFactor()) * len(t.Partitions); more > 0 {
		if err := s.ValidateRoom(more); err != nil {
			return Plan{}, err
		}
	}
	v.MaxMoves, v.MaxPerBroker = 0, 0
	w := newWorld(v)
	if rf > len(w.targets) && rf > t.ReplicationFactor() {
		return Plan{}, placement.Errorf(placement.CodeNotEnoughBrokers, "%s", w.noPlace(rf))
	}
	for i := range w.topics {
		if w.topics[i].t == t {
			w.topics = w.topics[i : i+1]
			break
		}
	}
	w.topics[0].rf = rf
	for n := range w.topics[0].parts { // slices of parts point at their topic, which was not moved
		p := &w.topics[0].parts[n]
		switch {
		case p.busy || len(p.at) == 0:
		case len(p.at) < rf:
			w.grow(p)
		case len(p.at) > rf:
			w.shrink(p)
		}
	}
	if len(w.plan.Moves) == 0 && len(w.plan.Blocked) == 0 {
		w.reason("every partition of topic %q that has no move has %d replicas already", name, rf)
	}
	return w.plan, nil
}
