package controller

import (
	"slices"
	"testing"
	"time"

	"github.com/runnel-io/runnel/placement"
)

func TestBrokersBecomeVotersUpToFive(t *testing.T) {
	g, nodes := cluster(t, 7)
	g.await(func() bool { return len(g.voters) == 5 && len(g.learn) == 2 && g.old == nil })
	if want := []uint64{1, 2, 3, 4, 5}; !slices.Equal(slices.Sorted(slices.Values(g.voters)), want) {
		t.Errorf("voters %v, want the oldest brokers %v", g.voters, want)
	}
	for _, n := range nodes {
		if len(n.members()) != 7 {
			t.Errorf("broker %d knows the members %v", n.broker, n.members())
		}
	}
}

func TestMembershipGoesOnUnderAnotherLeader(t *testing.T) {
	g, nodes := cluster(t, 2)
	g.job(func() { g.behind[3] = true; g.publish() })
	do(t, nodes[0].c, RegisterBroker{Broker: registration(3)})
	g.add(3)
	g.await(func() bool { return slices.Contains(g.learn, 3) })
	g.lead(2, false)
	g.job(func() { g.behind[3] = false; g.publish() })
	g.await(func() bool { return slices.Contains(g.voters, 3) })
}

// A leader that stops in the middle of a change leaves it to the next one.
func TestJointConfigurationIsLeftByTheNextLeader(t *testing.T) {
	g, _ := cluster(t, 3)
	g.await(func() bool { return len(g.voters) == 3 && g.old == nil })
	g.job(func() {
		g.old = []uint64{1, 2}
		g.nodes[1].changed()
		g.leadNow(2, false)
	})
	g.await(func() bool { return g.old == nil })
}

func TestLostVoterGivesItsPlaceToALearner(t *testing.T) {
	g, nodes := grown(t, 6, time.Millisecond)
	g.setSilent(2, true)
	g.await(func() bool { return slices.Contains(g.voters, 6) && !slices.Contains(g.voters, 2) && g.old == nil })
	if len(g.voters) != 5 || g.largest != 5 || !slices.Contains(g.learn, 2) {
		t.Errorf("voters %v, at most %d at a time, learners %v", g.voters, g.largest, g.learn)
	}
	awaitRoles(g, nodes[0])
}

// Who is silent is known to every member, and so to the next leader at once.
func TestEveryMemberHearsWhoIsSilent(t *testing.T) {
	g, nodes := grown(t, 3, time.Hour)
	g.setSilent(3, true)
	silent := func() (d time.Duration) {
		nodes[1].c.hearing.each(func(id int32, b heard) {
			if id == 3 {
				d = b.silent
			}
		})
		return d
	}
	eventually(t, func() bool { return silent() > 0 })
	before := silent()
	g.lead(2, false)
	g.await(func() bool { return nodes[1].started })
	if d := silent(); d < before {
		t.Errorf("silent for %s, and then, when this broker leads, for %s", before, d)
	}
}

func TestDrainingLeaderHandsOverAndLeaves(t *testing.T) {
	g, nodes := grown(t, 6, time.Hour)
	apply(t, nodes[0].c, placement.SetDraining{Broker: 1, Draining: true})
	g.await(func() bool {
		return g.leader != 1 && !slices.Contains(g.voters, 1) && slices.Contains(g.voters, 6) && g.old == nil
	})
	awaitRoles(g, nodes[1])
}

// All brokers but one leave for good: the group shrinks to one voter, and knows of no other replica.
func TestGroupShrinksToOne(t *testing.T) {
	g, nodes := grown(t, 5, time.Hour)
	for _, b := range []int32{3, 1, 5, 2} {
		apply(t, nodes[3].c, placement.SetDraining{Broker: b, Draining: true})
		id := nodes[3].c.State().Brokers[b].ControllerReplica
		g.await(func() bool { return !slices.Contains(g.voters, id) && g.old == nil })
		awaitRoles(g, nodes[3])
		apply(t, nodes[3].c, placement.RemoveBroker{Broker: b})
		g.await(func() bool { return !slices.Contains(g.learn, id) })
	}
	if !slices.Equal(g.voters, []uint64{4}) || len(g.learn) != 0 || len(nodes[3].members()) != 1 {
		t.Errorf("voters %v, learners %v, members %v", g.voters, g.learn, nodes[3].members())
	}
}

// Broker 2 is heard, and its replica writes nothing any more. With two voters of which it is one, the group could commit nothing, and not
// even leave the joint configuration.
func TestGroupDoesNotShrinkOntoAVoterThatDoesNotWrite(t *testing.T) {
	g, nodes := grown(t, 3, time.Hour)
	g.job(func() { g.mute[2] = true; g.publish() })
	apply(t, nodes[0].c, placement.SetDraining{Broker: 3, Draining: true})
	m := &nodes[0].c.members
	looks := func() int {
		nodes[0].c.mu.Lock()
		defer nodes[0].c.mu.Unlock()
		return m.waited
	}
	eventually(t, func() bool { return looks() > 3 })
	g.job(func() {
		if len(g.voters) != 3 || g.old != nil {
			t.Errorf("voters %v, before %v", g.voters, g.old)
		}
		g.mute[2] = false
		g.publish()
	})
	g.await(func() bool { return len(g.voters) == 2 && g.old == nil })
}

// The state does not know yet that a replica was promoted when its broker is removed: raft is asked what it is.
func TestRemovedBrokersVoteIsTaken(t *testing.T) {
	g, nodes := grown(t, 3, time.Hour)
	apply(t, nodes[0].c, placement.SetControllerReplica{Replica: 3, Learner: true}, placement.RemoveBroker{Broker: 3})
	g.await(func() bool { return len(g.voters) == 2 && len(g.learn) == 0 && g.old == nil })
}

// RULES 19: a member that lacks what is no longer in the log comes back under a new id, once its broker has installed that.
func TestRule19MemberBehindTheLogIsReplacedUnderANewID(t *testing.T) {
	for _, role := range []string{"learner", "voter"} {
		t.Run(role, func(t *testing.T) {
			n := map[string]int{"learner": 6, "voter": 3}[role]
			g, nodes := grown(t, n, time.Hour)
			last := nodes[n-1]
			old := last.replica
			g.job(func() { g.lacking[old] = true; g.publish() })
			self := registration(n)
			self.ID = last.broker
			var id uint64
			eventually(t, func() bool {
				id = do(t, nodes[0].c, RegisterBroker{Broker: self, Replica: old}).ControllerReplica
				return id != old
			})
			g.job(func() {
				if slices.Contains(g.voters, id) || slices.Contains(g.learn, id) {
					t.Error("its successor is a member before it is installed")
				}
			})
			if r := do(t, nodes[0].c, RegisterBroker{Broker: self, Replica: id}); r.ControllerReplica != id {
				t.Fatalf("asked for replica %d, and then for %d", id, r.ControllerReplica)
			}
			members := func() []uint64 { return slices.Concat(g.voters, g.learn) }
			g.await(func() bool { return slices.Contains(members(), id) && !slices.Contains(members(), old) && g.old == nil })
			g.await(func() bool { return role == "learner" || slices.Contains(g.voters, id) })
			awaitRoles(g, nodes[0])
		})
	}
}

// A broker whose replica failed gets another one; saying it again gets the same.
func TestLostReplicaIsReplacedOnce(t *testing.T) {
	g, nodes := grown(t, 3, time.Hour)
	self := registration(3)
	self.ID = 3
	report := RegisterBroker{Broker: self, Replica: nodes[2].replica, Lost: "its disk failed"}
	id := do(t, nodes[0].c, report).ControllerReplica
	if again := do(t, nodes[1].c, report).ControllerReplica; id == report.Replica || again != id {
		t.Fatalf("replica %d is replaced by %d and by %d", report.Replica, id, again)
	}
	// An older boot, or a copy of the disk, cannot give up what is not its own.
	other := report
	other.Broker.Incarnation, other.Replica = "another", id
	if _, err := nodes[0].c.Do(t.Context(), other); err == nil {
		t.Fatal("another incarnation gave up the replica")
	}
	do(t, nodes[0].c, RegisterBroker{Broker: self, Replica: id})
	g.await(func() bool {
		return slices.Contains(g.voters, id) && len(g.voters) == 3 && len(g.learn) == 0 && g.old == nil
	})
}

// grown is a cluster whose group has all the voters it can have; brokers silent for so long are lost.
func grown(t *testing.T, n int, replaceAfter time.Duration) (*fakeGroup, []*fakeNode) {
	g := newFakeGroup(t)
	g.configure = func(c *Config) { c.ReplaceAfter = replaceAfter }
	_, nodes := clusterOf(t, g, n)
	g.await(func() bool {
		return len(g.voters) == wantVoters(n) && len(g.voters)+len(g.learn) == n && g.old == nil
	})
	return g, nodes
}

// apply has the commands committed together, as the parts that plan them would.
func apply(t *testing.T, c *Controller, cmds ...placement.Command) {
	t.Helper()
	g := c.attached().(*fakeNode).g
	last := cmds[len(cmds)-1]
	eventually(t, func() (done bool) {
		g.job(func() { // nothing is applied meanwhile
			lead := g.nodes[g.leader].c
			_, r, err := placement.Apply(lead.State(), last)
			if done = err == nil && !r.Changed; done {
				return
			}
			for _, cmd := range cmds {
				lead.proposeAside(cmd)
			}
		})
		return done
	})
}

// awaitRoles waits until the state knows who votes.
func awaitRoles(g *fakeGroup, n *fakeNode) {
	g.await(func() bool {
		for _, r := range n.c.State().Controller {
			if r.Learner == slices.Contains(g.voters, r.ID) {
				return false
			}
		}
		return true
	})
}
