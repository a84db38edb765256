package plan

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/runnel-io/runnel/placement"
)

// balance evens the replicas of each topic, and then of the cluster, over the brokers that may get replicas: at most one apart.
//
// A move from broker a to broker b, for a topic of which they hold ta and tb replicas, is made
//
//	for the topic    if ta >= tb+2, or
//	for the cluster  if a holds two more than b in all, and ta >= tb+1.
//
// The first kind lowers the sum of squares of the topics' counts; the second does not raise that and lowers the sum of squares of
// the brokers' counts. So no sequence of plans returns to where it was, and it ends. Without racks it ends even: if a holds two
// replicas more than b in all, then it holds more than b of some topic, and so has a partition of it that b has not.
func (w *world) balance() {
	if len(w.targets) < 2 {
		return
	}
	for i := range w.topics {
		w.balanceTopic(&w.topics[i])
	}
	w.balanceAll()
}

// holders lists, by broker, the partitions that may move away from it.
type holders [][]*part

func (w *world) balanceTopic(t *topic) {
	counts := w.scratch
	clear(counts)
	for n := range t.parts {
		for _, s := range t.parts[n].at {
			counts[s.broker]++
		}
	}
	lo, hi := 1<<30, 0
	for _, b := range w.targets {
		lo, hi = min(lo, counts[b]), max(hi, counts[b])
	}
	if hi-lo < 2 {
		return
	}
	held := make(holders, len(w.brokers))
	for n := range t.parts {
		w.hold(held, &t.parts[n])
	}
	order := slices.Clone(w.targets)
	for {
		// The broker with the most of the topic gives to the one with the least; of equals, the loads in all decide.
		slices.SortFunc(order, func(a, b int) int {
			return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(w.brokers[b].replicas, w.brokers[a].replicas), cmp.Compare(a, b))
		})
		if !w.passOneOf(t, held, order, counts) {
			return
		}
	}
}

func (w *world) passOneOf(t *topic, held holders, order, counts []int) bool {
	waits := false
	for _, a := range order {
		for j := len(order) - 1; j >= 0; j-- {
			b := order[j]
			if counts[a] < counts[b]+2 {
				break
			}
			if !w.brokers[b].takesMore() {
				continue
			}
			p, i := w.choose(held[a], a, b, nil)
			if p == nil {
				continue
			}
			if !w.hasRoom(false) || !w.mayCopy(p, b, false) {
				waits = true
				continue
			}
			reason := fmt.Sprintf("broker %d has %d replicas of the topic and broker %d has %d", w.brokers[a].id, counts[a], w.brokers[b].id, counts[b])
			w.propose(p, i, b, w.evening(b), reason)
			counts[a]--
			counts[b]++
			return true
		}
	}
	if waits {
		w.plan.Waiting++
		return false
	}
	if w.racks == len(w.brokers) {
		return false
	}
	load := func(b int) int { return t.replicasOn(b) }
	for _, a := range order {
		if counts[a] < counts[order[len(order)-1]]+2 {
			break
		}
		way := w.detour(held, a, load, func(*part, int, int) bool { return true })
		if w.take(way, load, " of the topic") {
			for _, b := range order {
				counts[b] = t.replicasOn(b)
			}
			return true
		}
	}
	return false
}

// evening is the kind of a move that evens the load.
func (w *world) evening(b int) placement.Kind {
	if w.brokers[b].sparse {
		return placement.KindJoin
	}
	return placement.KindBalance
}

func (w *world) hold(held holders, p *part) {
	if !w.sound(p) {
		return
	}
	for _, s := range p.at {
		held[s.broker] = append(held[s.broker], p)
	}
}

// looks is how many partitions that could be moved are compared to find the one that fits best.
const looks = 64

// choose finds the partition whose move from broker a to broker b fits best, and its replica on a; nil if none may move. fits may
// exclude more.
func (w *world) choose(held []*part, a, b int, fits func(*part) bool) (*part, int) {
	var best *part
	var bestScore score
	at, seen := -1, 0
	for _, p := range held {
		i := p.on(a)
		if i < 0 || p.busy || p.on(b) >= 0 || !w.rackKeeps(p, i, b) || fits != nil && !fits(p) {
			continue
		}
		if s := w.scoreOf(p, i, a, b); best == nil || s.less(bestScore) {
			best, at, bestScore = p, i, s
		}
		if seen++; seen >= looks {
			break
		}
	}
	return best, at
}

// score tells how well a move fits beside its purpose: the less the better.
type score struct {
	wait   int   // for other copies
	leader int   // does it even the preferred leaders
	gap    int64 // what remains of the difference in bytes
	size   int64 // bytes to copy
}

func (s score) less(o score) bool {
	if s.wait != o.wait {
		return s.wait < o.wait
	}
	if s.leader != o.leader {
		return s.leader < o.leader
	}
	if s.gap != o.gap {
		return s.gap < o.gap
	}
	return s.size < o.size
}

func (w *world) scoreOf(p *part, i, a, b int) score {
	from, to := &w.brokers[a], &w.brokers[b]
	s := score{size: w.v.Bytes[p.p.Group]}
	if s.gap = from.bytes - to.bytes - 2*s.size; s.gap < 0 {
		s.gap = -s.gap
	}
	if !w.mayCopy(p, b, false) {
		s.wait = 1
	}
	more := p.topic.preferredOn(a) > p.topic.preferredOn(b) && from.preferred > to.preferred
	if (i == 0) != more {
		s.leader = 1
	}
	return s
}

func (w *world) balanceAll() {
	order := slices.Clone(w.targets)
	w.byReplicas(order)
	if w.brokers[order[len(order)-1]].replicas < w.brokers[order[0]].replicas+2 {
		return
	}
	held := make(holders, len(w.brokers))
	w.eachIdle(func(p *part) { w.hold(held, p) })
	stuck := make([]bool, len(w.brokers)) // no partition of it fits anywhere
	for w.hasRoom(false) {
		w.byReplicas(order)
		a := -1
		for j := len(order) - 1; j >= 0 && a < 0; j-- {
			if !stuck[order[j]] {
				a = order[j]
			}
		}
		if a < 0 || w.brokers[a].replicas < w.brokers[order[0]].replicas+2 {
			return
		}
		stuck[a] = !w.passOneFrom(held, order, a)
	}
	w.plan.Waiting++
}

// passOneFrom moves one replica from broker a to one that has two fewer or less.
func (w *world) passOneFrom(held holders, order []int, a int) bool {
	waits := false
	for _, b := range order {
		if w.brokers[a].replicas < w.brokers[b].replicas+2 {
			break
		}
		if !w.brokers[b].takesMore() {
			continue
		}
		p, i := w.choose(held[a], a, b, func(p *part) bool { return p.topic.replicasOn(a) > p.topic.replicasOn(b) })
		if p == nil {
			continue
		}
		if !w.mayCopy(p, b, false) {
			waits = true
			continue
		}
		reason := fmt.Sprintf("broker %d has %d replicas and broker %d has %d", w.brokers[a].id, w.brokers[a].replicas, w.brokers[b].id, w.brokers[b].replicas)
		w.propose(p, i, b, w.evening(b), reason)
		return true
	}
	if waits || w.racks == len(w.brokers) {
		if waits {
			w.plan.Waiting++
		}
		return false
	}
	load := func(b int) int { return w.brokers[b].replicas }
	way := w.detour(held, a, load, func(p *part, from, to int) bool { return p.topic.replicasOn(from) > p.topic.replicasOn(to) })
	return w.take(way, load, "")
}
