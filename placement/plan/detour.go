package plan

import (
	"fmt"
	"slices"
)

// shift is one move of a detour: a partition leaves a broker for another.
type shift struct {
	p        *part
	from, to int
}

// detour finds the shortest chain of moves that takes one replica off broker start and gives one to a broker with two fewer
// or less, when no single move may: racks can forbid a partition to go from a to b, and allow one to go from a to c and
// another from c to b. Loads fall along the chain, so that even a part of it makes nothing worse. It is a breadth-first search
// over the brokers, at most O(replicas x brokers).
func (w *world) detour(held holders, start int, load func(b int) int, fits func(p *part, from, to int) bool) []shift {
	came := make([]shift, len(w.brokers)) // p nil: not reached
	queue := []int{start}
	path := func(at int) (out []shift) {
		for ; at != start; at = came[at].from {
			out = append(out, came[at])
		}
		slices.Reverse(out)
		return out
	}
	for len(queue) > 0 {
		at := queue[0]
		queue = queue[1:]
		before := path(at)
		for _, p := range held[at] {
			i := p.on(at)
			if i < 0 || p.busy || slices.ContainsFunc(before, func(s shift) bool { return s.p == p }) {
				continue
			}
			for _, to := range w.targets {
				if to == start || came[to].p != nil || !w.brokers[to].takesMore() || load(to) >= load(at) || p.on(to) >= 0 || !w.rackKeeps(p, i, to) || !fits(p, at, to) {
					continue
				}
				came[to] = shift{p: p, from: at, to: to}
				if load(to) <= load(start)-2 {
					return path(to)
				}
				queue = append(queue, to)
			}
		}
	}
	return nil
}

// take plans a detour, or as much of its beginning as there is room for, and tells whether it planned any.
func (w *world) take(way []shift, load func(b int) int, what string) bool {
	if len(way) == 0 {
		return false
	}
	for _, s := range way {
		if !w.hasRoom(false) || !w.mayCopy(s.p, s.to, false) {
			w.plan.Waiting++
			return false
		}
	}
	first, last := way[0].from, way[len(way)-1].to
	reason := fmt.Sprintf("broker %d has %d replicas%s and broker %d has %d, and racks allow no single move",
		w.brokers[first].id, load(first), what, w.brokers[last].id, load(last))
	for _, s := range way {
		if !w.hasRoom(false) || !w.propose(s.p, s.p.on(s.from), s.to, w.evening(s.to), reason) {
			break // a later part alone could be undone again
		}
	}
	return true
}
