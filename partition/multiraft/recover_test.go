package multiraft

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"
)

// recoverAt has a broker's replica go on without the others, as an operator would, and starts it again.
func (c *cluster) recoverAt(on int32, group uint64, lost []uint64) *Group {
	c.t.Helper()
	n := c.nodes[on]
	if err := n.host.StopGroup(group); err != nil {
		c.t.Fatal(err)
	}
	delete(n.groups, group)
	delete(n.ledgers, group)
	if err := n.store.Recover(group, group*100+uint64(on), lost); err != nil {
		c.t.Fatal(err)
	}
	for _, id := range lost {
		delete(c.groups[group], id)
	}
	c.gone = lost
	g, err := n.tryStart(group)
	if err != nil {
		c.t.Fatal(err)
	}
	return g
}

func wantConf(t *testing.T, cs *raftpb.ConfState, voters, learners []uint64) {
	t.Helper()
	if !slices.Equal(cs.GetVoters(), voters) || !slices.Equal(cs.GetLearners(), learners) || len(cs.GetVotersOutgoing())+len(cs.GetLearnersNext()) > 0 {
		t.Fatalf("the configuration is %v, want voters %v and learners %v alone", cs, voters, learners)
	}
}

// The brokers of two of three replicas are lost for good. The third goes on alone with all that it holds, and grows again; when the
// lost ones come back after all, with entries of their own in a later term, they do no harm.
func TestRule30ReplicaGoesOnAloneAfterItsMajorityIsLost(t *testing.T) {
	c := newCluster(t, 71, 4)
	c.addGroup(1, 3)
	c.startAll()
	for i := range 10 {
		c.put(1, fmt.Sprintf("before %d", i))
	}
	// The two others go on without the third for a while: what they acknowledge then is what will be lost.
	c.settled(1)
	acked := len(c.acked[1])
	c.kill(3)
	c.put(1, "only two have this")
	c.put(1, "and this")
	for base, v := range c.acked[1] {
		if base >= int64(acked) {
			t.Logf("given up: %q at %d", v, base)
			delete(c.acked[1], base)
		}
	}
	c.kill(1)
	c.kill(2)
	c.start(3)
	c.w.Run(c.w.Now() + 5*time.Second)
	if c.leader(1) != nil {
		t.Fatal("one of three leads")
	}
	lost := []uint64{101, 102}
	c.recoverAt(3, 1, lost)
	c.awaitLeader(1)
	wantConf(t, c.nodes[3].groups[1].Status().Conf, []uint64{103}, nil)
	c.put(1, "alone")
	c.settled(1)
	// Asking again changes nothing.
	last := c.nodes[3].groups[1].Status().Last
	c.recoverAt(3, 1, lost)
	if got := c.nodes[3].groups[1].Status().Last; got != last {
		t.Fatalf("a second recovery wrote entries %d to %d", last+1, got)
	}
	c.awaitLeader(1)
	// It grows again, and then the lost ones come back.
	if err := c.receive(c.ship(3, 1), c.installer(4, 1), nil); err != nil {
		t.Fatal(err)
	}
	c.joined(4, 1)
	c.onLeader("the voters change", 1, func(g *Group, done func(error)) { g.ChangeVoters(VoterChange{Promote: []uint64{104}}, done) })
	c.onLeader("the joint configuration is left", 1, func(g *Group, done func(error)) { g.LeaveJoint(done) })
	c.groups[1][101], c.groups[1][102] = 1, 2
	c.gone = nil // they know nothing
	clear(c.leaders)
	c.start(1)
	c.start(2)
	delete(c.nodes[1].ledgers, 1) // what the lost ones acknowledge and hold is not the group's
	delete(c.nodes[2].ledgers, 1)
	c.w.Run(c.w.Now() + 20*time.Second)
	if lost := c.nodes[1].groups[1].Status(); lost.Lead != 101 && lost.Lead != 102 {
		t.Fatalf("the lost ones were to elect a leader of their own: %+v", lost)
	}
	for _, id := range []int32{3, 4} {
		if err := c.nodes[id].groups[1].Healthy(); err != nil {
			t.Fatal(err)
		}
	}
	c.put(1, "not disturbed")
	c.settled(1)
}

// The majority is lost in the middle of a move: the configuration at the log's end is joint, has a learner, and the change that made
// it so may not even be committed.
func TestRule30RecoveryOutOfAJointConfiguration(t *testing.T) {
	for _, left := range []int32{1, 2, 4} {
		t.Run(fmt.Sprint("replica ", left), func(t *testing.T) {
			c := newCluster(t, 72, 5)
			c.addGroup(1, 3)
			c.startAll()
			c.put(1, "first")
			for _, on := range []int32{4, 5} {
				if err := c.receive(c.ship(c.leader(1).id, 1), c.installer(on, 1), nil); err != nil {
					t.Fatal(err)
				}
				c.joined(on, 1)
			}
			c.put(1, "second")
			c.onLeader("the leader is the second", 1, func(g *Group, done func(error)) { g.Transfer(102, done) })
			c.awaitLeader(1)
			// 1 is removed, 3 is demoted, 4 is promoted, 5 stays a learner.
			c.onLeader("the voters change", 1, func(g *Group, done func(error)) {
				g.ChangeVoters(VoterChange{Promote: []uint64{104}, Demote: []uint64{103}, Remove: []uint64{101}}, done)
			})
			c.settled(1)
			var lost []uint64
			for _, id := range c.ids {
				if id != left {
					lost = append(lost, 100+uint64(id))
					c.kill(id)
				}
			}
			c.recoverAt(left, 1, lost)
			c.awaitLeader(1)
			wantConf(t, c.nodes[left].groups[1].Status().Conf, []uint64{100 + uint64(left)}, nil)
			c.put(1, "alone")
			c.settled(1)
			// And at every start from here on.
			c.kill(left)
			c.start(left)
			c.awaitLeader(1)
			c.put(1, "alone again")
			c.settled(1)
		})
	}
}
