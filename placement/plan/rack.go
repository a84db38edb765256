package plan

import (
	"fmt"

	"github.com/runnel-io/runnel/placement"
)

// spreadRacks moves replicas of partitions that could be in more racks, or in the same ones more evenly.
func (w *world) spreadRacks() {
	if w.racks < 2 {
		return
	}
	w.eachIdle(func(p *part) {
		if !w.sound(p) || w.onDraining(p) >= 0 || !w.crowded(p) {
			return
		}
		i, b := w.lessCrowded(p)
		if i < 0 {
			return
		}
		from, to := &w.brokers[p.at[i].broker], &w.brokers[b]
		w.countRacks(p, -1)
		w.propose(p, i, b, placement.KindRack, fmt.Sprintf("%d of its replicas are in %s: moved from broker %d to broker %d in %s, which has %d",
			w.inRack[from.rack], rackOf(from), from.id, to.id, rackOf(to), w.inRack[to.rack]))
	})
}

func rackOf(b *broker) string {
	if b.rackName == "" {
		return fmt.Sprintf("broker %d's own rack", b.id)
	}
	return "rack " + b.rackName
}

// crowded tells whether a rack holds more than one replica of the partition.
func (w *world) crowded(p *part) bool {
	w.countRacks(p, -1)
	for _, n := range w.inRack {
		if n > 1 {
			return true
		}
	}
	return false
}

// lessCrowded chooses the replica to move and the broker, so that its racks hold the partition more evenly; -1 if none does.
func (w *world) lessCrowded(p *part) (replica, target int) {
	w.countRacks(p, -1)
	in := append([]int(nil), w.inRack...)
	replica, target = -1, -1
	var best candidate
	var bestFrom int
	for i, s := range p.at {
		from := &w.brokers[s.broker]
		for _, b := range w.targets {
			to := &w.brokers[b]
			if in[to.rack] > in[from.rack]-2 || p.on(b) >= 0 || !to.takesMore() {
				continue
			}
			// Fullest rack first, then the target as for any new replica, then the fullest broker.
			c := candidate{
				rack: in[to.rack] - in[from.rack], topic: p.topic.replicasOn(b) - p.topic.replicasOn(s.broker),
				all: to.replicas - from.replicas, bytes: to.bytes, tie: tieOf(p.topic.t.Name, int(p.n), to.id),
			}
			if replica < 0 || c.better(best) || c == best && from.replicas > bestFrom {
				replica, target, best, bestFrom = i, b, c, from.replicas
			}
		}
	}
	return replica, target
}
