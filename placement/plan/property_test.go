package plan

import (
	"fmt"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/runnel-io/runnel/placement"
)

// Whatever happened to the cluster, plans end, keep every quorum and never put two voters of a partition on one broker (sim
// checks both at each step); at the end nothing that could be done is left.
func TestPlansConvergeAndKeepQuorum(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := randomSim(t, 8, 12, rapid.Bool().Draw(t, "racks"))
		s.v.MaxMoves = rapid.IntRange(0, 5).Draw(t, "moves")
		s.v.MaxPerBroker = rapid.IntRange(0, 3).Draw(t, "per broker")
		s.harm(t)
		for _, name := range s.v.State.TopicNames() {
			if rapid.IntRange(0, 3).Draw(t, "alter") == 0 {
				s.apply(placement.SetReplicationFactor{Topic: name, RF: rapid.IntRange(1, 5).Draw(t, "rf")})
			}
		}
		if p := Next(s.v); !reflect.DeepEqual(p, Next(s.v)) {
			t.Fatal("the same view gave two plans")
		}
		last := s.settle()
		if last.Waiting > 0 {
			t.Fatalf("nothing is under way and %d moves wait", last.Waiting)
		}
		// Brokers that come back, are replaced or undrained, and one more broker: all is healed.
		for _, id := range s.v.State.BrokerIDs() {
			s.wake(id)
		}
		s.settle()
		checkDone(t, s)
	})
}

// checkDone: with all brokers alive, what is not as it should be has a reason.
func checkDone(t *rapid.T, s *sim) {
	targets := 0
	for id, b := range s.v.State.Brokers {
		if s.v.Alive[id] && !b.Draining {
			targets++
		}
	}
	p := Next(s.v)
	blocked := map[string]bool{}
	for _, b := range p.Blocked {
		blocked[fmt.Sprint(b.Topic, "/", b.Partition)] = true
	}
	for name, topic := range s.v.State.Topics {
		for n, part := range topic.Partitions {
			wrong := len(part.Replicas) != topic.ReplicationFactor()
			for _, r := range part.Replicas {
				_, bad := s.v.Quarantined[r.ID]
				wrong = wrong || bad || s.v.State.Brokers[r.Broker].Draining
			}
			if wrong && !blocked[fmt.Sprint(name, "/", n)] {
				t.Fatalf("%s/%d stays %+v of %d and nothing is said; draining and alive: %v", name, n, part, topic.ReplicationFactor(), targets)
			}
		}
	}
}

// Without racks, whatever the replicas were: each topic and the cluster end at most one apart.
func TestReplicasAndLeadersEndAtMostOneApart(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := randomSim(t, 9, 20, false)
		for range rapid.IntRange(0, 3).Draw(t, "joins") {
			s.join("")
		}
		s.v.MaxMoves = rapid.IntRange(0, 4).Draw(t, "moves")
		s.settle()
		got := Spread(s.v)
		if got.Replicas > 1 || got.TopicReplicas > 1 {
			t.Fatalf("replicas end %d apart, of topic %s %d: %+v", got.Replicas, got.WorstTopic, got.TopicReplicas, got.Brokers)
		}
		if got.TopicLeaders != got.TopicPreferred || got.Leaders != got.Preferred {
			t.Fatalf("leaders are not where they are preferred: %+v", got)
		}
	})
}

// Where every broker holds every partition, leaders can go anywhere: each topic and the cluster end at most one apart.
func TestLeadersEndAtMostOneApartWhereReplicasAreEverywhere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := newSim(t)
		n := rapid.IntRange(1, 5).Draw(t, "brokers")
		for range n {
			s.join("")
		}
		for i := range rapid.IntRange(1, 8).Draw(t, "topics") {
			var brokers [][]int32
			for range rapid.IntRange(1, 9).Draw(t, "partitions") {
				brokers = append(brokers, rapid.Permutation(s.v.State.BrokerIDs()).Draw(t, "on"))
			}
			s.create(fmt.Sprintf("t%d", i), brokers...)
		}
		s.settle()
		if got := Spread(s.v); got.Leaders > 1 || got.TopicLeaders > 1 || s.moved > 0 {
			t.Fatalf("leaders end %d apart, of a topic %d, after %d copies: %+v", got.Leaders, got.TopicLeaders, s.moved, got.Brokers)
		}
	})
}

// New partitions complete the topic: leaders and replicas of the whole become even if they were.
func TestAddedPartitionsContinueTheTopic(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := newSim(t)
		n := rapid.IntRange(2, 8).Draw(t, "brokers")
		for range n {
			s.join("")
		}
		rf := rapid.IntRange(1, n-1).Draw(t, "rf")
		first, err := Topic(s.v.State, s.v.Alive, "t", rapid.IntRange(1, 20).Draw(t, "first"), rf)
		if err != nil {
			t.Fatal(err)
		}
		s.create("t", first.Brokers...)
		drained := rapid.Bool().Draw(t, "drained")
		if drained {
			s.apply(placement.SetDraining{Broker: 1, Draining: true})
		}
		more, err := AddPartitions(s.v.State, s.v.Alive, "t", rapid.IntRange(1, 20).Draw(t, "more"))
		if err != nil {
			t.Fatal(err)
		}
		for _, bs := range more.Brokers {
			if drained && slices.Contains(bs, 1) {
				t.Fatalf("a draining broker gets %v", bs)
			}
		}
		s.apply(placement.AddPartitions{Topic: "t", From: len(first.Brokers), Brokers: more.Brokers})
		s.elect()
		if got := Spread(s.v); !drained && got.Replicas > 1 {
			t.Fatalf("replicas are %d apart: %+v", got.Replicas, got.Brokers)
		}
	})
}

// With racks: every partition is in as many as it can be, and within a rack the load is even.
func TestRacksEndSpread(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := randomSim(t, 9, 12, true)
		for range rapid.IntRange(0, 2).Draw(t, "joins") {
			s.join(rapid.SampledFrom([]string{"a", "b", "c", "d", "e"}).Draw(t, "rack"))
		}
		s.v.MaxMoves = rapid.IntRange(0, 3).Draw(t, "moves")
		s.settle()
		racks := map[string]int{}
		for _, b := range s.v.State.Brokers {
			racks[b.Rack]++
		}
		byRack := map[string][]int{}
		for _, b := range Spread(s.v).Brokers {
			r := s.v.State.Brokers[b.Broker].Rack
			byRack[r] = append(byRack[r], b.Replicas)
		}
		for r, loads := range byRack {
			for _, l := range loads {
				if l > loads[0]+1 || l < loads[0]-1 {
					t.Fatalf("rack %s has loads %v", r, loads)
				}
			}
		}
		for name, topic := range s.v.State.Topics {
			for n, p := range topic.Partitions {
				in := map[string]int{}
				for _, r := range p.Replicas {
					in[s.v.State.Brokers[r.Broker].Rack]++
				}
				for x, nx := range in {
					for y, size := range racks {
						if in[y] <= nx-2 && in[y] < size {
							t.Fatalf("%s/%d has %d replicas in rack %s and %d of %d possible in rack %s", name, n, nx, x, in[y], size, y)
						}
					}
				}
			}
		}
	})
}
