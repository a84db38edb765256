package plan

import (
	"slices"
	"testing"

	"github.com/runnel-io/runnel/placement"
)

// queued is a cluster of six brokers with ten partitions on brokers 1, 2 and 3, of which the first eight have moves to broker 6 that were asked for by hand.
func queued(t *testing.T) *sim {
	s := newSim(t)
	for range 6 {
		s.join("")
	}
	places := make([][]int32, 10)
	for i := range places {
		places[i] = []int32{1, 2, 3}
	}
	s.create("t", places...)
	for n := range int32(8) {
		s.apply(placement.ProposeMove{
			Topic: "t", Partition: n, AddBrokers: []int32{6}, Removes: []uint64{s.v.State.Topics["t"].Partitions[n].Replicas[2].ID}, Kind: placement.KindManual,
		})
	}
	s.v.MaxMoves, s.v.MaxPerBroker = 2, 2
	return s
}

func TestWhatHealsIsPlannedBesideAllElseAndWithinTheLimits(t *testing.T) {
	s := queued(t)
	if p := Next(s.v); len(p.Moves) > 0 {
		t.Fatalf("eight moves are under way, two may be, and the load is evened: %+v", p.Moves)
	}
	for _, r := range s.v.State.Topics["t"].Partitions[8].Replicas[1:] {
		s.v.Quarantined[r.ID] = "crc"
	}
	s.v.Quarantined[s.v.State.Topics["t"].Partitions[9].Replicas[2].ID] = "crc"
	s.create("u", []int32{1, 2, 3}, []int32{1, 2, 3})
	for _, p := range s.v.State.Topics["u"].Partitions {
		s.v.Quarantined[p.Replicas[2].ID] = "crc"
	}
	p := Next(s.v)
	if len(p.Moves) != 2 || p.Waiting == 0 {
		t.Fatalf("two moves that heal may be under way, and planned is %+v", p)
	}
	for _, m := range p.Moves {
		if m.Kind != placement.KindReplaceQuarantined || m.AddBrokers[0] == 6 {
			t.Errorf("planned is %+v: broker 6 has most to do", m)
		}
	}
	s.adopt(p)
	if p := Next(s.v); len(p.Moves) > 0 {
		t.Errorf("two moves that heal are under way, and planned is %+v", p.Moves)
	}
	// Not even those count that are known to be idle.
	s.v.Idle = map[uint64]bool{}
	for m := range s.v.State.Moves() {
		s.v.Idle[m.Move.ID] = true
	}
	if p := Next(s.v); len(p.Moves) != 1 {
		t.Errorf("all moves are idle, one partition is left to heal, and planned is %+v", p.Moves)
	}
}

// Broker 6 is heard and takes up nothing, so that what was to go there is idle. Brokers 4 and 5 are as good.
func TestNothingMoreGoesWhereMovesAreIdle(t *testing.T) {
	for name, ask := range map[string]func(s *sim){
		"healing": func(s *sim) {
			for _, p := range s.v.State.Topics["t"].Partitions {
				s.v.Quarantined[p.Replicas[2].ID] = "crc"
			}
		},
		"draining": func(s *sim) { s.apply(placement.SetDraining{Broker: 3, Draining: true}) },
		"evening":  func(*sim) {},
	} {
		s := newSim(t)
		for range 6 {
			s.join("")
		}
		s.create("t", slices.Repeat([][]int32{{1, 2, 3}}, 24)...)
		ask(s)
		s.v.MaxMoves, s.v.MaxPerBroker, s.v.Idle = 8, 2, map[uint64]bool{}
		for range 24 {
			s.adopt(Next(s.v))
			for going := true; going; {
				going = false
				for _, m := range slices.Collect(s.v.State.Moves()) {
					if s.v.Idle[m.Move.ID] = m.Move.Adds[0].Broker == 6; !s.v.Idle[m.Move.ID] {
						going = true
						s.step(m)
					}
				}
			}
		}
		idle := 0
		for range s.v.State.Moves() {
			idle++
		}
		if idle > 2 {
			t.Errorf("%s: %d of 24 partitions wait for broker 6", name, idle)
		}
	}
}
