package controller

import (
	"slices"
	"testing"

	"github.com/runnel-io/runnel/placement"
)

// partitionOf reads a partition from the newest state.
func partitionOf(n *fakeNode, topic string, number int32) *placement.Partition {
	return &n.c.State().Topics[topic].Partitions[number]
}

func brokersOf(p *placement.Partition) []int32 {
	var out []int32
	for _, r := range p.Replicas {
		out = append(out, r.Broker)
	}
	return out
}

func propose(t *testing.T, n *fakeNode, m placement.ProposeMove) {
	t.Helper()
	if err := n.c.submit(t.Context(), m); err != nil {
		t.Fatal(err)
	}
}

func TestProposedMoveIsDrivenToItsEnd(t *testing.T) {
	g, nodes, a := driven(t, 4, nil)
	do(t, nodes[0].c, CreateTopic{Name: "t", Partitions: 1, RF: 3})
	p := partitionOf(nodes[0], "t", 0)
	before := brokersOf(p)
	old := p.Replicas[0]
	target := int32(1 + 2 + 3 + 4)
	for _, b := range before {
		target -= b
	}
	propose(t, nodes[0], placement.ProposeMove{Topic: "t", Partition: 0, AddBrokers: []int32{target}, Removes: []uint64{old.ID}, Kind: placement.KindManual})
	g.await(func() bool { return partitionOf(nodes[0], "t", 0).Move == nil })
	p = partitionOf(nodes[0], "t", 0)
	if got := brokersOf(p); !slices.Contains(got, target) || slices.Contains(got, old.Broker) || len(got) != 3 {
		t.Errorf("the replicas are on %v and were on %v; %d was to replace %d", got, before, target, old.Broker)
	}
	want := slices.Sorted(slices.Values(brokersOf(p)))
	if got := a.voting(p.Group); !slices.Equal(got, want) {
		t.Errorf("brokers %v vote, and the state says %v", got, want)
	}
	if nodes[0].c.State().Tombstones[old.ID] == nil {
		t.Error("the replica that left has no tombstone")
	}
}
