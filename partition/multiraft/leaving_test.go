package multiraft

import (
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"
)

func TestABrokerThatIsAboutToStopGetsNoLeadership(t *testing.T) {
	c := loadedCluster(t, 78)
	old := c.leader(1)
	ids := c.survivors(old.id)
	c.leaves = ids[0]
	var refused error
	old.groups[1].Transfer(c.nodes[ids[0]].groups[1].replica, func(err error) { refused = err })
	c.until("an answer", time.Second, func() bool { return refused != nil })
	old.host.startHandOver(func() {})
	c.until("the other one leads", time.Second, func() bool { n := c.leader(1); return n != nil && n.id == ids[1] })
}

func TestATransferToABrokerThatGoesEndsAtOnce(t *testing.T) {
	c := loadedCluster(t, 79)
	old := c.leader(1)
	to := c.otherThan(old.id)
	mend := c.loseAll(raftpb.MsgTimeoutNow)
	old.groups[1].TransferLeader(to.groups[1].replica)
	c.until("the transfer", transferAfter/2, func() bool { return old.groups[1].transfer != nil })
	old.ledgers[1].propose("meanwhile")
	c.kill(to.id)
	c.refused(to.id)
	mend()
	c.until("what waited is acked", transferAfter/4, func() bool { return c.isAcked(1, "meanwhile") })
}
