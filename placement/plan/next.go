package plan

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/runnel-io/runnel/placement"
)

// Next plans what to do next, the most urgent first: replicas that are quarantined, dead or missing; drains; racks; evenness
// of replicas, of bytes, and of preferred leaders; and transfers of leaders to their preferred brokers. Load is evened only
// when nothing more urgent waits, and preferred leaders only when no replica shall move. The plan is empty when all is as it
// should be, or waits for moves under way. The same view gives the same plan.
//
// It takes O(replicas), and O(brokers) for each move that it plans; where racks keep brokers uneven, O(replicas x brokers).
func Next(v View) Plan {
	w := newWorld(v)
	w.describe()
	w.cancels()
	w.lost()
	w.replace()
	w.factor(false)
	w.factor(true)
	w.drain()
	w.leaveDraining()
	if w.settled() {
		w.even()
	}
	if w.plan.Waiting == 0 && len(w.plan.Moves) == 0 {
		w.evenPreferred()
	}
	w.recordPreferred()
	w.transfers()
	if n := w.plan.Waiting; n > 0 {
		w.reason("at least %d more moves wait until fewer are under way", n)
	}
	return w.plan
}

// patience is how long a broker may be silent, at most, before the others are evened out without it.
const patience = 10 * time.Minute

// settled tells whether it is known of every broker whether it keeps its replicas. What would be evened out before might be undone,
// at twice the copies, when a silent broker comes back, or when its replicas find their places.
func (w *world) settled() bool {
	for i := range w.brokers {
		if b := &w.brokers[i]; !b.alive && !b.dead && b.held > 0 && w.v.DeadFor[b.id] < patience {
			w.reason("replicas are not spread anew until broker %d is back, or replaced, or silent for %s", b.id, patience)
			return false
		}
	}
	return true
}

// even spreads what is healthy.
func (w *world) even() {
	if w.plan.Waiting == 0 && w.hasRoom(false) {
		w.spreadRacks()
	}
	if w.plan.Waiting == 0 && w.hasRoom(false) {
		w.balance()
	}
	if w.plan.Waiting == 0 && len(w.plan.Moves) == 0 {
		w.balanceBytes()
	}
}

func (w *world) reason(format string, args ...any) {
	w.plan.Reasons = append(w.plan.Reasons, fmt.Sprintf(format, args...))
}

// describe tells of brokers that shape the plan.
func (w *world) describe() {
	w.reason("brokers alive and not draining: %s", w.usable())
	if r, ok := w.v.State.ControllerRecovered(); ok {
		w.reason("the controller group was recovered by hand at revision %d with what broker %d had; the replicas %v of it were given up", r.Revision, r.Broker, r.Lost)
	}
	racks := map[int]bool{}
	for _, b := range w.targets {
		racks[w.brokers[b].rack] = true
	}
	for i := range w.brokers {
		b := &w.brokers[i]
		var is []string
		if b.draining {
			is = append(is, "is being drained")
		}
		if b.refuses != "" {
			is = append(is, fmt.Sprintf("takes no new replicas (%s)", b.refuses))
		}
		if b.quarantined > 0 {
			is = append(is, fmt.Sprintf("holds quarantined replicas (%d) and gets no others where there is a choice", b.quarantined))
		}
		switch {
		case b.dead && b.held == 0:
			is = append(is, fmt.Sprintf("has been silent for %s and holds nothing any more: if it does not come back, `brokerctl broker remove %d`", w.silence(i), b.id))
		case b.dead:
			is = append(is, fmt.Sprintf("has been silent for %s and is replaced", w.silence(i)))
		case !b.alive && w.v.ReplaceAfter <= 0:
			is = append(is, fmt.Sprintf("has been silent for %s and keeps its replicas", w.silence(i)))
		case !b.alive:
			is = append(is, fmt.Sprintf("has been silent for %s and keeps its replicas until %s", w.silence(i), w.v.ReplaceAfter))
		}
		if len(is) > 0 {
			w.reason("broker %d %s", b.id, strings.Join(is, " and "))
		}
	}
	most := 0
	for i := range w.topics {
		most = max(most, w.topics[i].rf)
	}
	if n := len(w.v.Cooling); n > 0 {
		w.reason("%d partitions are left as they are for a while: their moves were turned back again and again", n)
	}
	if named := w.namedRacks(); named && len(racks) < most {
		w.reason("%d racks for up to %d replicas: some racks hold more than one replica of a partition", len(racks), most)
	}
}

func (w *world) namedRacks() bool {
	for i := range w.brokers {
		if w.brokers[i].rackName != "" {
			return true
		}
	}
	return false
}

// transfers lists the leaders that are not where they are preferred and can go there now, and those that leave a broker whose disk is nearly
// full.
func (w *world) transfers() {
	for i := range w.topics {
		t := &w.topics[i]
		for n := range t.parts {
			p := &t.parts[n]
			// A move hands leadership over itself.
			if p.busy || len(p.p.Replicas) == 0 {
				continue
			}
			now := w.at(w.v.Leaders[p.p.Group])
			if now < 0 || p.on(now) < 0 { // what is known of leaders may be old
				continue
			}
			from := w.brokers[now].id
			to, why := p.p.Replicas[0].Broker, fmt.Sprintf("broker %d is its preferred leader and broker %d leads", p.p.Replicas[0].Broker, from)
			if w.v.Full[from] {
				why = fmt.Sprintf("the disk of broker %d, which leads, is nearly full", from)
				i := slices.IndexFunc(p.p.Replicas, func(r placement.Replica) bool { return r.Broker != from && w.takesLead(r) })
				if i < 0 {
					continue
				}
				to = p.p.Replicas[i].Broker
			} else if to == from || !w.takesLead(p.p.Replicas[0]) {
				continue
			}
			w.plan.Transfers = append(w.plan.Transfers, Transfer{Group: p.p.Group, Topic: t.t.Name, Partition: p.n, From: from, To: to, Reason: why})
		}
	}
}

// takesLead tells whether a replica can be given the leadership now.
func (w *world) takesLead(r placement.Replica) bool {
	b := w.at(r.Broker)
	return b >= 0 && w.serves(slot{id: r.ID, broker: b}) && !w.brokers[b].draining && !w.v.Muted[r.Broker] && !w.v.Full[r.Broker]
}
