package plan

import (
	"fmt"
	"time"

	"github.com/runnel-io/runnel/placement"
)

func (w *world) silence(b int) time.Duration {
	return w.v.DeadFor[w.brokers[b].id].Round(time.Second)
}

// eachIdle calls f for every partition without a move, in a fixed order.
func (w *world) eachIdle(f func(p *part)) {
	for i := range w.topics {
		for n := range w.topics[i].parts {
			if p := &w.topics[i].parts[n]; !p.busy && len(p.at) > 0 {
				f(p)
			}
		}
	}
}

// replace plans successors for replicas that are quarantined (first) or whose brokers are dead. One replica of a partition
// at a time, so its majority never rests on replicas that are new.
func (w *world) replace() {
	if len(w.v.Quarantined) > 0 {
		w.eachIdle(func(p *part) {
			for i, s := range p.at {
				if w.quarantined(s) {
					w.replaceOne(p, i, placement.KindReplaceQuarantined, fmt.Sprintf("replica %d on broker %d is quarantined (%s)", s.id, w.brokers[s.broker].id, w.v.Quarantined[s.id]))
					return
				}
			}
		})
	}
	w.eachIdle(func(p *part) {
		for i, s := range p.at {
			if w.brokers[s.broker].dead && !w.quarantined(s) {
				w.replaceOne(p, i, placement.KindReplaceDead, fmt.Sprintf("broker %d has been silent for %s", w.brokers[s.broker].id, w.silence(s.broker)))
				return
			}
		}
	})
}

func (w *world) replaceOne(p *part, i int, kind placement.Kind, why string) {
	if q := w.quorum(p.at); !q.ok() {
		w.block(p, p.at[i].broker, fmt.Sprintf("%s, and %s", why, q))
		return
	}
	if len(p.at) > p.topic.rf {
		w.drop(p, []int{i}, kind, fmt.Sprintf("%s, and the partition has %d replicas of %d: it is removed", why, len(p.at), p.topic.rf))
		return
	}
	if !w.hasRoom(true) {
		w.plan.Waiting++
		return
	}
	b := w.place(p, i, true)
	if b < 0 {
		w.block(p, p.at[i].broker, why+"; "+w.noPlace(len(p.at)))
		return
	}
	w.propose(p, i, b, kind, why+": replaced "+w.whither(p, i, b))
}

// drop plans the removal of replicas without successors.
func (w *world) drop(p *part, gone []int, kind placement.Kind, reason string) {
	if !w.hasRoom(Heals(kind)) {
		w.plan.Waiting++
		return
	}
	w.count(p, -1)
	var ids []uint64
	kept := make([]slot, 0, len(p.at))
	for i, s := range p.at {
		out := false
		for _, g := range gone {
			out = out || g == i
		}
		if out {
			ids = append(ids, s.id)
		} else {
			kept = append(kept, s)
		}
	}
	p.at = kept
	w.count(p, 1)
	w.add(p, nil, ids, kind, reason)
}
