package plan

import (
	"slices"
	"testing"

	"github.com/runnel-io/runnel/placement"
)

// Partitions that are left alone for a while, since their moves are turned back again and again, do not use up the moves that may be made at
// a time.
func TestCoolingPartitionsDoNotStarveOthers(t *testing.T) {
	s := placement.New()
	apply := func(c placement.Command) {
		next, _, err := placement.Apply(s, c)
		if err != nil {
			t.Fatal(err)
		}
		s = next
	}
	reg := func(n string) placement.Registration {
		return placement.Registration{Incarnation: n, ClientAddr: n, PeerAddr: n}
	}
	apply(placement.FoundCluster{ClusterID: "c", Broker: reg("1")})
	for _, n := range []string{"2", "3", "4"} {
		apply(placement.RegisterBroker{Broker: reg(n)})
	}
	apply(placement.CreateTopic{Name: "t", Brokers: [][]int32{{1, 2, 3}, {1, 2, 3}, {1, 2, 3}, {1, 2, 3}}})
	v := View{State: s, Alive: map[int32]bool{1: true, 2: true, 3: true, 4: true}, MaxMoves: 2, Quarantined: map[uint64]string{}, Cooling: map[uint64]bool{}}
	ps := s.Topics["t"].Partitions
	for n := range ps {
		v.Quarantined[ps[n].Replicas[1].ID] = "fsync failed"
	}
	planned := func() (out []int32) {
		for _, m := range Next(v).Moves {
			out = append(out, m.Partition)
		}
		return out
	}
	if got := planned(); !slices.Equal(got, []int32{0, 1}) {
		t.Fatalf("planned are the moves of %v", got)
	}
	v.Cooling[ps[0].Group], v.Cooling[ps[1].Group] = true, true
	if got := planned(); !slices.Equal(got, []int32{2, 3}) {
		t.Errorf("while 0 and 1 are left alone, planned are the moves of %v", got)
	}
}
