package controller

import (
	"strings"
	"testing"
	"time"

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

// The group left the joint configuration, and a power cut could put its voters back into it: they would need the vote of the broker that
// left, which may be gone for good once it is removed.
func TestBrokerIsRemovedOnlyWhenItsVoteIsGoneForGood(t *testing.T) {
	g, nodes := grown(t, 4, time.Hour)
	c := nodes[0].c
	do(t, c, SetDraining{Broker: 3, Draining: true})
	g.job(func() { g.unsure = true; g.publish() })
	g.await(func() bool { return len(without(ids(1, 2, 4), g.voters...)) == 0 && g.old == nil })
	awaitRoles(g, nodes[0])
	for _, silent := range []bool{false, true} {
		g.setSilent(3, silent)
		_, err := c.lead(t.Context(), RemoveBroker{Broker: 3})
		wantReason(t, err, runnelv1.ErrorReason_ERROR_REASON_BROKER_IN_USE, runnelv1.ErrorKind_ERROR_KIND_RETRIABLE)
	}
	g.job(func() { g.unsure = false; g.publish() })
	do(t, c, RemoveBroker{Broker: 3})
}

// Of a dead broker that holds nothing only its vote is left: a removal takes that first, and needs no drain before it.
func TestSilentBrokerGivesUpItsVoteAndIsRemoved(t *testing.T) {
	g, nodes := grown(t, 4, time.Hour)
	g.setSilent(3, true)
	do(t, nodes[1].c, RemoveBroker{Broker: 3})
	if nodes[0].c.State().Brokers[3] != nil {
		t.Error("it is a member still")
	}
	g.await(func() bool { return len(without(ids(1, 2, 4), g.voters...)) == 0 && len(g.learn) == 0 && g.old == nil })
}

// As long as nobody can vote in its place, the removal says that it goes on.
func TestRemovalThatIsUnderWaySaysSo(t *testing.T) {
	g, nodes := grown(t, 3, time.Hour)
	c := nodes[0].c
	g.job(func() { g.mute[2] = true; g.publish() })
	g.setSilent(3, true)
	for range 2 {
		_, err := c.lead(t.Context(), RemoveBroker{Broker: 3})
		wantReason(t, err, runnelv1.ErrorReason_ERROR_REASON_BROKER_IN_USE, runnelv1.ErrorKind_ERROR_KIND_RETRIABLE)
		if !c.State().Brokers[3].Draining {
			t.Error("it was not begun")
		}
		if !strings.Contains(err.GetMessage(), "undrain it to keep it") {
			t.Errorf("who changes their mind hears %q", err.GetMessage())
		}
		if gave := gaveUp(t.Context(), err, false); gave.GetMessage() != err.GetMessage() {
			t.Errorf("who waited for it in vain hears %q", gave.GetMessage())
		}
	}
	g.job(func() { g.mute[2] = false; g.publish() })
	do(t, c, RemoveBroker{Broker: 3})
}

func TestSilentBrokerWithReplicasIsNotRemoved(t *testing.T) {
	g, nodes := grown(t, 3, time.Hour)
	do(t, nodes[0].c, CreateTopic{Name: "t", Partitions: 1, RF: 3})
	g.setSilent(3, true)
	_, err := nodes[0].c.Do(t.Context(), RemoveBroker{Broker: 3})
	wantReason(t, err, runnelv1.ErrorReason_ERROR_REASON_BROKER_IN_USE, runnelv1.ErrorKind_ERROR_KIND_DEFINITE)
	if nodes[0].c.State().Brokers[3].Draining {
		t.Error("it is drained, and nobody asked for that")
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
