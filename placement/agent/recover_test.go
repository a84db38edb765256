package agent

import (
	"fmt"
	"slices"
	"testing"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/runnel-io/runnel/partition/multiraft"
	"github.com/runnel-io/runnel/placement"
)

// The kept replica slept through the moves that brought the lost ones: its log knows only others, whose data is deleted.
func TestRule30KeptReplicaThatNeverHeardOfTheLostOnesGoesOnAlone(t *testing.T) {
	c := newDeskCluster(t, 5)
	c.createOn(nil, 1, 2, 3)
	kept := c.on(1)
	c.eventually("another one leads", func() (bool, string) {
		lead, g := c.leads()
		if lead == nil {
			return false, "no leader"
		}
		if lead.id == 1 {
			lead.group1(c).TransferLeader(c.on(2))
		}
		return lead.id != 1, fmt.Sprintf("%+v", g)
	})
	c.node(1).stop()
	for _, m := range [][2]int32{{3, 4}, {2, 5}} {
		c.propose(placement.KindManual, []int32{m[1]}, []int32{m[0]})
		c.finish()
	}
	lost := []uint64{c.on(4), c.on(5)}
	for _, id := range []int32{4, 5} {
		c.node(id).stop()
	}
	c.apply(placement.RecordRecovery{TopicID: c.state().Topics["t"].ID, Kept: kept, Lost: lost})
	n := &testNode{c: c, id: 1, dir: fmt.Sprintf("%s/%d", c.dir, 1)}
	n.open()
	n.run(false, nil)
	alone := func() (bool, string) {
		lead, g := c.leads()
		return lead != nil && slices.Equal(g.Voters, []uint64{kept}) && len(g.Outgoing)+len(g.Learners) == 0, fmt.Sprintf("%+v", g)
	}
	c.eventually("the kept one leads alone", alone)
	c.node(1).restart()
	c.eventually("and does so after a restart", alone)
	// It grows, and a start does not make it alone again.
	c.propose(placement.KindReplicationFactor, []int32{2}, nil)
	c.eventually("the move is over", c.step)
	c.node(1).restart()
	c.eventually("both vote", func() (bool, string) {
		lead, g := c.leads()
		return lead != nil && len(g.Voters) == 2, fmt.Sprintf("%+v", g)
	})
}

func (n *testNode) group1(c *testCluster) *multiraft.Group {
	v, _ := n.agent.running.Load(c.part().Group)
	return v.(*live).raft
}

// A broker starts with a state that is older than its replicas. Those that came since are nobody's strangers, whatever the old state says.
func TestRule30AnOldStateMakesNobodyAStrangerThatCameLater(t *testing.T) {
	s := &placement.State{NextReplica: 40, Topics: map[string]*placement.Topic{}}
	tp := &placement.Topic{Name: "t", ID: 5, Partitions: []placement.Partition{{
		Group: 7, Replicas: []placement.Replica{{ID: 10, Broker: 1}}, Founders: []uint64{10, 11, 12}, Recovered: 30,
		Move: &placement.Move{Phase: placement.PhaseLearner, Adds: []placement.Replica{{ID: 39, Broker: 3, Learner: true}}},
	}}}
	s.Topics["t"] = tp
	for _, c := range []struct {
		name       string
		recoveries []placement.Recovery
		conf       *raftpb.ConfState
		sole       bool
		want       []uint64
	}{
		{"the state names others than the log knows", []placement.Recovery{{TopicID: 5, Kept: 10, Lost: []uint64{20, 21}, Revision: 30}},
			&raftpb.ConfState{Voters: []uint64{10, 11, 12}, VotersOutgoing: []uint64{10, 13}, Learners: []uint64{14}, LearnersNext: []uint64{13}}, true, []uint64{11, 12, 13, 14}},
		{"the state names nobody any more", nil, &raftpb.ConfState{Voters: []uint64{10, 11}}, true, []uint64{11}},
		{"it is alone already", nil, &raftpb.ConfState{Voters: []uint64{10}}, true, nil},
		{"the move's replica is a learner", nil, &raftpb.ConfState{Voters: []uint64{10}, Learners: []uint64{39}}, true, nil},
		{"it has grown since, by moves that the state does not know", nil, &raftpb.ConfState{Voters: []uint64{10, 39, 40}}, true, nil},
		{"and the one that the move added is gone again", nil, &raftpb.ConfState{Voters: []uint64{10, 40, 41}, Learners: []uint64{38}}, true, nil},
		{"it was kept alone and the log knows others", []placement.Recovery{{TopicID: 5, Kept: 10, Revision: 30}}, &raftpb.ConfState{Voters: []uint64{10, 11}}, true, []uint64{11}},
		{"another one was kept", []placement.Recovery{{TopicID: 5, Kept: 11, Lost: []uint64{12}, Revision: 30}}, &raftpb.ConfState{Voters: []uint64{10, 11}}, false, nil},
	} {
		s.Recoveries = c.recoveries
		rec := recoveryOf(s, tp, 0, 10)
		if rec.sole != c.sole {
			t.Errorf("%s: %+v", c.name, rec)
		}
		if got := rec.strangers(c.conf); rec.sole && !slices.Equal(got, c.want) {
			t.Errorf("%s: strangers %v, want %v", c.name, got, c.want)
		}
	}
	tp.Partitions[0].Replicas = append(tp.Partitions[0].Replicas, placement.Replica{ID: 38, Broker: 2})
	s.Recoveries = nil
	if rec := recoveryOf(s, tp, 0, 10); rec.revision != 0 {
		t.Errorf("its leader changed the voters since, so it was taken up: %+v", rec)
	}
}

// What the controller waits for: a change that the leader's group says is under way, and one that is still on its way there.
func TestReportTellsThatAChangeIsUnderWay(t *testing.T) {
	c := newDeskCluster(t, 1)
	c.createOn(nil, 1)
	n := c.node(1)
	v, _ := n.agent.running.Load(c.part().Group)
	r := v.(*live)
	if g := groupOf(r, multiraft.Status{Changing: true, Conf: r.raft.Status().Conf}, false); !g.Changing {
		t.Errorf("the group says so, and the report %+v", g)
	}
	if _, g := c.leads(); g.Changing {
		t.Errorf("nothing is under way: %+v", g)
	}
	r.turn <- struct{}{}
	if _, g := c.leads(); !g.Changing {
		t.Errorf("a change was asked for and is not answered: %+v", g)
	}
	<-r.turn
}
