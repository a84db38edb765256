package plan

import (
	"cmp"
	"fmt"
	"slices"
)

// chains passes leadership on until no broker leads two partitions more than another that it can reach.
type chains struct {
	w    *world
	led  holders                      // by preferred leader; entries that were passed on since are skipped
	load func(b int) int              // what is evened
	may  func(p *part, a, b int) bool // may a pass p to b
	why  string                       // of what
}

type hop struct {
	from    int
	p       *part
	replica int
}

func (c *chains) run() {
	var order []int
	for b := range c.w.brokers {
		if c.w.brokers[b].mayPrefer() {
			order = append(order, b)
		}
	}
	done := make([]bool, len(c.w.brokers)) // reach nobody that leads less; others' chains hardly change that
	for {
		slices.SortStableFunc(order, func(a, b int) int { return cmp.Or(cmp.Compare(c.load(b), c.load(a)), cmp.Compare(a, b)) })
		if len(order) == 0 {
			return
		}
		least := c.load(order[len(order)-1])
		at := slices.IndexFunc(order, func(b int) bool { return !done[b] })
		if at < 0 || c.load(order[at]) < least+2 {
			return
		}
		if !c.pass(order[at]) {
			done[order[at]] = true
		}
	}
}

// pass takes one leader off broker start, by the shortest chain to a broker that leads two fewer or less.
func (c *chains) pass(start int) bool {
	came := make([]hop, len(c.w.brokers))
	seen := make([]bool, len(c.w.brokers))
	seen[start] = true
	left := len(c.w.brokers) - 1
	queue := []int{start}
	most := c.load(start)
	for len(queue) > 0 {
		at := queue[0]
		queue = queue[1:]
		if c.load(at) <= most-2 {
			c.apply(came, start, at)
			return true
		}
		kept := c.led[at][:0]
		for _, p := range c.led[at] {
			if p.at[0].broker != at {
				continue // passed on since
			}
			kept = append(kept, p)
			for i := 1; i < len(p.at) && left > 0; i++ {
				to := p.at[i].broker
				if !seen[to] && c.w.mayLead(p.at[i]) && c.may(p, at, to) {
					seen[to] = true
					left--
					came[to] = hop{from: at, p: p, replica: i}
					queue = append(queue, to)
				}
			}
		}
		c.led[at] = kept
	}
	return false
}

func (c *chains) apply(came []hop, start, at int) {
	why := fmt.Sprintf("broker %d has %d preferred %s and broker %d has %d",
		c.w.brokers[start].id, c.load(start), c.why, c.w.brokers[at].id, c.load(at))
	for at != start {
		h := came[at]
		c.w.prefer(h.p, h.replica, why)
		c.led[at] = append(c.led[at], h.p)
		at = h.from
	}
}
