package multiraft

import (
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"
)

// heldCluster is three brokers that have started together and hold their replicas of a number of groups back.
func heldCluster(t *testing.T, seed uint64, groups uint64) *cluster {
	c := newCluster(t, seed, 3)
	for g := uint64(1); g <= groups; g++ {
		c.addGroup(g, 3)
	}
	c.held, c.tick = true, 20*time.Second // raft's own time-out is later
	c.startAll()
	return c
}

func (c *cluster) led() (n int) {
	for g := range c.groups {
		if c.leader(g) != nil {
			n++
		}
	}
	return n
}

func TestHeldReplicasStandOnceAllAreOpen(t *testing.T) {
	c := heldCluster(t, 71, 5)
	c.w.Run(c.w.Now() + holdMost/2)
	if n := c.led(); n > 0 {
		t.Fatalf("%d groups have a leader while all brokers hold theirs", n)
	}
	c.nodes[2].host.ReleaseHeld() // the others vote
	c.until("broker 2 leads all", 5*time.Second, func() bool { return c.led() == 5 })
	for g := range c.groups {
		if c.leader(g) != c.nodes[2] {
			t.Errorf("group %d is led by a broker that holds its replicas", g)
		}
	}
}

// A broker that cannot open some of its replicas goes on without them.
func TestHeldReplicasStandAfterAWhile(t *testing.T) {
	c := heldCluster(t, 72, 5)
	c.until("all led", holdMost+5*time.Second, func() bool { return c.led() == 5 })
	if c.w.Now() < holdMost {
		t.Errorf("led after %s, before the hold was over", c.w.Now())
	}
}

// The brokers of a cluster that starts again look for leaders of thousands of groups at once. Those who come second for a group leave
// the first the time that the groups before it take, or each try would be thwarted by another, again and again.
func TestManyGroupsAreLedByTheirFirstVoterAfterARestart(t *testing.T) {
	const groups = 90
	c := heldCluster(t, 73, groups)
	asked := 0
	c.tap = func(_, _ int32, _ Lane, p *Packet) bool {
		for _, m := range p.Messages {
			if m.Raft.GetType() == raftpb.MsgPreVote {
				asked++
			}
		}
		return true
	}
	c.net.MinDelay, c.net.MaxDelay = rankDelay/2, rankDelay // an election takes longer than the second voter waits for a lone group
	for _, n := range c.nodes {
		n.host.ReleaseHeld()
	}
	c.until("all led", 30*time.Second, func() bool { return c.led() == groups })
	// Two are needed; without the longer wait it were six and more.
	if asked > 11*groups/2 {
		t.Errorf("%d requests for a vote before each of %d groups had a leader", asked, groups)
	}
}

// A broker with thousands of groups without a leader has a bounded number of tries under way, and those that cannot win keep nobody back.
func TestTriesUnderWayAreBounded(t *testing.T) {
	const groups = 2*maxStanding + 50
	h, all := ledHost(t, groups)
	h.live.silent = time.Hour // time goes on here, heartbeats do not
	conf := &raftpb.ConfState{Voters: []uint64{1, 2, 3}}
	for _, g := range all {
		g.view.Store(&view{role: RoleFollower, conf: conf})
		h.elections.add(g)
	}
	now := h.env.Now()
	tried := func() (n int) {
		for _, c := range h.elections.watch {
			if c.tried {
				n++
			}
		}
		return n
	}
	settle := func() { // until nothing more is begun
		for before := -1; before != tried(); {
			before = tried()
			if due := h.elections.run(now); due.IsZero() || due.After(now.Add(slotsEvery)) {
				t.Fatalf("looks again at %s, although some wait", due.Sub(now))
			}
		}
	}
	settle()
	if n := tried(); n != maxStanding {
		t.Fatalf("%d tries are under way, want %d", n, maxStanding)
	}
	for _, g := range all[:50] {
		g.view.Store(&view{role: RoleFollower, conf: conf, lead: 2, leadBroker: 2})
	}
	settle()
	if n := tried(); n != maxStanding { // 50 of them new, in the place of those that have a leader
		t.Fatalf("%d tries are under way after 50 others ended, want %d", n, maxStanding)
	}
	now = now.Add(2 * againAfter) // the others failed
	h.elections.run(now)
	h.elections.run(now)
	if n := tried(); n != min(2*maxStanding, groups-50) {
		t.Errorf("%d of %d were tried: those that failed go before those that had no turn yet", n, groups-50)
	}
}
