package plan

import (
	"fmt"
	"strings"

	"github.com/runnel-io/runnel/placement"
)

// propose plans a move that puts replica i of a partition on broker b, and tells whether it did: it does not if enough
// moves are under way.
func (w *world) propose(p *part, i, b int, kind placement.Kind, reason string) bool {
	if !w.hasRoom(Heals(kind)) || !w.mayCopy(p, b, Heals(kind)) {
		w.plan.Waiting++
		return false
	}
	old := p.at[i]
	w.count(p, -1)
	p.at[i] = slot{broker: b}
	w.count(p, 1)
	w.add(p, []int32{w.brokers[b].id}, []uint64{old.id}, kind, reason)
	return true
}

// add records a move of a partition whose desired replicas are changed already.
func (w *world) add(p *part, adds []int32, removes []uint64, kind placement.Kind, reason string) {
	p.busy = true
	order := make([]int32, len(p.at))
	for i, s := range p.at {
		order[i] = w.brokers[s.broker].id
	}
	w.plan.Moves = append(w.plan.Moves, placement.ProposeMove{
		Topic: p.topic.t.Name, TopicID: p.topic.t.ID, Partition: p.n,
		AddBrokers: adds, Removes: removes, OrderBrokers: order, Kind: kind, Reason: reason,
	})
	w.begin(kind)
	for _, id := range adds {
		w.copies(p, id, kind)
	}
}

// place chooses the broker for a new replica of a partition, in the place of replica i, or as one more if i is -1; -1 if
// there is none. The broker of replica i itself comes last: only a quarantined replica gets its successor there, and what
// spoilt the one may spoil the other. The first goal is racks, then brokers without quarantined replicas, then the replicas
// of the topic, of all topics, and bytes; what is left is decided by a hash. Urgent: a broker that has its copies under way
// may be passed over for another that is no worse for racks: for one that has room, or else for one that has room for what heals. So may, urgent or not,
// one to which copies are on their way and do not go on: whatever is wrong with it may be so for long.
func (w *world) place(p *part, i int, urgent bool) int {
	w.countRacks(p, i)
	none := candidate{broker: -1}
	best, free, open, calm, late := none, none, none, none, none
	for _, b := range w.targets {
		here := p.on(b)
		if here >= 0 && here != i || w.brokers[b].refuses != "" {
			continue
		}
		c := candidate{
			broker: b, own: here >= 0, rack: w.inRack[w.brokers[b].rack], doubt: !w.brokers[b].takesMore(),
			topic: p.topic.replicasOn(b), all: w.brokers[b].replicas, bytes: w.brokers[b].bytes,
			tie: tieOf(p.topic.t.Name, int(p.n), w.brokers[b].id),
		}
		best.take(c, true)
		free.take(c, urgent && w.mayCopy(p, b, false))
		open.take(c, urgent && w.mayCopy(p, b, true) && w.goesOn(b))
		calm.take(c, w.goesOn(b))
		late.take(c, urgent && w.mayCopy(p, b, true))
	}
	for _, c := range []candidate{free, open, calm, late} {
		if c.broker >= 0 && c.own == best.own && c.rack == best.rack {
			return c.broker
		}
	}
	return best.broker
}

type candidate struct {
	broker           int
	own, doubt       bool
	rack, topic, all int
	bytes            int64
	tie              uint64
}

// take replaces a candidate by a better one, if that may be one.
func (c *candidate) take(o candidate, may bool) {
	if may && (c.broker < 0 || o.better(*c)) {
		*c = o
	}
}

func (c candidate) better(o candidate) bool {
	switch {
	case c.own != o.own:
		return o.own
	case c.rack != o.rack:
		return c.rack < o.rack
	case c.doubt != o.doubt:
		return o.doubt
	case c.topic != o.topic:
		return c.topic < o.topic
	case c.all != o.all:
		return c.all < o.all
	case c.bytes != o.bytes:
		return c.bytes < o.bytes
	}
	return c.tie < o.tie
}

// block records what cannot be done.
func (w *world) block(p *part, b int, reason string) {
	if len(w.plan.Blocked) >= MaxBlocked {
		w.plan.BlockedMore++
		return
	}
	w.plan.Blocked = append(w.plan.Blocked, w.blocked(p, b, reason))
}

func (w *world) blocked(p *part, b int, reason string) Blocked {
	return Blocked{Topic: p.topic.t.Name, Partition: p.n, Broker: w.brokers[b].id, Reason: reason}
}

// noPlace says why no broker can take one more replica of a partition of n replicas.
func (w *world) noPlace(n int) string {
	var draining, silent, refusing []string
	for i := range w.brokers {
		switch b := &w.brokers[i]; {
		case !b.alive:
			silent = append(silent, fmt.Sprint(b.id))
		case b.draining:
			draining = append(draining, fmt.Sprint(b.id))
		case b.refuses != "":
			refusing = append(refusing, fmt.Sprintf("broker %d takes no more (%s)", b.id, b.refuses))
		}
	}
	why := fmt.Sprintf("replication factor %d needs %d brokers that are alive and not draining, of which there are %s", n, n, w.usable())
	if len(refusing) > 0 {
		why += "; " + strings.Join(refusing, ", ")
	}
	do := []string{"start another broker"}
	if len(silent) > 0 {
		do = append(do, "bring back broker "+strings.Join(silent, ", "))
	}
	if len(draining) > 0 {
		do = append(do, "undrain broker "+strings.Join(draining, ", "))
	}
	do = append(do, "lower the replication factor")
	return why + ": " + strings.Join(do[:len(do)-1], ", ") + " or " + do[len(do)-1]
}

// usable counts and names the brokers that may get replicas: "2 of 4 (1, 3)".
func (w *world) usable() string {
	ids := make([]string, len(w.targets))
	for i, b := range w.targets {
		ids[i] = fmt.Sprint(w.brokers[b].id)
	}
	if len(ids) == 0 {
		ids = []string{"none"}
	}
	return fmt.Sprintf("%d of %d (%s)", len(w.targets), len(w.brokers), strings.Join(ids, ", "))
}

// whither says where a replica goes and why that is a good place.
func (w *world) whither(p *part, i, b int) string {
	to := &w.brokers[b]
	if p.at[i].broker == b {
		return fmt.Sprintf("on broker %d itself, since no other can take it", to.id)
	}
	if to.rackName != "" {
		w.countRacks(p, i)
		if w.inRack[to.rack] == 0 {
			return fmt.Sprintf("on broker %d (rack %s, which has no other replica of it)", to.id, to.rackName)
		}
	}
	return fmt.Sprintf("on broker %d (%d replicas)", to.id, to.replicas)
}
