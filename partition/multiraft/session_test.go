package multiraft

import (
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"
)

// Batches wait for a new leader's session. If that never comes, the machine has to know.
func TestMachineIsToldOfALeadershipThatEndsWithoutASession(t *testing.T) {
	c := loadedCluster(t, 72)
	old := c.leader(1)
	c.loseAll(raftpb.MsgAppResp)
	n := c.otherThan(old.id)
	old.groups[1].TransferLeader(n.groups[1].replica)
	c.until("a leader without a session", time.Second, func() bool { return n.groups[1].Status().Role == RoleLeader })
	n.groups[1].do(func() { n.groups[1].stepDown("the test says so") })
	c.until("the machine knows", 100*time.Millisecond, func() bool { return n.ledgers[1].bare == 1 })
	if n.ledgers[1].started != 0 {
		t.Error("it had a session")
	}
}
