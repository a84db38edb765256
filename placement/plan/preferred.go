package plan

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/runnel-io/runnel/placement"
)

// leaveDraining takes the preferred leaders off draining brokers where the replica cannot go yet.
func (w *world) leaveDraining() {
	if !w.anyDraining() {
		return
	}
	w.eachIdle(func(p *part) {
		if old := p.at[0].broker; w.brokers[old].draining {
			w.preferInstead(p, fmt.Sprintf("broker %d is being drained", w.brokers[old].id))
		}
	})
}

// preferInstead makes the least loaded other broker of a partition its preferred leader, if there is one.
func (w *world) preferInstead(p *part, why string) {
	best := -1
	for i, s := range p.at {
		if !w.mayLead(s) || !w.serves(s) {
			continue
		}
		if best < 0 || w.leadsLess(p.topic, s.broker, p.at[best].broker) {
			best = i
		}
	}
	if best > 0 {
		w.prefer(p, best, why)
	}
}

func (w *world) mayLead(s slot) bool { return w.brokers[s.broker].mayPrefer() && !w.quarantined(s) }

// leadsLess tells whether broker a leads less of the topic, or else of all, than b.
func (w *world) leadsLess(t *topic, a, b int) bool {
	if x, y := t.preferredOn(a), t.preferredOn(b); x != y {
		return x < y
	}
	return w.brokers[a].preferred < w.brokers[b].preferred
}

// prefer makes replica i the preferred leader.
func (w *world) prefer(p *part, i int, why string) {
	w.count(p, -1)
	p.at[0], p.at[i] = p.at[i], p.at[0]
	w.count(p, 1)
	if w.changed == nil {
		w.changed = map[*part]string{}
	}
	w.changed[p] = why
}

// evenPreferred evens the preferred leaders of each topic, and then of the cluster. Leadership passes along chains of
// brokers, each of which holds a replica of what the one before it leads; each chain lowers a sum of squares, as in balance.
func (w *world) evenPreferred() {
	w.eachIdle(func(p *part) {
		if old := p.at[0].broker; w.brokers[old].dead {
			w.preferInstead(p, fmt.Sprintf("broker %d has been silent for %s", w.brokers[old].id, w.silence(old)))
		}
	})
	for i := range w.topics {
		w.evenPreferredOf(&w.topics[i])
	}
	w.evenPreferredAll()
}

// recordPreferred puts the orders that changed into the plan.
func (w *world) recordPreferred() {
	var ps []*part
	for p := range w.changed {
		// A move that was planned since has the new order in it. One that was passed on and got back has not changed.
		if !p.busy && p.at[0].id != p.p.Replicas[0].ID {
			ps = append(ps, p)
		}
	}
	slices.SortFunc(ps, func(a, b *part) int {
		return cmp.Or(cmp.Compare(a.topic.t.Name, b.topic.t.Name), cmp.Compare(a.n, b.n))
	})
	for _, p := range ps {
		order := make([]uint64, len(p.at))
		for i, s := range p.at {
			order[i] = s.id
		}
		w.plan.Preferred = append(w.plan.Preferred, placement.SetPreferred{TopicID: p.topic.t.ID, Partition: p.n, Order: order})
		w.plan.PreferredReasons = append(w.plan.PreferredReasons, fmt.Sprintf("%s/%d prefers broker %d: %s", p.topic.t.Name, p.n, w.brokers[p.at[0].broker].id, w.changed[p]))
	}
}

func (w *world) evenPreferredOf(t *topic) {
	counts := w.scratch
	clear(counts)
	for n := range t.parts {
		if at := t.parts[n].at; len(at) > 0 {
			counts[at[0].broker]++
		}
	}
	lo, hi := 1<<30, 0
	for b := range w.brokers {
		if w.brokers[b].mayPrefer() {
			lo, hi = min(lo, counts[b]), max(hi, counts[b])
		}
	}
	if hi-lo < 2 {
		return
	}
	led := make(holders, len(w.brokers))
	for n := range t.parts {
		if p := &t.parts[n]; !p.busy && len(p.at) > 0 {
			led[p.at[0].broker] = append(led[p.at[0].broker], p)
		}
	}
	c := chains{
		w: w, led: led, load: func(b int) int { return t.preferredOn(b) },
		may: func(*part, int, int) bool { return true }, why: "leaders of the topic",
	}
	c.run()
}

func (w *world) evenPreferredAll() {
	led := make(holders, len(w.brokers))
	w.eachIdle(func(p *part) { led[p.at[0].broker] = append(led[p.at[0].broker], p) })
	c := chains{
		w: w, led: led, load: func(b int) int { return w.brokers[b].preferred },
		may: func(p *part, a, b int) bool { return p.topic.preferredOn(a) > p.topic.preferredOn(b) }, why: "leaders",
	}
	c.run()
}
