package multiraft

import (
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"
)

// A replica that hears a heartbeat or an append of an old term answers with a MsgAppResp that has no index. When its sender
// leads the newer term by the time it arrives, raft must not take it for a log that matches at 0.
func TestRule19AnswerToAnOldTermIsNoLogThatEndsAtZero(t *testing.T) {
	c := newCluster(t, 31, 3)
	c.addGroup(1, 3)
	c.startAll()
	old := c.awaitLeader(1)
	c.put(1, "first")
	c.settled(1)
	// A leader that has never heard from one peer in its term.
	silent := c.otherThan(old.id)
	c.kill(silent.id)
	var next *node
	for _, n := range c.nodes {
		if n.id != old.id && n.id != silent.id {
			next = n
		}
	}
	old.groups[1].TransferLeader(next.groups[1].replica)
	c.until("the leadership moved", time.Second, func() bool { return c.leader(1) == next && next.groups[1].Status().Session })
	g := next.groups[1]
	g.receive(silent.id, &raftpb.Message{
		Type: raftpb.MsgAppResp.Enum(), From: new(silent.groups[1].replica), To: new(g.replica), Term: new(g.Status().Term),
	})
	c.w.Run(c.w.Now() + 50*time.Millisecond)
	c.start(silent.id)
	c.put(1, "second")
	c.until("the peer has caught up", time.Second, func() bool { return c.nodes[silent.id].ledgers[1].next == 2 })
	if len(g.snapshots) != 0 {
		t.Error("a peer that lacks nothing below the log's start was taken for one that does")
	}
}

// Nor is an acknowledgement of entries that the leader does not have: it was meant for an earlier life of it.
func TestRule19AcknowledgementAboveTheOwnLogIsIgnored(t *testing.T) {
	c := newCluster(t, 32, 3)
	c.addGroup(1, 3)
	c.startAll()
	lead := c.awaitLeader(1)
	c.put(1, "first")
	c.settled(1)
	g := lead.groups[1]
	peer := c.otherThan(lead.id)
	g.receive(peer.id, &raftpb.Message{
		Type: raftpb.MsgAppResp.Enum(), From: new(peer.groups[1].replica), To: new(g.replica), Term: new(g.Status().Term), Index: new(g.Status().Last + 50),
	})
	c.w.Run(c.w.Now() + time.Second)
	if got := g.Status().Peers[peer.groups[1].replica].Match; got > g.Status().Last {
		t.Errorf("the peer is taken to match at %d, the log ends at %d", got, g.Status().Last)
	}
	c.put(1, "second")
	c.settled(1)
}
