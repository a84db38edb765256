package plan

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/runnel-io/runnel/placement"
)

// bigCluster has brokers in racks and topics of 1, 10, 100, 1,000 and 10,000 partitions with three replicas each.
func bigCluster(t testing.TB, brokers, partitions int) *sim {
	s := newSim(t)
	for i := range brokers {
		s.join(fmt.Sprintf("rack-%d", i%5))
	}
	sizes := []int{10_000, 1_000, 100, 10, 1}
	for i, left := 0, partitions; left > 0; i++ {
		n := min(left, sizes[i%len(sizes)])
		left -= n
		// Topic counts the whole state anew for each topic, which is not what is measured here: place in turn.
		on := make([][]int32, n)
		for j := range on {
			first := (i*7 + j*3) % brokers
			on[j] = []int32{int32(1 + first), int32(1 + (first+1)%brokers), int32(1 + (first+2+5*(j%7))%brokers)}
		}
		s.create(fmt.Sprintf("topic-%05d", i), on...)
	}
	return s
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// The figures in doc.go come from this test with -v.
func TestHundredBrokersHundredThousandPartitions(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	before := heap()
	s := bigCluster(t, 100, 100_000)
	state := heap() - before
	b, err := s.v.State.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if _, err := placement.Unmarshal(b); err != nil {
		t.Fatal(err)
	}
	t.Logf("state of %d replicas: %d MiB in memory (leaders of the test included), %d MiB marshalled, read in %s", s.v.State.Replicas, state>>20, len(b)>>20, time.Since(began))

	measure := func(what string) Plan {
		began := time.Now()
		p := Next(s.v)
		t.Logf("%s: %s for %d moves, %d orders, %d waiting", what, time.Since(began), len(p.Moves), len(p.Preferred), p.Waiting)
		return p
	}
	even := func() {
		for range 100 {
			p := Next(s.v)
			if p.Empty() {
				return
			}
			s.adoptQuick(p)
		}
		t.Fatal("the cluster does not become even")
	}
	measure("first plan of a cluster that nobody planned")
	began = time.Now()
	even()
	t.Logf("even after %d plans in %s", s.plans, time.Since(began))
	measure("nothing to do")
	s.silence(17, time.Hour)
	p := measure("one broker lost")
	if len(p.Moves) < 2500 || p.Waiting > 0 || len(p.Blocked) > 0 {
		t.Fatalf("%d moves, %d waiting, blocked %v", len(p.Moves), p.Waiting, p.Blocked)
	}
	s.v.MaxMoves, s.v.MaxPerBroker = 64, 2
	measure("one broker lost, 64 moves at once")
	s.v.MaxMoves, s.v.MaxPerBroker = 0, 0
	s.adoptQuick(p)
	even()
	if got := Spread(s.v); got.Replicas > 1 {
		t.Fatalf("after the loss the brokers are %d apart", got.Replicas)
	}
	s.join("rack-1")
	p = measure("one broker joined")
	s.adoptQuick(p)
	even()
	began = time.Now()
	Spread(s.v)
	t.Logf("spread in %s", time.Since(began))
	began = time.Now()
	Drain(s.v, 3)
	t.Logf("drain status in %s", time.Since(began))
	d, _, _ := placement.Apply(s.v.State, placement.SetDraining{Broker: 3, Draining: true})
	s.v.State = d
	measure("one broker drained")
}

// adoptQuick is adopt for large plans: everything that was planned is done at once, on a copy of the state that nobody else
// sees, since taking each of thousands of moves through its phases is not what is measured.
func (s *sim) adoptQuick(p Plan) {
	s.t.Helper()
	s.plans++
	if len(p.Moves) > 0 {
		for i := 0; i < len(p.Moves); i += placement.MaxMoveBatch {
			s.apply(placement.ProposeMoves{Moves: p.Moves[i:min(len(p.Moves), i+placement.MaxMoveBatch)]})
		}
		for _, t := range s.v.State.Topics { // just made by Apply
			for n := range t.Partitions {
				if p := &t.Partitions[n]; p.Move != nil {
					p.Replicas, p.Move = p.Desired(), nil
				}
			}
		}
	}
	byID := map[uint64]*placement.Topic{}
	for _, t := range s.v.State.Topics {
		byID[t.ID] = t
	}
	for _, c := range p.Preferred {
		part := &byID[c.TopicID].Partitions[c.Partition]
		rs := make([]placement.Replica, 0, len(c.Order))
		for _, id := range c.Order {
			r, _ := part.Replica(id)
			rs = append(rs, r)
		}
		part.Replicas = rs
	}
	for _, x := range p.Transfers {
		s.v.Leaders[x.Group] = x.To
	}
	s.elect()
}

func BenchmarkNextAfterLoss(b *testing.B) {
	s := bigCluster(b, 100, 100_000)
	s.silence(17, time.Hour)
	b.ReportAllocs()
	for b.Loop() {
		if p := Next(s.v); len(p.Moves) == 0 {
			b.Fatal("no moves")
		}
	}
}

// Many topics of one partition cost no more than one topic of many.
func TestHundredThousandTopics(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	before := heap()
	s := newSim(t)
	for i := range 100 {
		s.join(fmt.Sprintf("rack-%d", i%5))
	}
	st := *s.v.State // one command a topic would copy the topics each time
	st.Topics = map[string]*placement.Topic{}
	for i := range 100_000 {
		name := fmt.Sprintf("topic-%05d", i)
		rs := make([]placement.Replica, 3)
		for j := range rs {
			rs[j] = placement.Replica{ID: st.NextReplica, Broker: int32(1 + (i*7+j*(1+i%11))%100)}
			st.NextReplica++
		}
		st.Topics[name] = &placement.Topic{Name: name, ID: uint64(i + 1), Partitions: []placement.Partition{{Group: uint64(i + 2), Replicas: rs}}}
	}
	st.Replicas = 300_000
	s.v.State = &st
	t.Logf("state of %d topics: %d MiB in memory", len(st.Topics), (heap()-before)>>20)
	for range 50 {
		began := time.Now()
		p := Next(s.v)
		t.Logf("%s for %d moves, %d orders", time.Since(began), len(p.Moves), len(p.Preferred))
		if p.Empty() {
			break
		}
		s.adoptQuick(p)
	}
	s.silence(17, time.Hour)
	began := time.Now()
	p := Next(s.v)
	t.Logf("one broker lost: %s for %d moves", time.Since(began), len(p.Moves))
	if len(p.Moves) < 2500 || p.Waiting > 0 {
		t.Fatalf("%d moves, %d waiting", len(p.Moves), p.Waiting)
	}
	s.adoptQuick(p)
	if got := Spread(s.v); got.Replicas > 1 {
		t.Fatalf("after the loss the brokers are %d apart", got.Replicas)
	}
	began = time.Now()
	next, _, err := placement.Apply(s.v.State, placement.ProposeMove{Topic: "topic-00001", AddBrokers: []int32{s.free("topic-00001")},
		Removes: []uint64{s.v.State.Topics["topic-00001"].Partitions[0].Replicas[0].ID}, Kind: placement.KindManual})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("one command: %s", time.Since(began))
	began = time.Now()
	b, err := next.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("marshalled, %d MiB, in %s", len(b)>>20, time.Since(began))
}

// free is a broker without a replica of the topic's first partition.
func (s *sim) free(topic string) int32 {
	for _, id := range s.v.State.BrokerIDs() {
		if _, ok := s.v.State.Topics[topic].Partitions[0].On(id); !ok && s.v.Alive[id] {
			return id
		}
	}
	return 0
}
