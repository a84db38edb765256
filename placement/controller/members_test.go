package controller

import (
	"slices"
	"testing"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/runnel-io/runnel/partition/multiraft"
	"github.com/runnel-io/runnel/placement"
)

func TestNextStep(t *testing.T) {
	caught := multiraft.PeerStatus{Match: 100, State: "StateReplicate", RecentActive: true}
	replicas := func(learners ...bool) *placement.State {
		s := placement.New()
		for i, l := range learners {
			s.Controller = append(s.Controller, placement.Replica{ID: uint64(i + 1), Broker: int32(i + 1), Learner: l})
		}
		return s
	}
	for name, c := range map[string]struct {
		s                *placement.State
		voters, learners []uint64
		peer             multiraft.PeerStatus
		want             membershipStep
	}{
		"alone":                         {s: replicas(false), voters: []uint64{1}},
		"a new broker joins":            {replicas(false, true), []uint64{1}, nil, caught, membershipStep{stepAddLearner, 2, 2}},
		"a learner caught up":           {replicas(false, true), []uint64{1}, []uint64{2}, caught, membershipStep{stepPromote, 2, 2}},
		"promotion goes before joining": {replicas(false, true, true), []uint64{1}, []uint64{2}, caught, membershipStep{stepPromote, 2, 2}},
		"joining goes on meanwhile": {replicas(false, true, true), []uint64{1}, []uint64{2},
			multiraft.PeerStatus{Match: 30, State: "StateReplicate", RecentActive: true}, membershipStep{stepAddLearner, 3, 3}},
		"a silent learner is waited for": {replicas(false, true), []uint64{1}, []uint64{2}, multiraft.PeerStatus{Match: 100, State: "StateReplicate"}, membershipStep{kind: stepWait}},
		"a probed learner is waited for": {replicas(false, true), []uint64{1}, []uint64{2}, multiraft.PeerStatus{Match: 100, State: "StateProbe", RecentActive: true}, membershipStep{kind: stepWait}},
		"a promotion is recorded":        {replicas(false, true), []uint64{1, 2}, nil, caught, membershipStep{stepRecord, 2, 2}},
		"five voters are enough":         {replicas(false, false, false, false, false, true), []uint64{1, 2, 3, 4, 5}, []uint64{6}, caught, membershipStep{}},
	} {
		conf := &raftpb.ConfState{Voters: c.voters, Learners: c.learners}
		st := multiraft.Status{Last: 100, Peers: map[uint64]multiraft.PeerStatus{}}
		for _, r := range c.s.Controller {
			st.Peers[r.ID] = c.peer
		}
		if got := nextStep(c.s, conf, st); got != c.want {
			t.Errorf("%s: got %+v, want %+v", name, got, c.want)
		}
	}
	joint := &raftpb.ConfState{Voters: []uint64{1}, VotersOutgoing: []uint64{2}}
	if got := nextStep(replicas(false, true), joint, multiraft.Status{}); got.kind != stepWait {
		t.Errorf("in a joint configuration: %+v", got)
	}
}

func TestBrokersBecomeVotersUpToFive(t *testing.T) {
	g, nodes := cluster(t, 7)
	g.await(func() bool { return len(g.voters) == 5 && len(g.learn) == 2 })
	if want := []uint64{1, 2, 3, 4, 5}; !slices.Equal(slices.Sorted(slices.Values(g.voters)), want) {
		t.Errorf("voters %v, want the oldest brokers %v", g.voters, want)
	}
	for _, n := range nodes {
		if len(n.members()) != 7 {
			t.Errorf("broker %d knows the members %v", n.broker, n.members())
		}
	}
}

func TestMembershipGoesOnUnderAnotherLeader(t *testing.T) {
	g, nodes := cluster(t, 2)
	g.job(func() { g.behind[3] = true; g.publish() })
	do(t, nodes[0].c, RegisterBroker{Broker: registration(3)})
	g.add(3)
	g.await(func() bool { return slices.Contains(g.learn, 3) })
	g.lead(2, false)
	g.job(func() { g.behind[3] = false; g.publish() })
	g.await(func() bool { return slices.Contains(g.voters, 3) })
}
