package plan

import (
	"fmt"

	"github.com/runnel-io/runnel/placement"
)

// drain plans the replicas away from brokers that are being drained.
func (w *world) drain() {
	if !w.anyDraining() {
		return
	}
	w.eachIdle(func(p *part) {
		i := w.onDraining(p)
		if i < 0 || w.replacedFirst(p, i) {
			return
		}
		if why := w.stuck(p, i); why != "" {
			w.block(p, p.at[i].broker, why)
			return
		}
		if !w.hasRoom(false) {
			w.plan.Waiting++
			return
		}
		b := w.place(p, i, false)
		w.propose(p, i, b, placement.KindDrain, fmt.Sprintf("broker %d is being drained: moved %s", w.brokers[p.at[i].broker].id, w.whither(p, i, b)))
	})
}

func (w *world) anyDraining() bool {
	for i := range w.brokers {
		if w.brokers[i].draining {
			return true
		}
	}
	return false
}

// onDraining returns the partition's replica on a draining broker, -1 if none; those to be replaced anyway do not count.
func (w *world) onDraining(p *part) int {
	for i, s := range p.at {
		if w.brokers[s.broker].draining && !w.bad(s) {
			return i
		}
	}
	return -1
}

// stuck says why replica i of a partition cannot leave its draining broker; "" if it can.
func (w *world) stuck(p *part, i int) string {
	for _, s := range p.at {
		if w.bad(s) && w.serving(p) >= majority(len(p.at)) {
			return fmt.Sprintf("its replica on broker %d must be replaced first, and no broker can take it; %s", w.brokers[s.broker].id, w.noPlace(len(p.at)))
		}
	}
	if q := w.quorum(p.at); !q.ok() {
		return q.String()
	}
	if w.place(p, i, false) < 0 {
		return w.noPlace(len(p.at))
	}
	return ""
}

// Drain tells how far a broker's drain is and what blocks it; for a broker that is not being drained, what there would
// be to do. Waiting for other moves is not blocking. A move that is blocked does not count as moving.
func Drain(v View, id int32) DrainStatus {
	d := DrainStatus{Broker: id}
	if v.State == nil || v.State.Brokers[id] == nil {
		return d
	}
	d.Draining = v.State.Brokers[id].Draining
	for _, r := range v.State.Controller {
		d.Voter = d.Voter || r.Broker == id && !r.Learner
	}
	v.MaxMoves, v.MaxPerBroker = 0, 0
	w := newWorld(v)
	own := w.at(id)
	block := func(p *part, why string) {
		if len(d.Blocked) < MaxBlocked {
			d.Blocked = append(d.Blocked, w.blocked(p, own, why))
		} else {
			d.BlockedMore++
		}
	}
	w.brokers[own].draining = true
	w.targets = removeInt(w.targets, own)
	for i := range w.topics {
		for n := range w.topics[i].parts {
			p := &w.topics[i].parts[n]
			if v.Leaders[p.p.Group] == id {
				d.Leaders++
			}
			_, holds := p.p.On(id)
			_, comes := p.p.Joining(id)
			if !holds && !comes {
				continue
			}
			d.Replicas++
			d.Bytes += v.Bytes[p.p.Group]
			at, still := p.on(own), w.halted(p)
			switch {
			case still != "":
				block(p, still)
			case at < 0:
				d.Moving++
			case p.busy:
			default:
				why := ""
				if q := w.quorum(p.at); w.bad(p.at[at]) && !q.ok() {
					why = q.String()
				} else if len(p.at) <= p.topic.rf {
					why = w.stuckOn(p, at)
				}
				if why != "" {
					block(p, why)
				}
			}
		}
	}
	return d
}

// halted says which majority a partition's move waits for; "" if it has what it needs, or there is none. One whose new replica is silent is
// not halted: after a while it is turned back, and made to another broker.
func (w *world) halted(p *part) string {
	m := p.p.Move
	if m == nil || m.Phase == placement.PhaseLeft {
		return ""
	}
	if q := w.quorum(w.slots(p.p.Replicas)); !q.ok() {
		return fmt.Sprintf("move %d cannot go on: %s", m.ID, q)
	}
	if q := w.quorum(p.at); m.Phase == placement.PhaseJoint && !q.ok() {
		return fmt.Sprintf("move %d cannot go on: after it, %s", m.ID, q)
	}
	return ""
}

// stuckOn is stuck, but does not wait for other replicas that are replaced first and have a place to go to.
func (w *world) stuckOn(p *part, at int) string {
	if w.replacedFirst(p, at) {
		return ""
	}
	if w.bad(p.at[at]) {
		if w.place(p, at, true) < 0 {
			return w.noPlace(len(p.at))
		}
		return ""
	}
	return w.stuck(p, at)
}

// replacedFirst tells whether another replica of the partition is replaced before this one leaves, if only when there is room for
// its move.
func (w *world) replacedFirst(p *part, at int) bool {
	if w.serving(p) < majority(len(p.at)) {
		return false
	}
	for i, s := range p.at {
		if i != at && w.bad(s) && w.place(p, i, true) >= 0 {
			return true
		}
	}
	return false
}

func removeInt(in []int, x int) []int {
	out := make([]int, 0, len(in))
	for _, y := range in {
		if y != x {
			out = append(out, y)
		}
	}
	return out
}
