package multiraft

import (
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/runnel-io/runnel/partition/env"
)

// Nobody is asked for a vote before the candidate's own term and vote are durable.
func TestRule01VotesAreAskedForOnlyOnceTheTermIsDurable(t *testing.T) {
	c := newCluster(t, 41, 3)
	c.addGroup(1, 3)
	c.startAll()
	old := c.awaitLeader(1)
	c.put(1, "x")
	c.settled(1)
	next := c.otherThan(old.id)
	hang := true
	next.proc.Delay = func(class env.Class) time.Duration {
		if class == env.ClassAppend && hang {
			return time.Second
		}
		return 0
	}
	asked := time.Duration(0)
	began := c.w.Now()
	c.tap = func(from, _ int32, _ Lane, p *Packet) bool {
		for _, m := range p.Messages {
			if from == next.id && m.Raft.GetType() == raftpb.MsgVote && asked == 0 {
				asked = c.w.Now() - began
			}
		}
		return true
	}
	old.groups[1].TransferLeader(next.groups[1].replica) // MsgTimeoutNow: it campaigns without a PreVote
	c.w.Run(c.w.Now() + 3*time.Second)
	hang = false
	if asked == 0 {
		t.Fatal("no vote was ever asked for: the test shows nothing")
	}
	if asked < time.Second {
		t.Errorf("votes were asked for after %s, while the term's write takes a second", asked)
	}
	c.w.Run(c.w.Now() + time.Second)
	c.settled(1)
}
