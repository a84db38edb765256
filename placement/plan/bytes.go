package plan

import (
	"cmp"
	"fmt"
	"slices"
)

const (
	// bytesGap is the difference in bytes between two brokers, in parts of the mean, that is worth copying data for.
	bytesGap = 0.2
	// bytesFloor is the least difference that is.
	bytesFloor = 1 << 30
	// swapLooks is how many partitions of each broker are tried for a swap.
	swapLooks = 32
	// maxSwaps bounds the swaps of one plan.
	maxSwaps = 8
)

// balanceBytes evens bytes once the counts are even: the fullest broker and the emptiest swap a large partition for a small one, so the
// counts stay. A swap is two moves, planned together or not at all. Each takes at least an eighth of the difference, which
// lowers the sum of squares of the brokers' bytes.
func (w *world) balanceBytes() {
	if len(w.v.Bytes) == 0 || len(w.targets) < 2 {
		return
	}
	for range maxSwaps {
		if w.room(false) < 2 || !w.swapOne() {
			return
		}
	}
}

func (w *world) swapOne() bool {
	a, b := w.targets[0], w.targets[0]
	var total int64
	for _, x := range w.targets {
		total += w.brokers[x].bytes
		if w.brokers[x].bytes > w.brokers[a].bytes {
			a = x
		}
		if w.brokers[x].bytes < w.brokers[b].bytes {
			b = x
		}
	}
	gap := w.brokers[a].bytes - w.brokers[b].bytes
	if !w.brokers[a].takesMore() || !w.brokers[b].takesMore() {
		return false
	}
	if gap < bytesFloor || float64(gap) < bytesGap*float64(total)/float64(len(w.targets)) {
		return false
	}
	large, small := w.movable(a, b), w.movable(b, a)
	bySize := func(x, y *part) int {
		return cmp.Or(cmp.Compare(w.v.Bytes[x.p.Group], w.v.Bytes[y.p.Group]), cmp.Compare(x.p.Group, y.p.Group))
	}
	slices.SortFunc(small, bySize)
	slices.SortFunc(large, func(x, y *part) int { return bySize(y, x) })
	small, large = small[:min(len(small), swapLooks)], large[:min(len(large), swapLooks)]
	var p, q *part
	left := gap - gap/4 // what is to remain at most
	for _, x := range large {
		for _, y := range small {
			d := w.v.Bytes[x.p.Group] - w.v.Bytes[y.p.Group]
			if rest := max(gap-2*d, 2*d-gap); d > 0 && rest <= left && w.swapKeeps(x, y, a, b) {
				p, q, left = x, y, rest-1
			}
		}
	}
	if p == nil || !w.maySwap(p, b, q, a) {
		return false
	}
	reason := fmt.Sprintf("broker %d holds %d MiB and broker %d holds %d MiB", w.brokers[a].id, w.brokers[a].bytes>>20, w.brokers[b].id, w.brokers[b].bytes>>20)
	kind := w.evening(b)
	w.propose(p, p.on(a), b, kind, fmt.Sprintf("%s: swapped with %s/%d", reason, q.topic.t.Name, q.n))
	w.propose(q, q.on(b), a, kind, fmt.Sprintf("%s: swapped with %s/%d", reason, p.topic.t.Name, p.n))
	return true
}

// maySwap tells whether the limits allow both copies at once: one alone would make the counts uneven, and be undone.
func (w *world) maySwap(p *part, b int, q *part, a int) bool {
	if !w.mayCopy(p, b, false) || !w.mayCopy(q, a, false) {
		return false
	}
	src := w.source(p)
	return w.v.MaxPerBroker <= 0 || src < 0 || src != w.source(q) || w.brokers[src].all.sends+2 <= w.v.MaxPerBroker
}

// movable lists the partitions with a replica on a that may move to b.
func (w *world) movable(a, b int) []*part {
	var out []*part
	w.eachIdle(func(p *part) {
		if i := p.on(a); i >= 0 && p.on(b) < 0 && w.sound(p) && w.rackKeeps(p, i, b) {
			out = append(out, p)
		}
	})
	return out
}

// swapKeeps tells whether the swap keeps every topic as even as it is.
func (w *world) swapKeeps(x, y *part, a, b int) bool {
	return x.topic == y.topic || x.topic.replicasOn(a) > x.topic.replicasOn(b) && y.topic.replicasOn(b) > y.topic.replicasOn(a)
}
