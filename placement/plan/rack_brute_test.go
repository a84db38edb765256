package plan

import (
	"math/bits"
	"testing"

	"pgregory.net/rapid"
)

// evenest finds, by trying every assignment that spreads each partition over the racks as evenly as can be, the least sum of
// squares of the brokers' replicas, for one topic.
func evenest(rack map[int32]string, parts, rf int) int {
	racksOf := func(set uint) (squares int) {
		in := map[string]int{}
		for b, r := range rack {
			if set&(1<<b) != 0 {
				in[r]++
			}
		}
		for _, n := range in {
			squares += n * n
		}
		return squares
	}
	var all uint
	for b := range rack {
		all |= 1 << b
	}
	var sets []uint
	best := 1 << 30
	for set := all; set > 0; set = (set - 1) & all {
		if bits.OnesCount(set) != rf {
			continue
		}
		if q := racksOf(set); q < best {
			best, sets = q, nil
		}
		if racksOf(set) == best {
			sets = append(sets, set)
		}
	}
	least := 1 << 30
	var counts [8]int
	var try func(i, from int)
	try = func(i, from int) { // partitions are alike: sets in rising order only
		if i == parts {
			n := 0
			for _, c := range counts {
				n += c * c
			}
			least = min(least, n)
			return
		}
		for k := from; k < len(sets); k++ {
			for b := range counts {
				if sets[k]&(1<<b) != 0 {
					counts[b]++
				}
			}
			try(i+1, k)
			for b := range counts {
				if sets[k]&(1<<b) != 0 {
					counts[b]--
				}
			}
		}
	}
	try(0, 0)
	return least
}

// Racks bind, and within that the load of one topic ends as even as any assignment could make it.
func TestUnevenRacksEndAsEvenAsTheyAllow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := newSim(t)
		rack := map[int32]string{}
		for range rapid.IntRange(2, 6).Draw(t, "brokers") {
			r := rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(t, "rack")
			rack[s.join(r)] = r
		}
		ids := s.v.State.BrokerIDs()
		rf := rapid.IntRange(1, min(3, len(ids))).Draw(t, "rf")
		parts := rapid.IntRange(1, 6).Draw(t, "partitions")
		var brokers [][]int32
		for range parts {
			brokers = append(brokers, rapid.Permutation(ids).Draw(t, "on")[:rf])
		}
		s.create("t", brokers...)
		s.settle()
		got := 0
		for _, b := range Spread(s.v).Brokers {
			got += b.Replicas * b.Replicas
		}
		if want := evenest(rack, parts, rf); got != want {
			t.Fatalf("racks %v: loads %+v, sum of squares %d; %d is possible", rack, Spread(s.v).Brokers, got, want)
		}
	})
}
