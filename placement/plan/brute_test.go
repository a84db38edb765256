package plan

import (
	"math/bits"
	"testing"

	"pgregory.net/rapid"

	"github.com/runnel-io/runnel/placement"
)

// moveFactor bounds the replicas that the planner copies by those that an exhaustive search needs: at most moveFactor
// times as many, and moveSlack more.
const (
	moveFactor = 1.5
	moveSlack  = 1
)

// fewest finds, by trying every assignment, the least number of replicas to copy until each topic and the cluster are at
// most one apart over the brokers in targets (a bit set), and none is elsewhere.
func fewest(s *sim, targets uint) int {
	type item struct {
		topic, rf int
		on        uint // bit set of broker ids
	}
	var items []item
	for i, name := range s.v.State.TopicNames() {
		for _, p := range s.v.State.Topics[name].Partitions {
			it := item{topic: i, rf: len(p.Replicas)}
			for _, r := range p.Replicas {
				if s.serves(r) {
					it.on |= 1 << r.Broker
				}
			}
			items = append(items, it)
		}
	}
	best := 1 << 30
	counts := map[int]*[8]int{} // by topic; -1: all
	for i := -1; i < 4; i++ {
		counts[i] = &[8]int{}
	}
	even := func(c *[8]int) bool {
		lo, hi := 1<<30, 0
		for b := range c {
			if targets&(1<<b) != 0 {
				lo, hi = min(lo, c[b]), max(hi, c[b])
			}
		}
		return hi-lo <= 1
	}
	var try func(i, moved int)
	try = func(i, moved int) {
		if moved >= best {
			return
		}
		if i == len(items) {
			for _, c := range counts {
				if !even(c) {
					return
				}
			}
			best = moved
			return
		}
		it := items[i]
		for set := targets; ; set = (set - 1) & targets { // every subset
			if bits.OnesCount(set) == it.rf {
				for b := range 8 {
					if set&(1<<b) != 0 {
						counts[it.topic][b]++
						counts[-1][b]++
					}
				}
				try(i+1, moved+bits.OnesCount(set&^it.on))
				for b := range 8 {
					if set&(1<<b) != 0 {
						counts[it.topic][b]--
						counts[-1][b]--
					}
				}
			}
			if set == 0 {
				return
			}
		}
	}
	try(0, 0)
	return best
}

func TestFewMovesComparedWithBruteForce(t *testing.T) {
	total, least, worst := 0, 0, 0
	rapid.Check(t, func(t *rapid.T) {
		s := newSim(t)
		n := rapid.IntRange(3, 4).Draw(t, "brokers")
		for range n {
			s.join("")
		}
		ids := s.v.State.BrokerIDs()
		spread := rapid.Bool().Draw(t, "planned") // else anywhere
		loss := rapid.SampledFrom([]string{"nothing", "join", "drain", "dead"}).Draw(t, "what happens")
		lasting := n
		if loss == "drain" || loss == "dead" {
			lasting--
		}
		for i, parts := 0, rapid.IntRange(1, 6).Draw(t, "partitions"); i < 2 && parts > 0; i++ {
			name := []string{"a", "b"}[i]
			rf := rapid.IntRange(1, lasting).Draw(t, "rf")
			if loss == "dead" && rf < 3 { // else there is no majority
				rf = lasting
			}
			k := rapid.IntRange(1, parts).Draw(t, "of the topic")
			parts -= k
			if spread {
				a, err := Topic(s.v.State, alive(s.v), name, k, rf)
				if err != nil {
					t.Fatal(err)
				}
				s.create(name, a.Brokers...)
				continue
			}
			var brokers [][]int32
			for range k {
				brokers = append(brokers, rapid.Permutation(ids).Draw(t, "on")[:rf])
			}
			s.create(name, brokers...)
		}
		lost := ids[n-1]
		switch loss {
		case "join":
			if n < 4 {
				s.join("")
			}
		case "drain":
			s.apply(placement.SetDraining{Broker: lost, Draining: true})
		case "dead":
			s.silence(lost, 1<<40)
			for _, p := range Next(s.v).Blocked {
				t.Skip(p.Reason) // a majority is gone
			}
		}
		var targets uint
		for id, b := range s.v.State.Brokers {
			if s.v.Alive[id] && !b.Draining {
				targets |= 1 << id
			}
		}
		want := fewest(s, targets)
		s.settle()
		total += s.moved
		least += want
		worst = max(worst, s.moved-want)
		if float64(s.moved) > moveFactor*float64(want)+moveSlack {
			t.Fatalf("%s: %d replicas were copied and %d would have done", loss, s.moved, want)
		}
	})
	t.Logf("%d replicas copied, %d needed; at most %d more than needed", total, least, worst)
}

// One topic: passing leadership along chains finds the most even preferred leaders that the replicas allow.
func TestPreferredLeadersAreAsEvenAsReplicasAllow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := newSim(t, "", "", "", "")
		rf := rapid.IntRange(1, 3).Draw(t, "rf")
		var brokers [][]int32
		for range rapid.IntRange(1, 6).Draw(t, "partitions") {
			brokers = append(brokers, rapid.Permutation(s.v.State.BrokerIDs()).Draw(t, "on")[:rf])
		}
		s.create("t", brokers...)
		s.settle()
		squares := func(c [8]int) (n int) {
			for _, x := range c {
				n += x * x
			}
			return n
		}
		parts := s.v.State.Topics["t"].Partitions
		var got [8]int
		for _, p := range parts {
			got[p.Replicas[0].Broker]++
		}
		best := 1 << 30
		var try func(i int, c [8]int)
		try = func(i int, c [8]int) {
			if i == len(parts) {
				best = min(best, squares(c))
				return
			}
			for _, r := range parts[i].Replicas {
				c[r.Broker]++
				try(i+1, c)
				c[r.Broker]--
			}
		}
		try(0, [8]int{})
		if squares(got) != best {
			t.Fatalf("preferred leaders %v, the best sum of squares is %d", got, best)
		}
	})
}
