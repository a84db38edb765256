package multiraft

import (
	"slices"
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/runnel-io/runnel/partition/env"
)

// handOver hands over all that a node leads and waits for the end.
func (c *cluster) handOver(n *node) *handOver {
	c.t.Helper()
	finished := false
	ho := n.host.startHandOver(func() { finished = true })
	c.until("the end of the hand-over", 2*handOverFor, func() bool { return finished })
	return ho
}

func TestHandOverTriesAgainWhatWasLost(t *testing.T) {
	c := loadedCluster(t, 73)
	old := c.leader(1)
	lost := 0
	c.tap = func(_, _ int32, _ Lane, p *Packet) bool {
		for _, m := range p.Messages {
			if m.Raft.GetType() == raftpb.MsgTimeoutNow && lost < 2 {
				lost++
				return false
			}
		}
		return true
	}
	if err := c.handOver(old).err(); err != nil {
		t.Error(err)
	}
	if lost != 2 || c.leader(1) == old {
		t.Errorf("%d messages were lost, broker %d leads", lost, c.leader(1).id)
	}
	c.put(1, "after")
	c.settled(1)
}

// The next try goes to somebody else: the first may be about to stop, or its disk hangs.
func TestHandOverTriesTheOtherFollowerNext(t *testing.T) {
	c := loadedCluster(t, 74)
	old := c.leader(1)
	first := int32(0)
	c.tap = func(_, to int32, _ Lane, p *Packet) bool {
		for _, m := range p.Messages {
			if m.Raft.GetType() == raftpb.MsgTimeoutNow && (first == 0 || first == to) {
				first = to
				return false
			}
		}
		return true
	}
	if err := c.handOver(old).err(); err != nil {
		t.Error(err)
	}
	if n := c.leader(1); n == nil || n == old || n.id == first {
		t.Errorf("another than %d, which led before, and %d, which never heard, should lead", old.id, first)
	}
}

// The old leader's vote and its disk may be needed until the new one leads.
func TestHandOverWaitsForTheNewLeadersFirstWord(t *testing.T) {
	c := loadedCluster(t, 75)
	old := c.leader(1)
	for _, n := range c.nodes {
		if n != old { // slow disks: each needs the old leader's vote at least
			n.proc.Delay = func(class env.Class) time.Duration {
				if class == env.ClassAppend {
					return 20 * time.Millisecond
				}
				return 0
			}
		}
	}
	c.handOver(old)
	if g := old.groups[1]; g.Status().Role == RoleLeader || g.appliedTerm != g.term {
		t.Errorf("it was over in term %d, and the newest entry was of term %d", g.term, g.appliedTerm)
	}
}

func TestLeadershipThatArrivesAfterTheHandOverGoesOn(t *testing.T) {
	c := loadedCluster(t, 76)
	old := c.leader(1)
	if err := c.handOver(old).err(); err != nil {
		t.Fatal(err)
	}
	began := old.ledgers[1].started
	c.awaitLeader(1).groups[1].TransferLeader(old.groups[1].replica)
	c.until("it leads again", time.Second, func() bool { return old.ledgers[1].started == began+1 })
	c.until("another leads", time.Second, func() bool { n := c.leader(1); return n != nil && n != old })
	c.put(1, "after")
	c.settled(1)
}

// With the others gone, or about to go, there is nobody to wait for.
func TestHandOverToNobodyEndsAtOnce(t *testing.T) {
	c := loadedCluster(t, 77)
	old := c.leader(1)
	ids := c.survivors(old.id)
	c.kill(ids[0])
	c.refused(ids[0])
	c.leaves = ids[1]
	at := c.w.Now()
	if err := c.handOver(old).err(); err == nil {
		t.Error("it was handed to nobody")
	}
	if took := c.w.Now() - at; took > transferAfter {
		t.Errorf("it took %s", took)
	}
}

// The successor's answer to the old leader's last append can overtake its request for a vote, since these travel on two lanes. The old
// leader knows of the new term then, has voted for nobody, and is the first that would stand.
func TestOldLeaderDoesNotStandAgainstItsSuccessor(t *testing.T) {
	seeds(t, func(t *testing.T, c *cluster) {
		for c.leader(1).id != 1 { // the first in rank
			c.leader(1).groups[1].TransferLeader(101)
			c.until("another leader", time.Second, func() bool { return c.leader(1) != nil && c.leader(1).id == 1 })
			c.w.Run(c.w.Now() + time.Second)
		}
		old, to := c.nodes[1], c.nodes[2]
		term := old.groups[1].Status().Term
		c.nodes[3].proc.Delay = func(class env.Class) time.Duration {
			if class == env.ClassAppend {
				return 20 * time.Millisecond
			}
			return 0
		}
		c.tap = func(from, to int32, _ Lane, p *Packet) bool {
			return to != 1 || !slices.ContainsFunc(p.Messages, func(m Message) bool {
				return m.Raft.GetType() == raftpb.MsgVote && m.Raft.GetTerm() == term+1
			})
		}
		old.groups[1].TransferLeader(to.groups[1].replica)
		c.until("a candidate", time.Second, func() bool { return to.groups[1].Status().Role == RoleCandidate })
		old.host.Receive(2, &Packet{Nonce: to.host.out.nonce, Messages: []Message{{Group: 1, Raft: &raftpb.Message{
			Type: raftpb.MsgAppResp.Enum(), From: new(uint64(102)), To: new(uint64(101)), Term: new(term + 1)}}}})
		c.until("the next leader", time.Second, func() bool { return c.leader(1) != nil && c.leader(1) != old })
		c.w.Run(c.w.Now() + time.Second)
		if s := to.groups[1].Status(); !s.Session || s.Term != term+1 {
			t.Errorf("the successor is %s in term %d, want leader in term %d", s.Role, s.Term, term+1)
		}
	})
}
