package plan

import (
	"fmt"
	"time"

	"github.com/runnel-io/runnel/placement"
)

// cancels turns back moves whose new replica can never be finished where it was to go.
func (w *world) cancels() {
	for i := range w.topics {
		t := &w.topics[i]
		for n := range t.parts {
			m := t.t.Partitions[n].Move
			if m == nil || m.Cancelled || !m.Cancellable() {
				continue
			}
			for _, r := range m.Adds {
				if why := w.hopeless(r); why != "" {
					w.plan.Cancels = append(w.plan.Cancels, placement.CancelMove{TopicID: t.t.ID, Partition: int32(n), Move: m.ID}) //nolint:gosec // bounded
					w.plan.CancelReasons = append(w.plan.CancelReasons, fmt.Sprintf("move %d of %s/%d: %s", m.ID, t.t.Name, n, why))
					break
				}
			}
		}
	}
}

func (w *world) hopeless(r placement.Replica) string {
	b := w.at(r.Broker)
	if why, ok := w.v.Quarantined[r.ID]; ok {
		return fmt.Sprintf("its new replica on broker %d is quarantined (%s)", r.Broker, why)
	}
	switch {
	case b < 0:
		return fmt.Sprintf("broker %d, to which it goes, is no member any more", r.Broker)
	case w.brokers[b].dead:
		return fmt.Sprintf("broker %d, to which it goes, has been silent for %s", r.Broker, w.silence(b))
	case w.brokers[b].draining:
		return fmt.Sprintf("broker %d, to which it goes, is being drained", r.Broker)
	}
	return ""
}

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
	w.lost()
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

// lost tells of partitions that move and have lost their majority: their moves cannot go on.
func (w *world) lost() {
	for i := range w.topics {
		t := &w.topics[i]
		for n := range t.parts {
			p := &t.parts[n]
			if p.p.Move == nil {
				continue
			}
			now := part{topic: t, n: p.n, p: p.p}
			gone := -1
			for _, r := range p.p.Replicas {
				if b := w.at(r.Broker); b >= 0 {
					now.at = append(now.at, slot{id: r.ID, broker: b})
					if w.bad(now.at[len(now.at)-1]) {
						gone = b
					}
				}
			}
			if serve := w.serving(&now); gone >= 0 && serve < majority(len(now.at)) {
				w.block(p, gone, fmt.Sprintf("move %d cannot go on: %s", p.p.Move.ID, noMajority(serve, len(now.at))))
			}
		}
	}
}

// noMajority says what to do when too few replicas serve.
func noMajority(serve, of int) string {
	return fmt.Sprintf("%d of %d replicas serve, which is no majority: bring back a broker that holds one, or give up what is lost with `brokerctl partition recover`", serve, of)
}

func (w *world) replaceOne(p *part, i int, kind placement.Kind, why string) {
	if n := w.serving(p); n < majority(len(p.at)) {
		w.block(p, p.at[i].broker, why+", and "+noMajority(n, len(p.at)))
		return
	}
	if len(p.at) > p.topic.rf {
		w.drop(p, []int{i}, kind, fmt.Sprintf("%s, and the partition has %d replicas of %d: it is removed", why, len(p.at), p.topic.rf))
		return
	}
	if !w.hasRoom() {
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
	if !w.hasRoom() {
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
