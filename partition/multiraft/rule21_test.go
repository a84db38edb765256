package multiraft

import (
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"
)

// A leader's "I lead no longer" goes by another lane than its appends, and may overtake them.
func TestRule21LateAppendsOfALeaderThatIsOverDoNotBringItBack(t *testing.T) {
	c := newCluster(t, 51, 3)
	c.addGroup(1, 3)
	c.startAll()
	old := c.awaitLeader(1)
	c.put(1, "x")
	c.settled(1)
	term, last := old.groups[1].Status().Term, old.groups[1].Status().Last
	g := old.groups[1]
	g.do(func() { g.poisonedForTest() })
	c.w.Run(c.w.Now() + 2*time.Millisecond) // the word has arrived
	for _, n := range c.nodes {
		if n.id != old.id {
			n.groups[1].receive(old.id, &raftpb.Message{
				Type: raftpb.MsgApp.Enum(), From: new(g.replica), To: new(n.groups[1].replica), Term: new(term),
				Index: new(last), LogTerm: new(term), Commit: new(last),
			})
		}
	}
	c.until("another leads", 1500*time.Millisecond, func() bool { l := c.leader(1); return l != nil && l != old })
	c.put(1, "y")
}

// poisonedForTest ends the replica as a failed disk does.
func (g *Group) poisonedForTest() { g.fail(errInjected) }
