package plan

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/runnel-io/runnel/placement"
)

// world is a View, counted, and what one plan has decided so far: every decision changes the counts at once, so the next
// one is made on its result. Building it takes O(replicas); it belongs to one call.
type world struct {
	v       View
	brokers []broker // all members, by rising id
	index   []int32  // broker id -> index into brokers, or -1
	targets []int    // indexes of the brokers that may get replicas: alive and not draining
	racks   int
	topics  []topic // by name

	changed map[*part]string // partitions whose preferred leader changed, with the reason, until it is recorded
	// moves counts those under way and planned, healing those of them that heal.
	moves, healing int
	plan           Plan
	// inRack is scratch: the replicas of the partition at hand, by rack.
	inRack []int
	// scratch counts something by broker.
	scratch []int
}

type broker struct {
	id       int32
	rack     int
	rackName string
	alive    bool
	dead     bool // silent for ReplaceAfter or longer
	draining bool
	refuses  string // why it can take no new replica; empty if it can

	replicas, preferred int
	bytes               int64
	sparse              bool // had less than half its share when the plan began
	held, quarantined   int  // replicas on it, and those of them that are quarantined, until they are removed
	loads
}

// target tells whether the broker may get replicas.
func (b *broker) target() bool { return b.alive && !b.draining }

// takesMore tells whether a target may get replicas that stand well where they are: not while its disk is in doubt.
func (b *broker) takesMore() bool { return b.quarantined == 0 && b.refuses == "" }

// mayPrefer tells whether the broker may be a preferred leader: one that is silent for a moment stays it.
func (b *broker) mayPrefer() bool { return !b.dead && !b.draining }

// slot is one desired replica of a partition. id is 0 for one that this plan adds.
type slot struct {
	id     uint64
	broker int // index
}

type part struct {
	topic *topic
	n     int32
	p     *placement.Partition
	// at holds the desired replicas, the preferred leader first: after the move under way and after this plan.
	at []slot
	// busy: a move is under way or planned, or none is to be planned.
	busy bool
}

type topic struct {
	t     *placement.Topic
	parts []part
	rf    int
	// replicas and preferred count by broker. They are nil for a topic with fewer replicas than there are brokers, whose
	// partitions are counted when asked for: that keeps a plan's memory at O(replicas), however many topics there are.
	replicas, preferred []int32
}

func newWorld(v View) *world {
	w := &world{v: v}
	if w.v.State == nil {
		w.v.State = placement.New()
	}
	w.addBrokers()
	w.addTopics()
	w.inRack = make([]int, w.racks)
	w.scratch = make([]int, len(w.brokers))
	total := 0
	for _, b := range w.targets {
		total += w.brokers[b].replicas
	}
	for _, b := range w.targets {
		w.brokers[b].sparse = 2*w.brokers[b].replicas*len(w.targets) < total
	}
	return w
}

func (w *world) addBrokers() {
	s := w.v.State
	ids := s.BrokerIDs()
	top := int32(0)
	for _, id := range ids {
		top = max(top, id)
	}
	w.index = make([]int32, top+1)
	for i := range w.index {
		w.index[i] = -1
	}
	racks := map[string]int{}
	for _, id := range ids {
		m := s.Brokers[id]
		b := broker{id: id, alive: w.v.Alive[id], draining: m.Draining, refuses: w.v.Refusing[id], rackName: m.Rack}
		b.dead = !b.alive && w.v.ReplaceAfter > 0 && w.v.DeadFor[id] >= w.v.ReplaceAfter
		rack := m.Rack
		if rack == "" { // a rack of its own
			rack = fmt.Sprintf("\x00%d", id)
		}
		r, ok := racks[rack]
		if !ok {
			r = len(racks)
			racks[rack] = r
		}
		b.rack = r
		if b.target() {
			w.targets = append(w.targets, len(w.brokers))
		}
		w.index[id] = int32(len(w.brokers)) //nolint:gosec // bounded by the broker ids
		w.brokers = append(w.brokers, b)
	}
	w.racks = len(racks)
}

// at finds a broker's index, -1 if it is no member.
func (w *world) at(id int32) int {
	if id < 0 || int(id) >= len(w.index) {
		return -1
	}
	return int(w.index[id])
}

func (w *world) addTopics() {
	s := w.v.State
	names := s.TopicNames()
	w.topics = make([]topic, len(names))
	total := 0
	for _, name := range names {
		for n := range s.Topics[name].Partitions {
			p := &s.Topics[name].Partitions[n]
			total += len(p.Replicas)
			if p.Move != nil {
				total += len(p.Move.Adds)
			}
		}
	}
	slots := make([]slot, 0, total)
	for i, name := range names {
		t := &w.topics[i]
		t.t = s.Topics[name]
		t.rf = t.t.ReplicationFactor()
		t.parts = make([]part, len(t.t.Partitions))
		if len(t.parts)*t.rf >= len(w.brokers) {
			t.replicas = make([]int32, len(w.brokers))
			t.preferred = make([]int32, len(w.brokers))
		}
		for n := range t.parts {
			p := &t.t.Partitions[n]
			from := len(slots)
			for _, r := range p.Desired() {
				if b := w.at(r.Broker); b >= 0 {
					slots = append(slots, slot{id: r.ID, broker: b})
				}
			}
			t.parts[n] = part{topic: t, n: int32(n), p: p, at: slots[from:len(slots):len(slots)], busy: p.Move != nil || w.v.Cooling[p.Group]} //nolint:gosec // bounded by MaxPartitions
			w.count(&t.parts[n], 1)
			w.countHeld(p)
			if p.Move != nil && !w.stands(&t.parts[n]) {
				w.underWay(&t.parts[n])
			}
		}
	}
}

// countHeld books a partition's replicas on the brokers that hold them now, or are about to.
func (w *world) countHeld(p *placement.Partition) {
	for _, r := range p.All() {
		if b := w.at(r.Broker); b >= 0 {
			w.brokers[b].held++
			if w.quarantined(slot{id: r.ID, broker: b}) {
				w.brokers[b].quarantined++
			}
		}
	}
}

// count adds a partition's desired replicas to the loads, or takes them out.
func (w *world) count(p *part, by int) {
	size := w.v.Bytes[p.p.Group]
	for i, s := range p.at {
		b := &w.brokers[s.broker]
		b.replicas += by
		b.bytes += int64(by) * size
		if i == 0 {
			b.preferred += by
		}
		if t := p.topic; t.replicas != nil {
			t.replicas[s.broker] += int32(by) //nolint:gosec // 1 or -1
			if i == 0 {
				t.preferred[s.broker] += int32(by) //nolint:gosec // 1 or -1
			}
		}
	}
}

// source is the broker that a new replica of the partition is copied from: the leader, or the first that serves. What is known of
// leaders may be old.
func (w *world) source(p *part) int {
	first := -1
	for _, r := range p.p.Replicas {
		b := w.at(r.Broker)
		if b < 0 || !w.serves(slot{id: r.ID, broker: b}) {
			continue
		}
		if w.v.Leaders[p.p.Group] == r.Broker {
			return b
		}
		if first < 0 {
			first = b
		}
	}
	return first
}

func (t *topic) replicasOn(b int) int {
	if t.replicas != nil {
		return int(t.replicas[b])
	}
	n := 0
	for i := range t.parts {
		if t.parts[i].on(b) >= 0 {
			n++
		}
	}
	return n
}

func (t *topic) preferredOn(b int) int {
	if t.preferred != nil {
		return int(t.preferred[b])
	}
	n := 0
	for i := range t.parts {
		if len(t.parts[i].at) > 0 && t.parts[i].at[0].broker == b {
			n++
		}
	}
	return n
}

// on returns which of the partition's replicas is on the broker, -1 if none.
func (p *part) on(b int) int {
	for i := range p.at {
		if p.at[i].broker == b {
			return i
		}
	}
	return -1
}

// bad tells whether a replica is to be replaced, whatever else: its broker is dead or it is quarantined.
func (w *world) bad(s slot) bool { return w.brokers[s.broker].dead || w.quarantined(s) }

func (w *world) quarantined(s slot) bool {
	if len(w.v.Quarantined) == 0 || s.id == 0 {
		return false
	}
	_, ok := w.v.Quarantined[s.id]
	return ok
}

// serves tells whether a replica takes part in its group now.
func (w *world) serves(s slot) bool { return w.brokers[s.broker].alive && !w.quarantined(s) }

// serving counts the replicas that take part now.
func (w *world) serving(p *part) int {
	n := 0
	for _, s := range p.at {
		if w.serves(s) {
			n++
		}
	}
	return n
}

// sound tells whether the partition may be moved for balance: nothing else happens to it and all its replicas serve.
func (w *world) sound(p *part) bool { return !p.busy && w.serving(p) == len(p.at) }

// countRacks fills w.inRack with the partition's replicas by rack, one of them left out (-1: none).
func (w *world) countRacks(p *part, without int) {
	clear(w.inRack)
	for i, s := range p.at {
		if i != without {
			w.inRack[w.brokers[s.broker].rack]++
		}
	}
}

// rackKeeps tells whether moving the partition's replica i to broker b leaves it in as many racks, as evenly.
func (w *world) rackKeeps(p *part, i, b int) bool {
	from, to := w.brokers[p.at[i].broker].rack, w.brokers[b].rack
	if from == to {
		return true
	}
	nFrom, nTo := 0, 0
	for _, s := range p.at {
		switch w.brokers[s.broker].rack {
		case from:
			nFrom++
		case to:
			nTo++
		}
	}
	return nTo < nFrom
}

// byReplicas sorts broker indexes by their replicas, the fewest first, of equals the lower id.
func (w *world) byReplicas(bs []int) {
	slices.SortStableFunc(bs, func(a, b int) int {
		return cmp.Or(cmp.Compare(w.brokers[a].replicas, w.brokers[b].replicas), cmp.Compare(a, b))
	})
}
