package controller

import (
	"testing"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/runnel-io/runnel/partition/env"
	"github.com/runnel-io/runnel/partition/multiraft"
	"github.com/runnel-io/runnel/placement"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// bareGroup counts the changes of voters and does nothing.
type bareGroup struct {
	group
	changes int
}

func (b *bareGroup) ChangeVoters(multiraft.VoterChange, func(error)) { b.changes++ }

// drained is a controller without a group, and a state in which broker 2 is a learner that drains.
func drained(t *testing.T) (*Controller, *placement.State) {
	e, stop := env.NewReal(env.RealOptions{})
	t.Cleanup(stop)
	c := New(Config{Env: e, BrokerID: 1})
	t.Cleanup(c.members.task.Stop)
	s := placement.New()
	for _, cmd := range []placement.Command{
		placement.FoundCluster{ClusterID: "c1", Broker: registration(1)}, placement.RegisterBroker{Broker: registration(2)},
		placement.SetDraining{Broker: 2, Draining: true},
	} {
		var err error
		if s, _, err = placement.Apply(s, cmd); err != nil {
			t.Fatal(err)
		}
	}
	return c, s
}

func TestBrokerThatIsAboutToVoteIsNotRemoved(t *testing.T) {
	c, s := drained(t)
	for name, x := range map[string]struct {
		conf     *raftpb.ConfState
		promoted []uint64
		busy     bool
		in       bool
	}{
		"a learner":               {&raftpb.ConfState{Voters: ids(1), Learners: ids(2)}, nil, false, false},
		"another is promoted":     {&raftpb.ConfState{Voters: ids(1), Learners: ids(2, 3)}, ids(3), true, false},
		"it is promoted":          {&raftpb.ConfState{Voters: ids(1), Learners: ids(2)}, ids(2), true, true},
		"it was to be, in vain":   {&raftpb.ConfState{Voters: ids(1), Learners: ids(2)}, ids(2), false, false},
		"it votes":                {&raftpb.ConfState{Voters: ids(1, 2)}, nil, false, true},
		"it votes in the old one": {&raftpb.ConfState{Voters: ids(1), VotersOutgoing: ids(1, 2), LearnersNext: ids(2)}, nil, false, true},
		"it is to be a learner":   {&raftpb.ConfState{Voters: ids(1), LearnersNext: ids(2)}, nil, false, true},
	} {
		c.members.conf, c.members.promoted, c.members.busy = x.conf, x.promoted, x.busy
		_, _, err := c.planOperation(s, RemoveBroker{Broker: 2})
		if in := err.GetReason() == runnelv1.ErrorReason_ERROR_REASON_BROKER_IN_USE; in != x.in {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestNobodyIsPromotedWhoseRemovalIsUnderWay(t *testing.T) {
	c, s := drained(t)
	g := &bareGroup{}
	s, _, _ = placement.Apply(s, placement.SetDraining{Broker: 2})
	removed, _, err := placement.Apply(s, placement.RemoveBroker{Broker: 2})
	if err != nil {
		t.Fatal(err)
	}
	promote := membershipStep{kind: stepVoters, voters: multiraft.VoterChange{Promote: ids(2)}}
	c.pipeline.open(1, removed)
	if c.changeMembers(g, promote) || g.changes != 0 || c.members.busy {
		t.Error("it is promoted, and its broker leaves")
	}
	c.pipeline.open(1, s)
	planned := c.pipeline.version
	if !c.changeMembers(g, promote) || g.changes != 1 {
		t.Error("it is not promoted")
	}
	if c.pipeline.version == planned {
		t.Error("a removal that was planned before could be proposed now")
	}
}

func TestRemovedBrokersReplicaIsReachedUntilRaftLetsItGo(t *testing.T) {
	c, s := drained(t)
	c.members.conf = &raftpb.ConfState{Voters: ids(1, 2)}
	c.whereabouts(s)
	s, _, err := placement.Apply(s, placement.RemoveBroker{Broker: 2})
	if err != nil {
		t.Fatal(err)
	}
	if c.whereabouts(s); c.whereabouts(s)[2] != 2 {
		t.Error("raft cannot reach a voter")
	}
	c.members.conf = &raftpb.ConfState{Voters: ids(1)}
	if _, there := c.whereabouts(s)[2]; there {
		t.Error("it is remembered for ever")
	}
}
