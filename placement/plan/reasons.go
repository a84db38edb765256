package plan

import (
	"fmt"

	"github.com/runnel-io/runnel/placement"
)

// reasons tells how a finished plan came about.
func (p *planner) reasons(s *placement.State, chosen [][]int, rf int) []string {
	out := []string{fmt.Sprintf("%d of %d brokers are alive and were considered", len(p.brokers), len(s.Brokers))}
	spread := min(rf, p.racks)
	for _, c := range chosen {
		spread = min(spread, p.racksOf(c))
	}
	switch {
	case p.racks == len(p.brokers):
		out = append(out, "racks did not matter: no two of these brokers share one")
	case p.racks < rf:
		out = append(out, fmt.Sprintf("only %d racks for %d replicas: each partition is in all racks, and some racks hold more than one of its replicas", p.racks, rf))
	default:
		out = append(out, fmt.Sprintf("the %d replicas of each partition are in %d of %d racks", rf, spread, p.racks))
	}
	out = append(out,
		"replicas of the topic a broker: "+p.span(func(b *brokerLoad) int { return b.topicReplicas }),
		"preferred leaders of the topic a broker: "+p.span(func(b *brokerLoad) int { return b.topicLeaders }),
		"replicas of all topics a broker: "+p.span(func(b *brokerLoad) int { return b.replicas }),
	)
	return out
}

func (p *planner) racksOf(chosen []int) int {
	clear(p.inRack)
	n := 0
	for _, b := range chosen {
		if r := p.brokers[b].rack; p.inRack[r] == 0 {
			p.inRack[r]++
			n++
		}
	}
	return n
}

func (p *planner) span(of func(*brokerLoad) int) string {
	lo, hi := of(&p.brokers[0]), of(&p.brokers[0])
	for i := range p.brokers {
		lo, hi = min(lo, of(&p.brokers[i])), max(hi, of(&p.brokers[i]))
	}
	if lo == hi {
		return fmt.Sprint(lo)
	}
	return fmt.Sprintf("%d to %d", lo, hi)
}
