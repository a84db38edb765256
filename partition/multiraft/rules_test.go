package multiraft

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/runnel-io/runnel/partition/env"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

func reasonOf(err error) runnelv1.ErrorReason { return runnelv1.AsError(err).GetReason() }

func TestRule09DroppedTurnIsTakenWholeLater(t *testing.T) {
	c := newCluster(t, 20, 3)
	c.limits = func(l *limits) { l.uncommittedBytes = 3000 }
	c.addGroup(1, 3)
	c.startAll()
	lead := c.awaitLeader(1)
	l := lead.ledgers[1]
	l.limit = 2
	big := strings.Repeat("x", 1000)
	for i := range 12 {
		l.propose(fmt.Sprintf("%d %s", i, big))
	}
	c.until("all acks, with no tick to help", 200*time.Millisecond, func() bool { return len(c.acked[1]) == 12 })
	if l.dropped == 0 {
		t.Fatal("no turn was dropped: the test proves nothing")
	}
	c.settled(1)
	for i := range 12 {
		if got := c.acked[1][int64(i)]; !strings.HasPrefix(got, fmt.Sprintf("%d ", i)) {
			t.Errorf("offset %d is %.5q: a dropped turn moved offsets", i, got)
		}
	}
}

func TestRule10SessionStartsWhenTheTermsFirstEntryIsApplied(t *testing.T) {
	c := loadedCluster(t, 21)
	old := c.leader(1)
	for _, n := range c.nodes {
		l := n.ledgers[1]
		l.onSession = func(term uint64) {
			if last := l.log[len(l.log)-1]; last.term != term {
				t.Errorf("a session of term %d began when an entry of term %d was applied last", term, last.term)
			}
			if l.next != 5 {
				t.Errorf("a session began at offset %d, want 5", l.next)
			}
		}
	}
	old.groups[1].TransferLeader(c.otherThan(old.id).groups[1].replica)
	c.until("another leader", time.Second, func() bool { l := c.leader(1); return l != nil && l != old })
	if n := len(old.ledgers[1].ended); n != 1 {
		t.Fatalf("%d sessions of the old leader ended, want 1", n)
	}
	if r := old.ledgers[1].ended[0].GetKind(); r != runnelv1.ErrorKind_ERROR_KIND_INDETERMINATE {
		t.Errorf("what was in flight is %s, want indeterminate", r)
	}
}

// otherThan gives a running node that is not id.
func (c *cluster) otherThan(id int32) *node {
	for _, o := range c.ids {
		if n := c.nodes[o]; n != nil && o != id {
			return n
		}
	}
	return nil
}

func TestRule13RefusedConfChangeIsReported(t *testing.T) {
	c := loadedCluster(t, 22)
	lead := c.leader(1)
	g := lead.groups[1]
	results := make(map[string][]error)
	propose := func(name, change string) {
		ccs, err := raftpb.ConfChangesFromString(change)
		if err != nil {
			t.Fatal(err)
		}
		g.ProposeConf(&raftpb.ConfChangeV2{Changes: ccs}, func(err error) { results[name] = append(results[name], err) })
	}
	propose("add", "l900")
	propose("second", "l901")
	propose("bad", "r101 r102 r103")
	c.otherThan(lead.id).groups[1].ProposeConf(&raftpb.ConfChangeV2{}, func(err error) { results["follower"] = append(results["follower"], err) })
	c.w.Run(c.w.Now() + time.Second)
	propose("again", "l901")
	propose("no voters", "r101 r102 r103")
	c.w.Run(c.w.Now() + time.Second)
	propose("no voters", "r101 r102 r103")
	c.w.Run(c.w.Now() + time.Second)
	want := map[string]runnelv1.ErrorReason{
		"second": runnelv1.ErrorReason_ERROR_REASON_UNAVAILABLE, "bad": runnelv1.ErrorReason_ERROR_REASON_UNAVAILABLE,
		"follower": runnelv1.ErrorReason_ERROR_REASON_NOT_LEADER,
	}
	for name, reason := range want {
		if len(results[name]) != 1 || reasonOf(results[name][0]) != reason {
			t.Errorf("%s: %v, want one %s", name, results[name], reason)
		}
	}
	if rs := results["no voters"]; len(rs) != 2 || reasonOf(rs[1]) != runnelv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT {
		t.Errorf("removing every voter: %v, want it refused as invalid", rs)
	}
	for _, name := range []string{"add", "again"} {
		if len(results[name]) != 1 || results[name][0] != nil {
			t.Errorf("%s: %v, want done once without error", name, results[name])
		}
	}
	for id, n := range c.nodes {
		if got := fmt.Sprint(n.ledgers[1].conf.GetLearners()); got != "[900 901]" {
			t.Errorf("learners at b%d: %s", id, got)
		}
	}
	// What raft itself refuses becomes an empty entry while it said nothing.
	g.confChange = &confChange{id: []byte("never placed"), done: func(err error) { results["lost"] = append(results["lost"], err) }}
	c.put(1, "an entry that is not it")
	if len(results["lost"]) != 1 || results["lost"][0] == nil {
		t.Errorf("a change that never got into the log: %v", results["lost"])
	}
}

func TestRule06RestartFoldsUpToTheFirstConfChange(t *testing.T) {
	c := loadedCluster(t, 23)
	c.leader(1).groups[1].ProposeConf(&raftpb.ConfChangeV2{Changes: []*raftpb.ConfChangeSingle{{
		Type: raftpb.ConfChangeAddLearnerNode.Enum(), NodeId: new(uint64(900))}}}, func(err error) {
		if err != nil {
			t.Error(err)
		}
	})
	c.put(1, "after the change")
	c.settled(1)
	for _, id := range c.ids {
		c.kill(id)
	}
	c.startAll()
	c.put(1, "after the restart")
	c.settled(1)
	for id, n := range c.nodes {
		if got := fmt.Sprint(n.groups[1].Status().Conf.GetLearners()); got != "[900]" {
			t.Errorf("learners at b%d after a restart: %s", id, got)
		}
	}
	// A clean stop checkpoints, so the next start folds nothing.
	n := c.nodes[1]
	if err := n.host.StopGroup(1); err != nil {
		t.Fatal(err)
	}
	if _, err := n.tryStart(1); err != nil {
		t.Fatal(err)
	}
	if got := len(n.ledgers[1].log); got != 0 {
		t.Errorf("%d entries folded after a clean stop, want 0", got)
	}
	c.settled(1)
}

func TestRule14EmptyAppendsSkipTheDiskButKeepTheirPlace(t *testing.T) {
	commits := 0
	c := newCluster(t, 24, 3)
	c.hooks.Commit = func(path string, commit func() error) error {
		if !strings.HasSuffix(path, "meta.db") {
			commits++
		}
		return commit()
	}
	c.addGroup(1, 3)
	c.startAll()
	c.put(1, "first")
	c.settled(1)
	c.w.Run(c.w.Now() + time.Second)
	before := commits
	c.put(1, "one write a replica")
	c.w.Run(c.w.Now() + 5*time.Second) // commit notices and heartbeats follow
	if got := commits - before; got != 3 {
		t.Errorf("one entry cost %d disk writes on three replicas, want 3", got)
	}

	// A follower with a slow disk answers nothing before its write is durable, though later messages carry nothing.
	lead := c.leader(1)
	slow := c.otherThan(lead.id)
	slow.proc.Delay = func(class env.Class) time.Duration {
		if class == env.ClassAppend {
			return 300 * time.Millisecond
		}
		return 0
	}
	answers := 0
	c.tap = func(from, _ int32, _ Lane, p *Packet) bool {
		for _, m := range p.Messages {
			if from == slow.id && m.Raft.GetType() == raftpb.MsgAppResp {
				answers++
			}
		}
		return true
	}
	lead.ledgers[1].propose("slow")
	c.w.Run(c.w.Now() + 250*time.Millisecond)
	if answers != 0 {
		t.Errorf("%d answers before the write was durable", answers)
	}
	c.w.Run(c.w.Now() + time.Second)
	if answers == 0 {
		t.Error("no answer after the write was durable")
	}
	c.settled(1)
}

func TestRule15LeaderWithAWrongClockKnows(t *testing.T) {
	c := loadedCluster(t, 25)
	lead := c.leader(1)
	ok := func() bool { return lead.groups[1].sessionNow().ClockOK }
	if !ok() {
		t.Fatal("a right clock is held for wrong")
	}
	lead.proc.Jump(2 * time.Minute)
	c.w.Run(c.w.Now() + 400*time.Millisecond)
	if ok() {
		t.Error("a clock two minutes ahead of both peers is held for right")
	}
}

func TestRule15PeerWithAWrongClockIsOutvoted(t *testing.T) {
	c := loadedCluster(t, 25)
	c.otherThan(c.leader(1).id).proc.Jump(2 * time.Minute)
	c.w.Run(c.w.Now() + 400*time.Millisecond)
	if l := c.leader(1); l == nil || !l.groups[1].sessionNow().ClockOK {
		t.Error("one peer with a wrong clock makes the leader doubt its own")
	}
}

func TestRule16LeaderWithoutQuorumStopsLeading(t *testing.T) {
	c := loadedCluster(t, 26)
	lead := c.leader(1)
	for _, id := range c.ids { // the others' packets no longer reach it; its own do reach them
		c.net.Block(id, lead.id, true)
	}
	c.w.Run(c.w.Now() + 1300*time.Millisecond)
	if lead.ledgers[1].session != nil {
		t.Fatal("still in session 1.3s after it last heard anyone")
	}
	var err error
	lead.groups[1].ReadIndex(func(_ uint64, e error) { err = e })
	c.w.Run(c.w.Now() + 10*time.Millisecond)
	if err == nil || reasonOf(err) != runnelv1.ErrorReason_ERROR_REASON_NOT_LEADER {
		t.Errorf("a read there: %v, want NOT_LEADER", err)
	}
}

func TestRule17ReadsJoinTheNextReadIndex(t *testing.T) {
	c := loadedCluster(t, 27)
	lead := c.leader(1)
	g := lead.groups[1]
	rounds := 0
	last := ""
	dropAnswers := false
	c.tap = func(from, to int32, _ Lane, p *Packet) bool {
		for _, m := range p.Messages {
			if m.Raft.GetType() == raftpb.MsgHeartbeat && len(m.Raft.GetContext()) > 0 && string(m.Raft.GetContext()) != last {
				last = string(m.Raft.GetContext())
				rounds++
			}
			if dropAnswers && m.Raft.GetType() == raftpb.MsgHeartbeatResp {
				return false
			}
		}
		return true
	}
	answers, errs := 0, 0
	read := func() {
		g.ReadIndex(func(index uint64, err error) {
			if err != nil {
				errs++
				if reasonOf(err) != runnelv1.ErrorReason_ERROR_REASON_UNAVAILABLE {
					t.Errorf("a read that times out: %v, want UNAVAILABLE", err)
				}
				return
			}
			answers++
			if index < 5 || index > g.Status().Applied {
				t.Errorf("a read answered with index %d, applied %d", index, g.Status().Applied)
			}
		})
	}
	read()
	c.w.RunUntil(func() bool { return rounds == 1 }, time.Second)
	for range 10 {
		read()
	}
	c.until("eleven answers", time.Second, func() bool { return answers == 11 })
	if rounds != 2 {
		t.Errorf("11 reads took %d rounds, want 2", rounds)
	}
	dropAnswers = true
	read()
	c.until("the time-out", 3*time.Second, func() bool { return errs == 1 })
	dropAnswers = false
	read()
	c.until("an answer after it", time.Second, func() bool { return answers == 12 })
}
