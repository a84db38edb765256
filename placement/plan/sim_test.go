package plan

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"pgregory.net/rapid"

	"github.com/runnel-io/runnel/placement"
)

// fatal is what *testing.T and *rapid.T share.
type fatal interface {
	Fatalf(format string, args ...any)
	Helper()
}

// sim is a cluster whose moves go through all their phases when told to.
type sim struct {
	t     fatal
	v     View
	moved int // replicas that were added
	// lastPreferred and so on are what the last plans asked for.
	plans int
}

func newSim(t fatal, racks ...string) *sim {
	s := &sim{t: t, v: View{State: placement.New(), Alive: map[int32]bool{}, DeadFor: map[int32]time.Duration{}, ReplaceAfter: 5 * time.Minute,
		Quarantined: map[uint64]string{}, Bytes: map[uint64]int64{}, Leaders: map[uint64]int32{}, Muted: map[int32]bool{}, Refusing: map[int32]string{}}}
	for _, r := range racks {
		s.join(r)
	}
	return s
}

func (s *sim) apply(c placement.Command) placement.Result {
	s.t.Helper()
	n, r, err := placement.Apply(s.v.State, c)
	if err != nil {
		s.t.Fatalf("%+v: %v", c, err)
	}
	s.v.State = n
	return r
}

func (s *sim) join(rack string) int32 {
	s.t.Helper()
	i := len(s.v.State.Brokers)
	reg := placement.Registration{Incarnation: fmt.Sprintf("inc-%d-%d", i, s.v.State.Revision), PeerAddr: fmt.Sprintf("b%d:1", i), Rack: rack}
	var c placement.Command = placement.RegisterBroker{Broker: reg}
	if i == 0 {
		c = placement.FoundCluster{ClusterID: "c", Broker: reg}
	}
	b := s.apply(c).Broker
	s.v.Alive[b] = true
	return b
}

func (s *sim) create(name string, brokers ...[]int32) {
	s.t.Helper()
	t := s.apply(placement.CreateTopic{Name: name, Brokers: brokers}).Topic
	for _, p := range t.Partitions {
		s.v.Leaders[p.Group] = p.Replicas[0].Broker
	}
}

func (s *sim) silence(b int32, d time.Duration) {
	delete(s.v.Alive, b)
	s.v.DeadFor[b] = d
	for g, l := range s.v.Leaders { // the others elect one of them
		if l == b {
			delete(s.v.Leaders, g)
		}
	}
	s.elect()
}

func (s *sim) wake(b int32) {
	s.v.Alive[b] = true
	delete(s.v.DeadFor, b)
	s.elect()
}

// elect gives every partition with a majority a leader that serves.
func (s *sim) elect() {
	for _, name := range s.v.State.TopicNames() {
		for _, p := range s.v.State.Topics[name].Partitions {
			if l, ok := s.v.Leaders[p.Group]; ok {
				if _, holds := p.On(l); holds && s.v.Alive[l] {
					continue
				}
				delete(s.v.Leaders, p.Group)
			}
			n := 0
			for _, r := range p.Replicas {
				if s.serves(r) {
					n++
				}
			}
			if n < majority(len(p.Replicas)) {
				continue
			}
			for _, r := range p.Replicas {
				if s.serves(r) {
					s.v.Leaders[p.Group] = r.Broker
					break
				}
			}
		}
	}
}

func (s *sim) serves(r placement.Replica) bool {
	_, bad := s.v.Quarantined[r.ID]
	return s.v.Alive[r.Broker] && !bad
}

// adopt records what a plan asks for and checks it.
func (s *sim) adopt(p Plan) {
	s.t.Helper()
	s.plans++
	if len(p.CancelReasons) != len(p.Cancels) || len(p.PreferredReasons) != len(p.Preferred) {
		s.t.Fatalf("decisions without reasons: %+v", p)
	}
	for i, c := range p.Cancels {
		if p.CancelReasons[i] == "" {
			s.t.Fatalf("a cancel has no reason")
		}
		s.apply(c)
	}
	if len(p.Moves) > 0 {
		for _, m := range p.Moves {
			if m.Reason == "" {
				s.t.Fatalf("a move has no reason: %+v", m)
			}
			s.moved += len(m.AddBrokers)
		}
		s.apply(placement.ProposeMoves{Moves: p.Moves})
	}
	for i, c := range p.Preferred {
		if p.PreferredReasons[i] == "" {
			s.t.Fatalf("an order has no reason")
		}
		if r := s.apply(c); !r.Changed {
			s.t.Fatalf("%+v changes nothing", c)
		}
	}
	for _, x := range p.Transfers {
		if x.Reason == "" || s.v.Leaders[x.Group] != x.From || !s.v.Alive[x.To] {
			s.t.Fatalf("transfer %+v of a partition that broker %d leads", x, s.v.Leaders[x.Group])
		}
		s.v.Leaders[x.Group] = x.To
	}
}

// step takes one move one phase on, as the controller would.
func (s *sim) step(m placement.MoveRef) {
	s.t.Helper()
	id, n := m.Topic.ID, m.Partition
	p := s.v.State.Topics[m.Topic.Name].Partitions[n]
	switch mv := p.Move; {
	case mv.Cancelled:
		s.apply(placement.EndCancelled{TopicID: id, Partition: n, Move: mv.ID})
	case mv.Next() == "":
		s.apply(placement.FinishMove{TopicID: id, Partition: n, Move: mv.ID})
		for _, gone := range mv.Removes {
			delete(s.v.Quarantined, gone)
		}
	default:
		if mv.Next() == placement.PhaseJoint || mv.Next() == placement.PhaseLeft {
			s.checkQuorum(m.Topic.Name, p, p.Replicas)
			s.checkQuorum(m.Topic.Name, p, p.Desired())
		}
		s.apply(placement.AdvanceMove{TopicID: id, Partition: n, Move: mv.ID, From: mv.Phase, To: mv.Next()})
	}
	s.elect()
}

// checkQuorum: the voters that serve are a majority, or the move would stop the partition.
func (s *sim) checkQuorum(topic string, p placement.Partition, voters []placement.Replica) {
	s.t.Helper()
	n := 0
	for _, r := range voters {
		if s.serves(r) {
			n++
		}
	}
	if n < majority(len(voters)) {
		s.t.Fatalf("%s loses its quorum by %+v: %d of %v serve", topic, p.Move, n, voters)
	}
}

func (s *sim) finish() {
	s.t.Helper()
	for {
		var all []placement.MoveRef
		for m := range s.v.State.Moves() {
			all = append(all, m)
		}
		if len(all) == 0 {
			return
		}
		for _, m := range all {
			s.step(m)
		}
		s.check()
	}
}

// settle plans and finishes until there is nothing to do; it fails if that takes too long.
func (s *sim) settle() Plan {
	s.t.Helper()
	s.finish()
	for range 2000 {
		p := Next(s.v)
		if p.Empty() {
			return p
		}
		s.adopt(p)
		s.check()
		s.finish()
	}
	s.t.Fatalf("the plans do not end; the last: %+v", Next(s.v))
	return Plan{}
}

// check: no two serving voters of a partition on one broker, and no broker that is no member.
func (s *sim) check() {
	s.t.Helper()
	for name, t := range s.v.State.Topics {
		for n := range t.Partitions {
			on := map[int32]bool{}
			for _, r := range t.Partitions[n].All() {
				if s.v.State.Brokers[r.Broker] == nil || s.serves(r) && on[r.Broker] {
					s.t.Fatalf("%s/%d has %v", name, n, t.Partitions[n].All())
				}
				on[r.Broker] = on[r.Broker] || s.serves(r)
			}
		}
	}
}

// randomSim draws a cluster with replicas anywhere, as a history could have left them.
func randomSim(t *rapid.T, maxBrokers, maxParts int, racks bool) *sim {
	s := newSim(t)
	n := rapid.IntRange(1, maxBrokers).Draw(t, "brokers")
	for range n {
		rack := ""
		if racks {
			rack = rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(t, "rack")
		}
		s.join(rack)
	}
	ids := s.v.State.BrokerIDs()
	for i := range rapid.IntRange(0, 4).Draw(t, "topics") {
		rf := rapid.IntRange(1, min(n, 4)).Draw(t, "rf")
		var brokers [][]int32
		for range rapid.IntRange(1, maxParts).Draw(t, "partitions") {
			brokers = append(brokers, slices.Clone(rapid.Permutation(ids).Draw(t, "on")[:rf]))
		}
		s.create(fmt.Sprintf("t%d", i), brokers...)
	}
	if rapid.Bool().Draw(t, "sized") {
		for _, name := range s.v.State.TopicNames() {
			for _, p := range s.v.State.Topics[name].Partitions {
				s.v.Bytes[p.Group] = int64(rapid.IntRange(0, 9).Draw(t, "GiB")) << 30
			}
		}
	}
	return s
}

// harm hurts the cluster.
func (s *sim) harm(t *rapid.T) {
	for _, id := range s.v.State.BrokerIDs() {
		switch rapid.IntRange(0, 9).Draw(t, "fate") {
		case 0:
			s.silence(id, time.Hour)
		case 1:
			s.silence(id, time.Second)
		case 2:
			s.apply(placement.SetDraining{Broker: id, Draining: true})
		}
	}
	for _, name := range s.v.State.TopicNames() {
		for _, p := range s.v.State.Topics[name].Partitions {
			for _, r := range p.Replicas {
				if rapid.IntRange(0, 15).Draw(t, "rot") == 0 {
					s.v.Quarantined[r.ID] = "crc"
				}
			}
		}
	}
	s.elect()
}

func alive(v View) map[int32]bool { return maps.Clone(v.Alive) }
