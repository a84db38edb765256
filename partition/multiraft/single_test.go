package multiraft

import (
	"fmt"
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"
)

func TestSingleVoterLeadsAtOnceAndReads(t *testing.T) {
	c := newCluster(t, 50, 1)
	c.addGroup(1, 1)
	c.found = 1
	c.startAll()
	c.until("it leads", 20*time.Millisecond, func() bool { return c.leader(1) != nil })
	c.put(1, "x")
	var index uint64
	c.leader(1).groups[1].ReadIndex(func(i uint64, err error) {
		if err != nil {
			t.Error(err)
		}
		index = i
	})
	c.w.Run(c.w.Now() + 10*time.Millisecond)
	if index != c.leader(1).groups[1].Status().Applied {
		t.Errorf("read at %d", index)
	}
	c.w.Run(c.w.Now() + 5*time.Second)
	if len(c.leaders) != 1 {
		t.Errorf("sessions %v, want one", c.leaders)
	}
	c.kill(1)
	c.start(1)
	c.until("it leads again", 20*time.Millisecond, func() bool { return c.leader(1) != nil })
	c.settled(1)
}

func TestLearnerJoinsByReplayAndIsPromoted(t *testing.T) {
	c := newCluster(t, 51, 2)
	c.addGroup(1, 1)
	c.startAll()
	for i := range 10 {
		c.put(1, fmt.Sprint(i))
	}
	founders := c.founders(1)
	c.groups[1][102] = 2
	n := c.nodes[2]
	if err := n.store.Create(1, 102, founders); err != nil {
		t.Fatal(err)
	}
	if _, err := n.tryStart(1); err != nil {
		t.Fatal(err)
	}
	lead := c.leader(1)
	lead.groups[1].SetMembers(c.groups[1])
	change := func(typ raftpb.ConfChangeType) {
		t.Helper()
		done := false
		lead.groups[1].ProposeConf(&raftpb.ConfChangeV2{Changes: []*raftpb.ConfChangeSingle{{Type: typ.Enum(), NodeId: new(uint64(102))}}}, func(err error) {
			if err != nil {
				t.Error(err)
			}
			done = true
		})
		c.until("the change", 2*time.Second, func() bool { return done })
	}
	change(raftpb.ConfChangeAddLearnerNode)
	c.until("it has caught up", 2*time.Second, func() bool { return n.ledgers[1].next == 10 })
	c.until("the leader sees that", time.Second, func() bool {
		p := lead.groups[1].Status().Peers[102]
		return p.Learner && p.Match == lead.groups[1].Status().Last
	})
	change(raftpb.ConfChangeAddNode)
	c.put(1, "both")
	c.settled(1)
	lead.groups[1].TransferLeader(102)
	c.until("it leads", time.Second, func() bool { l := c.leader(1); return l != nil && l.id == 2 })
}

func TestIdleGroupCostsTwoTicksASecond(t *testing.T) {
	c := newCluster(t, 52, 3)
	for g := uint64(1); g <= 20; g++ {
		c.addGroup(g, 3)
	}
	c.startAll()
	for g := uint64(1); g <= 20; g++ {
		c.awaitLeader(g)
	}
	c.w.Run(c.w.Now() + 3*time.Second)
	packets, messages := 0, 0
	c.tap = func(_, _ int32, _ Lane, p *Packet) bool {
		packets++
		messages += len(p.Messages)
		return true
	}
	c.w.Run(c.w.Now() + 10*time.Second)
	// Six directions, ten heartbeats a second each, and nothing besides.
	if packets > 620 {
		t.Errorf("%d packets in 10s of idleness, want 600 heartbeats", packets)
	}
	// A tick sends two heartbeats and gets two answers.
	if messages > 20*20*4+100 {
		t.Errorf("%d raft messages in 10s, want at most %d", messages, 20*20*4)
	}
}
