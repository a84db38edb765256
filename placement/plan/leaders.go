package plan

// evenLeaders moves the topic's preferred leaders among the replicas that place chose, until no broker leads two
// partitions more than another that it could pass one to. place decides partition by partition and so can leave some
// broker with too many; passing leadership along a chain of brokers, each holding a replica of what the one before it
// leads, repairs that. Each round is one breadth-first search and lowers the sum of squares of the loads, so it ends.
func (p *planner) evenLeaders(chosen [][]int) {
	for p.passOne(chosen) {
	}
}

// step is how the search came to a broker: by a partition that the broker before it leads.
type step struct {
	from, partition, replica int
}

func (p *planner) passOne(chosen [][]int) bool {
	led := make([][]int, len(p.brokers)) // partitions by leader
	for n, c := range chosen {
		led[c[0]] = append(led[c[0]], n)
	}
	// Partitions that the topic had before count and stay: only a broker that leads new ones can pass one on.
	most := 0
	for b := range led {
		most = max(most, p.brokers[b].topicLeaders)
	}
	// Every broker with the most leaders is tried, lowest id first.
	for start := range led {
		if p.brokers[start].topicLeaders != most || len(led[start]) == 0 {
			continue
		}
		came := map[int]step{start: {from: -1}}
		queue := []int{start}
		for len(queue) > 0 {
			at := queue[0]
			queue = queue[1:]
			if p.brokers[at].topicLeaders <= most-2 {
				p.pass(chosen, came, at)
				return true
			}
			for _, n := range led[at] {
				for i := 1; i < len(chosen[n]); i++ {
					to := chosen[n][i]
					if _, seen := came[to]; !seen {
						came[to] = step{from: at, partition: n, replica: i}
						queue = append(queue, to)
					}
				}
			}
		}
	}
	return false
}

// pass moves one leadership along the chain that ends at a broker.
func (p *planner) pass(chosen [][]int, came map[int]step, at int) {
	for {
		s := came[at]
		if s.from < 0 {
			return
		}
		c := chosen[s.partition]
		c[0], c[s.replica] = c[s.replica], c[0]
		p.count(at, 1)
		p.count(s.from, -1)
		at = s.from
	}
}

func (p *planner) count(broker, n int) {
	p.brokers[broker].leaders += n
	p.brokers[broker].topicLeaders += n
}
