package multiraft

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"
)

// settledAs tells whether a leader in session says that the group has these voters alone, for good.
func (c *cluster) settledAs(voters []uint64) bool {
	n := c.leader(1)
	if n == nil {
		return false
	}
	st := n.groups[1].Status()
	return st.Session && !st.Changing && len(st.Conf.GetVotersOutgoing()) == 0 && slices.Equal(st.Conf.GetVoters(), voters)
}

// powerCut ends all brokers at once; only those of voters come back, the others' data is deleted.
func (c *cluster) powerCut(voters []uint64) {
	c.t.Helper()
	for _, id := range c.ids {
		if c.nodes[id] != nil {
			c.kill(id)
		}
	}
	for replica := range c.groups[1] {
		if !slices.Contains(voters, replica) {
			delete(c.groups[1], replica)
		}
	}
	c.w.Run(c.w.Now() + time.Second) // nothing is under way any more
	for _, id := range c.ids {
		if slices.Contains(voters, 100+uint64(id)) {
			c.start(id)
		}
	}
}

// moveCase is a move of group 1 from the first brokers to other voters.
type moveCase struct {
	from     int
	add, rem []int32
}

func (m moveCase) String() string { return fmt.Sprintf("of %d add %v remove %v", m.from, m.add, m.rem) }

func (m moveCase) change() (c VoterChange, after []uint64) {
	for id := int32(1); id <= int32(m.from); id++ {
		if !slices.Contains(m.rem, id) {
			after = append(after, 100+uint64(id))
		}
	}
	for _, id := range m.add {
		c.Promote = append(c.Promote, 100+uint64(id))
		after = append(after, 100+uint64(id))
	}
	for _, id := range m.rem {
		c.Remove = append(c.Remove, 100+uint64(id))
	}
	return c, after
}

// joint makes a cluster whose group is in the joint configuration of the move.
func (m moveCase) joint(t *testing.T, seed uint64) *cluster {
	t.Helper()
	c := newCluster(t, seed, 4)
	c.addGroup(1, m.from)
	c.startAll()
	c.put(1, "first")
	for _, on := range m.add {
		if err := c.receive(c.ship(c.leader(1).id, 1), c.installer(on, 1), nil); err != nil {
			t.Fatal(err)
		}
		c.joined(on, 1)
	}
	change, _ := m.change()
	c.onLeader("the voters change", 1, func(g *Group, done func(error)) { g.ChangeVoters(change, done) })
	return c
}

var moveCases = []moveCase{
	{1, []int32{4}, []int32{1}},           // the only voter moves
	{2, nil, []int32{2}},                  // one voter is left
	{3, nil, []int32{1, 2}},               // and of three
	{2, []int32{3}, []int32{2}},           // one of two moves
	{2, []int32{3, 4}, []int32{1, 2}},     // all voters go at once
	{3, []int32{4}, []int32{1}},           // one of three moves
	{1, []int32{2, 3}, nil},               // it grows: afterwards one of three may be lost
	{1, []int32{2, 3, 4}, []int32{1}},     // it grows and moves
	{3, []int32{4}, []int32{1, 2, 3}[:2]}, // it shrinks and moves
}

// Nothing is written after a joint configuration was left, and the power fails: the new voters know that it was left, and need nobody
// whose data was deleted since.
func TestNewVotersLeadAloneAfterAPowerCutRightAfterTheMove(t *testing.T) {
	for i, m := range moveCases {
		t.Run(m.String(), func(t *testing.T) {
			c := m.joint(t, 300+uint64(i))
			c.onLeader("the joint configuration is left", 1, func(g *Group, done func(error)) { g.LeaveJoint(done) })
			_, after := m.change()
			c.until("it is settled", 2*time.Second, func() bool { return c.settledAs(after) })
			up := after
			if len(m.rem) == 0 {
				up = after[1:] // any majority will do
			}
			c.powerCut(up)
			c.put(1, "last")
			c.settled(1)
		})
	}
}

// Whenever the leader dies while the joint configuration is left, and whoever finds that out: once a leader says that it is over, the power
// may fail.
func TestALeaveIsSettledByWhoeverLeadsNext(t *testing.T) {
	for i, m := range moveCases {
		if testing.Short() && i%3 > 0 {
			continue
		}
		t.Run(m.String(), func(t *testing.T) {
			_, after := m.change()
			for step := range 12 {
				c := m.joint(t, 400+uint64(100*i+step))
				n := c.leader(1)
				for n.groups[1].Status().Lead != n.groups[1].replica { // a handover is under way
					c.w.Run(c.w.Now() + time.Millisecond)
					n = c.awaitLeader(1)
				}
				n.groups[1].LeaveJoint(func(error) {})
				c.w.Run(c.w.Now() + time.Duration(step)*700*time.Microsecond)
				if n := c.nodes[n.id]; n != nil {
					c.kill(n.id)
				}
				c.w.Run(c.w.Now() + 100*time.Millisecond)
				c.start(n.id)
				at := time.Time{}
				c.until("it is settled", 60*time.Second, func() bool {
					if c.settledAs(after) {
						return true
					}
					lead := c.leader(1)
					if now := n.proc.Env().Now(); lead != nil && now.Sub(at) > 300*time.Millisecond {
						at = now
						lead.groups[1].LeaveJoint(func(error) {})
					}
					return false
				})
				c.powerCut(after)
				c.put(1, "last")
				c.settled(1)
				c.stopAll()
			}
		})
	}
}

// A leader that is cut off when it has just committed the leave knows it alone: it does not say that it is over.
func TestACutOffLeaderDoesNotTakeALeaveForSettled(t *testing.T) {
	m := moveCase{3, []int32{4}, []int32{1}}
	c := m.joint(t, 501)
	c.onLeader("a new voter that stays leads", 1, func(g *Group, done func(error)) {
		if g.replica == 102 {
			done(nil)
			return
		}
		g.Transfer(102, done)
	})
	lead := c.leader(1)
	g := lead.groups[1]
	c.tap = func(from, to int32, _ Lane, _ *Packet) bool {
		// From the moment on that it applied the leave.
		return from != lead.id && to != lead.id || len(g.conf.GetVotersOutgoing()) > 0
	}
	var left error
	asked := false
	g.LeaveJoint(func(err error) { asked, left = true, err })
	c.until("the leave is applied", time.Second, func() bool { return asked })
	if left != nil || len(g.Status().Conf.GetVotersOutgoing()) > 0 {
		t.Fatal(left)
	}
	for range 200 {
		c.w.Run(c.w.Now() + 10*time.Millisecond)
		if st := g.Status(); st.Session && !st.Changing {
			t.Fatal("the leader alone knows that the joint configuration was left, and says that it is over")
		}
	}
	c.kill(lead.id)
	c.tap = nil
	_, after := m.change()
	c.until("the others have left it, too", 30*time.Second, func() bool {
		if n := c.leader(1); n != nil {
			n.groups[1].LeaveJoint(func(error) {})
		}
		return c.settledAs(after)
	})
	c.powerCut([]uint64{103, 104})
	c.put(1, "last")
	c.settled(1)
}

// A leader that committed the leave of an earlier leader by the first entry of its own term has not settled it by that: its followers got the
// entry before anybody knew.
func TestTheFirstEntryOfATermDoesNotSettleWhatItCommits(t *testing.T) {
	m := moveCase{3, []int32{4}, []int32{1}}
	c := m.joint(t, 502)
	c.onLeader("a new voter that stays leads", 1, func(g *Group, done func(error)) {
		if g.replica == 102 {
			done(nil)
			return
		}
		g.Transfer(102, done)
	})
	c.settled(1)
	old := c.leader(1)
	mend := c.loseAll(raftpb.MsgAppResp) // all get the leave, and its leader never hears of it
	leave := old.groups[1].last + 1
	old.groups[1].LeaveJoint(func(error) {})
	c.w.Run(c.w.Now() + 100*time.Millisecond)
	c.kill(old.id)
	mend()
	// The one that leaves does not lead, and every entry beyond the first of the new term is lost.
	c.tap = func(from, _ int32, _ Lane, p *Packet) bool {
		for _, msg := range p.Messages {
			if typ := msg.Raft.GetType(); from == 1 && (typ == raftpb.MsgPreVote || typ == raftpb.MsgVote) {
				return false
			}
			for _, e := range msg.Raft.GetEntries() {
				if e.GetIndex() > leave+1 {
					return false
				}
			}
		}
		return true
	}
	c.until("a new leader has applied the leave", 20*time.Second, func() bool {
		n := c.leader(1)
		return n != nil && n.groups[1].Status().Applied > leave
	})
	for range 100 {
		c.w.Run(c.w.Now() + 10*time.Millisecond)
		if n := c.leader(1); n != nil {
			if st := n.groups[1].Status(); st.Session && !st.Changing {
				t.Fatalf("settled with entry %d, the leave is %d", st.Last, leave)
			}
		}
	}
	c.tap = nil
	_, after := m.change()
	c.until("it is settled", 20*time.Second, func() bool { return c.settledAs(after) })
	c.powerCut(after[1:])
	c.put(1, "last")
	c.settled(1)
}

// Only what changes the votes is settled: learners come and go without an entry more.
func TestChangesOfLearnersNeedNoSettling(t *testing.T) {
	c := newCluster(t, 503, 4)
	c.addGroup(1, 3)
	c.startAll()
	c.put(1, "first")
	if err := c.receive(c.ship(c.leader(1).id, 1), c.installer(4, 1), nil); err != nil {
		t.Fatal(err)
	}
	c.joined(4, 1)
	c.settled(1)
	last := c.leader(1).groups[1].Status().Last
	c.onLeader("the learner is removed", 1, func(g *Group, done func(error)) { g.RemoveLearner(104, done) })
	c.w.Run(c.w.Now() + 2*time.Second)
	if st := c.leader(1).groups[1].Status(); st.Last != last+1 || st.Changing {
		t.Fatalf("%d entries for one change; %+v", st.Last-last, st)
	}
}
