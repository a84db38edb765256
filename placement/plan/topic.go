package plan

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"

	"github.com/runnel-io/runnel/placement"
)

// Assignment is a plan for one topic.
type Assignment struct {
	// Brokers holds the brokers of each partition, the preferred leader first.
	Brokers [][]int32
	// Reasons tell a person how the plan came about and what limits it.
	Reasons []string
}

// DefaultRF is the replication factor of a topic that names none: the smaller of 3 and the brokers of the cluster, alive or
// not. A broker that happens to be down must not leave a topic with fewer replicas for good: it is refused instead.
func DefaultRF(s *placement.State) int { return max(1, min(3, len(s.Brokers))) }

// Topic places a new topic's replicas on brokers of s that are alive and not draining. It refuses, with a *placement.Error, a bad name or
// shape, a topic that would outgrow the cluster's limits, and a replication factor above the number of brokers alive.
// The name may be taken: that is for placement.Apply to say.
//
// It takes about partitions x rf x brokers steps.
func Topic(s *placement.State, alive map[int32]bool, name string, partitions, rf int) (Assignment, error) {
	if err := placement.ValidateName(name); err != nil {
		return Assignment{}, err
	}
	if err := placement.ValidateShape(partitions, rf); err != nil {
		return Assignment{}, err
	}
	if err := s.ValidateRoom(partitions * rf); err != nil {
		return Assignment{}, err
	}
	p := newPlanner(s, alive, name)
	if s.Topics[name] != nil { // the topic that has the name is none of ours
		for i := range p.brokers {
			p.brokers[i].topicReplicas, p.brokers[i].topicLeaders = 0, 0
		}
	}
	return p.assign(s, partitions, rf)
}

// AddPartitions places more partitions of a topic that exists, on brokers of s that are alive and not draining, so that the
// topic as a whole becomes as even as new partitions can make it. The error is a *placement.Error.
func AddPartitions(s *placement.State, alive map[int32]bool, topic string, more int) (Assignment, error) {
	t := s.Topics[topic]
	if t == nil {
		return Assignment{}, placement.Errorf(placement.CodeUnknownTopic, "topic %q does not exist", topic)
	}
	rf := t.ReplicationFactor()
	if more < 1 {
		return Assignment{}, placement.Errorf(placement.CodeInvalid, "topic %q has %d partitions and can only get more", topic, len(t.Partitions))
	}
	if err := placement.ValidateShape(len(t.Partitions)+more, rf); err != nil {
		return Assignment{}, err
	}
	if err := s.ValidateRoom(more * rf); err != nil {
		return Assignment{}, err
	}
	p := newPlanner(s, alive, topic)
	p.first = len(t.Partitions)
	return p.assign(s, more, rf)
}

func (p *planner) assign(s *placement.State, partitions, rf int) (Assignment, error) {
	if rf > len(p.brokers) {
		return Assignment{}, notEnough(s, p.brokers, rf)
	}
	a := Assignment{Brokers: make([][]int32, partitions)}
	chosen := make([][]int, partitions) // indexes into p.brokers
	for n := range chosen {
		chosen[n] = p.place(n, rf)
	}
	p.evenLeaders(chosen)
	for n, c := range chosen {
		ids := make([]int32, rf)
		for i, b := range c {
			ids[i] = p.brokers[b].id
		}
		a.Brokers[n] = ids
	}
	a.Reasons = p.reasons(s, chosen, rf)
	return a, nil
}

func notEnough(s *placement.State, alive []brokerLoad, rf int) error {
	ids := make([]string, len(alive))
	for i, b := range alive {
		ids[i] = fmt.Sprint(b.id)
	}
	list := "none"
	if len(ids) > 0 {
		list = strings.Join(ids, ", ")
	}
	draining := ""
	for _, id := range s.BrokerIDs() {
		if s.Brokers[id].Draining {
			draining = " and not draining"
		}
	}
	return placement.Errorf(placement.CodeNotEnoughBrokers,
		"replication factor %d needs %d brokers alive%s and %d of %d are (%s): start more brokers or ask for a replication factor of at most %d",
		rf, rf, draining, len(alive), len(s.Brokers), list, max(1, len(alive)))
}

// brokerLoad is what a broker carries: of all topics (the State's and this plan's), and of the planned topic alone.
type brokerLoad struct {
	id                          int32
	rack                        int // index of its rack
	replicas, leaders           int
	topicReplicas, topicLeaders int
}

type planner struct {
	name    string
	first   int          // number of the first partition that is planned
	brokers []brokerLoad // alive and not draining, by rising id
	racks   int
	inRack  []int // scratch: replicas of the partition at hand, by rack
}

func newPlanner(s *placement.State, alive map[int32]bool, name string) *planner {
	p := &planner{name: name}
	index := map[int32]int{}
	racks := map[string]int{}
	for _, id := range s.BrokerIDs() {
		if !alive[id] || s.Brokers[id].Draining {
			continue
		}
		// A broker that names no rack is a rack of its own.
		rack := s.Brokers[id].Rack
		if rack == "" {
			rack = fmt.Sprintf("\x00%d", id)
		}
		if _, ok := racks[rack]; !ok {
			racks[rack] = len(racks)
		}
		index[id] = len(p.brokers)
		p.brokers = append(p.brokers, brokerLoad{id: id, rack: racks[rack]})
	}
	p.racks = len(racks)
	p.inRack = make([]int, p.racks)
	for _, t := range s.Topics {
		for n := range t.Partitions {
			for i, r := range t.Partitions[n].Desired() {
				b, ok := index[r.Broker]
				if !ok {
					continue
				}
				p.brokers[b].replicas++
				if i == 0 {
					p.brokers[b].leaders++
				}
				if t.Name != name {
					continue
				}
				p.brokers[b].topicReplicas++ // more partitions of a topic that exists
				if i == 0 {
					p.brokers[b].topicLeaders++
				}
			}
		}
	}
	return p
}

// place chooses the brokers of one partition, the preferred leader first, and counts them.
func (p *planner) place(partition, rf int) []int {
	clear(p.inRack)
	chosen := make([]int, 0, rf)
	for range rf {
		best := -1
		var bestTie uint64
		for i := range p.brokers {
			if slices.Contains(chosen, i) {
				continue
			}
			tie := p.tie(partition, p.brokers[i].id)
			if best < 0 || p.better(i, tie, best, bestTie) {
				best, bestTie = i, tie
			}
		}
		chosen = append(chosen, best)
		b := &p.brokers[best]
		p.inRack[b.rack]++
		b.replicas++
		b.topicReplicas++
	}
	lead := 0
	for i := 1; i < rf; i++ {
		if p.leadsBetter(chosen[i], chosen[lead]) {
			lead = i
		}
	}
	chosen[0], chosen[lead] = chosen[lead], chosen[0]
	b := &p.brokers[chosen[0]]
	b.leaders++
	b.topicLeaders++
	return chosen
}

// better tells whether broker i is a better place than broker j for the next replica.
func (p *planner) better(i int, tieI uint64, j int, tieJ uint64) bool {
	a, b := &p.brokers[i], &p.brokers[j]
	if x, y := p.inRack[a.rack], p.inRack[b.rack]; x != y {
		return x < y
	}
	if a.topicReplicas != b.topicReplicas {
		return a.topicReplicas < b.topicReplicas
	}
	if a.replicas != b.replicas {
		return a.replicas < b.replicas
	}
	return tieI < tieJ
}

// leadsBetter tells whether broker i is a better preferred leader than broker j. Of equals, the one chosen first leads.
func (p *planner) leadsBetter(i, j int) bool {
	a, b := &p.brokers[i], &p.brokers[j]
	if a.topicLeaders != b.topicLeaders {
		return a.topicLeaders < b.topicLeaders
	}
	return a.leaders < b.leaders
}

// tie orders brokers that are otherwise equal.
func (p *planner) tie(partition int, broker int32) uint64 {
	return tieOf(p.name, p.first+partition, broker)
}

func tieOf(topic string, partition int, broker int32) uint64 {
	h := fnv.New64a()
	var b [12]byte
	binary.LittleEndian.PutUint64(b[:], uint64(partition)) //nolint:gosec // an index
	binary.LittleEndian.PutUint32(b[8:], uint32(broker))   //nolint:gosec // only its bits count
	h.Write([]byte(topic))                                 // a hash never fails to write
	h.Write(b[:])
	return h.Sum64()
}
