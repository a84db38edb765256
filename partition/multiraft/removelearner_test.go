package multiraft

import (
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// learnerCluster is three voters and a fourth replica that is installed.
func learnerCluster(t *testing.T, seed uint64) *cluster {
	t.Helper()
	c := newCluster(t, seed, 4)
	c.addGroup(1, 3)
	c.startAll()
	c.put(1, "first")
	if err := c.receive(c.ship(c.leader(1).id, 1), c.installer(4, 1), nil); err != nil {
		t.Fatal(err)
	}
	return c
}

// A learner that is being added is not there yet, and will be: that there is nothing to remove would be wrong.
func TestRemoveLearnerDoesNotOvertakeAddLearner(t *testing.T) {
	c := learnerCluster(t, 601)
	g := c.leader(1).groups[1]
	mend := c.loseAll(raftpb.MsgAppResp) // nothing is committed
	var added, removed error
	adds, removes := 0, 0
	g.AddLearner(104, 4, func(err error) { adds++; added = err })
	g.RemoveLearner(104, func(err error) { removes++; removed = err })
	c.w.Run(c.w.Now() + 100*time.Millisecond)
	if st := g.Status(); !st.Changing {
		t.Fatalf("a change is under way: %+v", st)
	}
	if adds != 0 || removes != 1 {
		t.Fatalf("%d and %d answers: %v, %v", adds, removes, added, removed)
	}
	wantReason(t, removed, runnelv1.ErrorReason_ERROR_REASON_UNAVAILABLE)
	mend()
	c.until("the learner is added", 5*time.Second, func() bool { return adds == 1 && !g.Status().Changing })
	if added != nil {
		t.Fatal(added)
	}
	if err := c.asked(func(done func(error)) { g.RemoveLearner(104, done) }); err != nil {
		t.Fatal(err)
	}
	wantConf(t, g.Status().Conf, []uint64{101, 102, 103}, nil)
	if err := c.asked(func(done func(error)) { g.RemoveLearner(104, done) }); err != nil {
		t.Fatal(err) // and again
	}
}

// A leader that others have replaced without its knowledge does not know of their learner.
func TestDeposedLeaderDoesNotSayThatThereIsNoLearner(t *testing.T) {
	c := learnerCluster(t, 602)
	old := c.leader(1)
	g := old.groups[1]
	c.tap = func(from, to int32, _ Lane, _ *Packet) bool { return from != old.id && to != old.id }
	// Not deposed yet in its own eyes when it is asked, and by the time that it could answer others lead and have the learner.
	answers, answer := 0, error(nil)
	g.RemoveLearner(104, func(err error) { answers++; answer = err })
	c.w.Run(c.w.Now() + 50*time.Millisecond)
	if answers != 0 && answer == nil {
		t.Fatal("a leader that nobody hears says that there is no learner")
	}
	c.until("it answers", 5*time.Second, func() bool { return answers > 0 })
	if answers != 1 || answer == nil {
		t.Fatalf("%d answers: %v", answers, answer)
	}
	c.tap = nil
	c.onLeader("whoever leads says so", 1, func(g *Group, done func(error)) { g.RemoveLearner(104, done) })
}
