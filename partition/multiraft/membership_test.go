package multiraft

import (
	"errors"
	"slices"
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// asked has one answer of a step, with the world going on.
func (c *cluster) asked(step func(done func(error))) error {
	c.t.Helper()
	answered, answer := 0, error(nil)
	step(func(err error) { answered++; answer = err })
	c.until("an answer", 5*time.Second, func() bool { return answered > 0 })
	c.w.Run(c.w.Now() + 3*time.Second)
	if answered != 1 {
		c.t.Fatalf("%d answers", answered)
	}
	return answer
}

func wantReason(t *testing.T, err error, want runnelv1.ErrorReason) {
	t.Helper()
	var e *runnelv1.Error
	if !errors.As(err, &e) || e.GetReason() != want {
		t.Fatalf("got %v, want %s", err, want)
	}
}

// A group of one voter moves: nobody who stays can take over first, so the leader enters the joint configuration and then hands
// over to the new one.
func TestGroupOfOneVoterMoves(t *testing.T) {
	c := newCluster(t, 81, 2)
	c.addGroup(1, 1)
	c.startAll()
	c.put(1, "first")
	stop := c.load(1)
	if err := c.receive(c.ship(1, 1), c.installer(2, 1), nil); err != nil {
		t.Fatal(err)
	}
	c.joined(2, 1)
	change := VoterChange{Promote: []uint64{102}, Remove: []uint64{101}}
	c.onLeader("the voters change", 1, func(g *Group, done func(error)) { g.ChangeVoters(change, done) })
	c.onLeader("the joint configuration is left", 1, func(g *Group, done func(error)) { g.LeaveJoint(done) })
	if lead := c.awaitLeader(1); lead.id != 2 {
		t.Fatalf("broker %d leads", lead.id)
	}
	wantConf(t, c.leader(1).groups[1].Status().Conf, []uint64{102}, nil)
	stop()
	c.kill(1)
	delete(c.groups[1], 101)
	c.put(1, "last")
	c.settled(1)
}

// grown has learners of group 1 on brokers.
func (c *cluster) grown(on ...int32) {
	c.t.Helper()
	for _, id := range on {
		if err := c.receive(c.ship(c.leader(1).id, 1), c.installer(id, 1), nil); err != nil {
			c.t.Fatal(err)
		}
		c.joined(id, 1)
	}
}

// All voters of a group go at once, and one of them leads.
func TestAllVotersAreReplacedAtOnce(t *testing.T) {
	c := newCluster(t, 82, 4)
	c.addGroup(1, 2)
	c.startAll()
	c.put(1, "first")
	c.grown(3, 4)
	change := VoterChange{Promote: []uint64{103, 104}, Remove: []uint64{101, 102}}
	c.onLeader("the voters change", 1, func(g *Group, done func(error)) { g.ChangeVoters(change, done) })
	c.onLeader("the joint configuration is left", 1, func(g *Group, done func(error)) { g.LeaveJoint(done) })
	wantConf(t, c.awaitLeader(1).groups[1].Status().Conf, []uint64{103, 104}, nil)
	for _, id := range []int32{1, 2} {
		c.kill(id)
		delete(c.groups[1], 100+uint64(id))
	}
	c.put(1, "last")
	c.settled(1)
}

// The only voter that stays does not take over, as a quarantined one never would: the change goes on without, and the leadership goes to another.
func TestAChangeDoesNotWaitForAVoterThatNeverTakesOver(t *testing.T) {
	c := newCluster(t, 87, 4)
	c.addGroup(1, 2)
	c.startAll()
	c.put(1, "first")
	c.grown(3, 4)
	old := c.leader(1).groups[1].replica
	mend := c.loseAll(raftpb.MsgTimeoutNow)
	change := VoterChange{Promote: []uint64{103, 104}, Remove: []uint64{old}}
	c.onLeader("the voters change", 1, func(g *Group, done func(error)) { g.ChangeVoters(change, done) })
	if g := c.leader(1).groups[1]; g.replica != old || len(g.Status().Conf.GetVotersOutgoing()) != 2 {
		t.Fatalf("replica %d leads with %v", g.replica, g.Status().Conf)
	}
	mend()
	c.onLeader("the joint configuration is left", 1, func(g *Group, done func(error)) { g.LeaveJoint(done) })
	wantConf(t, c.awaitLeader(1).groups[1].Status().Conf, change.voters(&raftpb.ConfState{Voters: []uint64{101, 102}}), nil)
}

// A change whose voters to be have no majority that is there is refused before it is written, and nothing waits for the dead.
func TestVotersDoNotChangeToAQuorumThatIsNotThere(t *testing.T) {
	c := newCluster(t, 83, 4)
	c.addGroup(1, 3)
	c.startAll()
	c.put(1, "first")
	if err := c.receive(c.ship(1, 1), c.installer(4, 1), nil); err != nil {
		t.Fatal(err)
	}
	c.joined(4, 1)
	lead := c.leader(1)
	var others []uint64
	for _, id := range c.ids[:3] {
		if id != lead.id {
			others = append(others, 100+uint64(id))
		}
	}
	g := lead.groups[1]
	dead := int32(others[0] - 100)
	c.kill(dead)
	c.w.Run(c.w.Now() + 2*time.Second)
	if st := g.Status(); st.Peers[others[0]].Active || !st.Peers[others[1]].Active || !st.Peers[104].Active || st.Peers[others[0]].CaughtUp {
		t.Fatalf("one of the peers is dead: %+v", st.Peers)
	}
	// Leader and the dead one would be left: two votes of two.
	last := g.Status().Last
	wantReason(t, c.asked(func(done func(error)) { g.ChangeVoters(VoterChange{Remove: []uint64{others[1]}}, done) }), runnelv1.ErrorReason_ERROR_REASON_UNAVAILABLE)
	// The leader goes, and those left would be the dead one and one that lives. The leadership does not move in vain either.
	wantReason(t, c.asked(func(done func(error)) { g.ChangeVoters(VoterChange{Remove: []uint64{g.replica}}, done) }), runnelv1.ErrorReason_ERROR_REASON_UNAVAILABLE)
	if st := g.Status(); st.Last != last || !st.Session {
		t.Fatalf("the refused change had an effect: %+v", st)
	}
	// With the learner in the dead one's place there is a majority.
	if err := c.asked(func(done func(error)) {
		g.ChangeVoters(VoterChange{Promote: []uint64{104}, Remove: []uint64{others[0]}}, done)
	}); err != nil {
		t.Fatal(err)
	}
	if err := c.asked(g.LeaveJoint); err != nil {
		t.Fatal(err)
	}
	delete(c.groups[1], others[0])
	c.put(1, "last")
	c.settled(1)
}

// Raft's check of the quorum takes all marks of activity away at once, each ten slow ticks. That must not show in an idle group, whose Status
// is half a second old; one whose answers stay away shows all the same.
func TestPeersOfAnIdleGroupStayActive(t *testing.T) {
	c := newCluster(t, 88, 3)
	c.addGroup(1, 3)
	c.startAll()
	c.put(1, "first")
	c.settled(1)
	lead := c.leader(1)
	g, mute := lead.groups[1], c.otherThan(lead.id)
	c.w.Run(c.w.Now() + 2*time.Second)
	for end := c.w.Now() + 15*time.Second; c.w.Now() < end; c.w.Run(c.w.Now() + 20*time.Millisecond) {
		for id, p := range g.Status().Peers {
			if !p.RecentActive || !p.Active || !p.CaughtUp {
				t.Fatalf("at %s replica %d, which answers: %+v", c.w.Now(), id, p)
			}
		}
	}
	c.tap = func(from, _ int32, _ Lane, p *Packet) bool { return from != mute.id || len(p.Messages) == 0 }
	c.w.Run(c.w.Now() + 2*10*500*time.Millisecond + 2*time.Second)
	for id, p := range g.Status().Peers {
		if is := p.Active && p.CaughtUp; is == (id == mute.groups[1].replica) {
			t.Errorf("replica %d, of which %d is mute: %+v", id, mute.groups[1].replica, p)
		}
	}
}

func TestTransferAnswers(t *testing.T) {
	c := newCluster(t, 84, 4)
	c.addGroup(1, 3)
	c.startAll()
	c.put(1, "first")
	c.settled(1)
	g := c.leader(1).groups[1]
	to := c.otherThan(c.leader(1).id)
	if err := c.asked(func(done func(error)) { g.Transfer(g.replica, done) }); err != nil {
		t.Fatal(err) // it is there
	}
	wantReason(t, c.asked(func(done func(error)) { g.Transfer(104, done) }), runnelv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT)
	at := time.Duration(0)
	began := c.w.Now()
	if err := c.asked(func(done func(error)) {
		g.Transfer(to.groups[1].replica, func(err error) { at = c.w.Now(); done(err) })
	}); err != nil {
		t.Fatal(err)
	}
	if c.leader(1) != to || at-began > 400*time.Millisecond {
		t.Fatalf("answered after %s", at-began)
	}
	if err := c.asked(func(done func(error)) { g.Transfer(to.groups[1].replica, done) }); err != nil {
		t.Fatal(err) // it is there, as this follower knows
	}
	wantReason(t, c.asked(func(done func(error)) { g.Transfer(g.replica, done) }), runnelv1.ErrorReason_ERROR_REASON_NOT_LEADER)
	// One that is dead is not asked to lead.
	lead := to.groups[1]
	c.kill(int32(g.replica - 100))
	c.w.Run(c.w.Now() + 2*time.Second)
	wantReason(t, c.asked(func(done func(error)) { lead.Transfer(g.replica, done) }), runnelv1.ErrorReason_ERROR_REASON_UNAVAILABLE)
	c.put(1, "goes on")
}

// One that does not take over, and a replica that is stopped meanwhile, are told.
func TestTransferThatFailsAnswers(t *testing.T) {
	c := newCluster(t, 85, 3)
	c.addGroup(1, 3)
	c.startAll()
	c.put(1, "first")
	c.settled(1)
	g := c.leader(1).groups[1]
	to := c.otherThan(c.leader(1).id).groups[1].replica
	mend := c.loseAll(raftpb.MsgTimeoutNow)
	wantReason(t, c.asked(func(done func(error)) { g.Transfer(to, done) }), runnelv1.ErrorReason_ERROR_REASON_UNAVAILABLE)
	c.put(1, "goes on")
	var answer error
	answers := 0
	g.Transfer(to, func(err error) { answers++; answer = err })
	c.w.Run(c.w.Now() + 50*time.Millisecond)
	if err := c.nodes[int32(g.replica-100)].host.StopGroup(1); err != nil {
		t.Fatal(err)
	}
	delete(c.nodes[int32(g.replica-100)].ledgers, 1)
	delete(c.nodes[int32(g.replica-100)].groups, 1)
	if answers != 1 || answer == nil {
		t.Fatalf("%d answers, the last is %v", answers, answer)
	}
	mend()
	c.put(1, "goes on elsewhere")
}

// The new leader was elected, and its word does not arrive: the old one does not wait for ever to see it, nor beyond its own end.
func TestTransferThatIsNotSeenToArriveAnswers(t *testing.T) {
	for _, stops := range []bool{false, true} {
		c := newCluster(t, 86, 3)
		c.tick = 10 * time.Second // or raft's heartbeat would tell
		c.addGroup(1, 3)
		c.startAll()
		c.put(1, "first")
		c.settled(1)
		old := c.leader(1)
		g := old.groups[1]
		to := c.otherThan(old.id).groups[1].replica
		c.tap = func(_, broker int32, _ Lane, p *Packet) bool {
			return broker != old.id || !slices.ContainsFunc(p.Messages, func(m Message) bool {
				return m.Raft.GetFrom() == to && m.Raft.GetType() != raftpb.MsgVote && m.Raft.GetType() != raftpb.MsgAppResp
			})
		}
		answers, answer := 0, error(nil)
		g.Transfer(to, func(err error) { answers++; answer = err })
		c.until("the new leader leads", time.Second, func() bool { n := c.leader(1); return n != nil && n != old })
		c.w.Run(c.w.Now() + 100*time.Millisecond)
		if answers != 0 {
			t.Fatalf("answered before it was seen: %v", answer)
		}
		if stops {
			if err := old.host.StopGroup(1); err != nil {
				t.Fatal(err)
			}
			delete(old.ledgers, 1)
			delete(old.groups, 1)
		} else {
			c.w.Run(c.w.Now() + arrivesAfter)
		}
		if answers != 1 || answer == nil {
			t.Fatalf("%d answers, the last is %v", answers, answer)
		}
		c.tap = nil
		c.put(1, "goes on")
	}
}
