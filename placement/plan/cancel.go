package plan

import (
	"fmt"

	"github.com/runnel-io/runnel/placement"
)

// cancels turns back moves that can never be finished where they were to go.
func (w *world) cancels() {
	for i := range w.topics {
		t := &w.topics[i]
		for n := range t.parts {
			p := &t.parts[n]
			m := p.p.Move
			if m == nil || m.Cancelled || !m.Cancellable() {
				continue
			}
			if why := w.hopeless(p); why != "" {
				w.plan.Cancels = append(w.plan.Cancels, placement.CancelMove{TopicID: t.t.ID, Partition: p.n, Move: m.ID})
				w.plan.CancelReasons = append(w.plan.CancelReasons, fmt.Sprintf("move %d of %s/%d: %s", m.ID, t.t.Name, p.n, why))
			}
		}
	}
}

// hopeless says why a move shall not go on; "" if it may.
func (w *world) hopeless(p *part) string {
	m := p.p.Move
	for _, r := range m.Adds {
		b := w.at(r.Broker)
		if why, ok := w.v.Quarantined[r.ID]; ok {
			return fmt.Sprintf("its new replica on broker %d is quarantined (%s)", r.Broker, why)
		}
		switch {
		case b < 0:
			return fmt.Sprintf("broker %d, to which it goes, is no member any more", r.Broker)
		case w.brokers[b].dead:
			return fmt.Sprintf("broker %d, to which it goes, has been silent for %s", r.Broker, w.silence(b))
		// What heals goes on if it can go nowhere else: late is better than never.
		case w.brokers[b].draining && (!Heals(m.Kind) || w.place(p, p.on(b), true) >= 0):
			return fmt.Sprintf("broker %d, to which it goes, is being drained", r.Broker)
		case w.brokers[b].refuses != "" && (!Heals(m.Kind) || w.place(p, p.on(b), true) >= 0):
			return fmt.Sprintf("broker %d, to which it goes, takes no more (%s)", r.Broker, w.brokers[b].refuses)
		}
	}
	// What only removes replicas meets brokers that died since.
	if q := w.quorum(p.at); q.could < majority(q.of) && w.quorum(w.slots(p.p.Replicas)).ok() {
		return fmt.Sprintf("of the %d replicas after it only %d could serve", q.of, q.could)
	}
	return ""
}
