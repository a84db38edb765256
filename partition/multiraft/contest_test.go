package multiraft

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"
)

// seeds runs a test of elections, in which chance plays a part, with ten of them.
func seeds(t *testing.T, f func(t *testing.T, c *cluster)) {
	t.Helper()
	for seed := uint64(1); seed <= 10; seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { f(t, loadedCluster(t, seed)) })
	}
}

// survivors gives the brokers but one, in order of their rank.
func (c *cluster) survivors(dead int32) (ids []int32) {
	for _, id := range c.ids {
		if id != dead {
			ids = append(ids, id)
		}
	}
	return ids
}

// loseAll has every packet with a message of a type get lost, until the function it gives is called.
func (c *cluster) loseAll(lost raftpb.MessageType) (mend func()) {
	c.tap = func(_, _ int32, _ Lane, p *Packet) bool {
		return !slices.ContainsFunc(p.Messages, func(m Message) bool { return m.Raft.GetType() == lost })
	}
	return func() { c.tap = nil }
}

// Both survivors stand in one term, each with its own vote, and the dead leader's never comes.
func TestRule21CandidatesThatCannotWinStandAgainSoon(t *testing.T) {
	seeds(t, func(t *testing.T, c *cluster) {
		old := c.leader(1).id
		duels := map[uint64]map[uint64]bool{}
		c.tap = func(_, _ int32, _ Lane, p *Packet) bool {
			for _, m := range p.Messages {
				if m.Raft.GetType() == raftpb.MsgVote {
					if duels[m.Raft.GetTerm()] == nil {
						duels[m.Raft.GetTerm()] = map[uint64]bool{}
					}
					duels[m.Raft.GetTerm()][m.Raft.GetFrom()] = true
				}
			}
			return true
		}
		c.kill(old)
		c.refused(old)
		for _, id := range c.survivors(old) {
			c.nodes[id].groups[1].Campaign()
		}
		at := c.w.Now()
		c.put(1, "after")
		if took := c.w.Now() - at; took > 500*time.Millisecond {
			t.Errorf("an ack after %s, want 500ms", took)
		}
		t.Logf("who stood, by term: %v", duels)
		c.settled(1)
	})
}

// The first in rank has the shorter log: it cannot win, and the second need not wait for its turn.
func TestRule21TheLongerLogStandsAtOnceWhenTheShorterAsks(t *testing.T) {
	seeds(t, func(t *testing.T, c *cluster) {
		old := c.leader(1).id
		behind := c.survivors(old)[0]
		c.tap = func(_, to int32, lane Lane, _ *Packet) bool { return to != behind || lane != LaneAppend }
		c.put(1, "while one is behind")
		c.tap = nil
		c.kill(old)
		c.refused(old)
		at := c.w.Now()
		c.put(1, "after")
		if took := c.w.Now() - at; took > 100*time.Millisecond {
			t.Errorf("an ack after %s, want 100ms", took)
		}
		c.settled(1)
	})
}

// A new leader's first appends, or the answers to them, get lost with a connection that both ends outlive.
func TestLostAppendsGoAgainOnceTheConnectionIsBack(t *testing.T) {
	for _, lost := range []raftpb.MessageType{raftpb.MsgApp, raftpb.MsgAppResp} {
		t.Run(lost.String(), func(t *testing.T) {
			seeds(t, func(t *testing.T, c *cluster) {
				old := c.leader(1).id
				mend := c.loseAll(lost)
				c.kill(old)
				c.refused(old)
				two := c.survivors(old)
				c.until("one leads", time.Second, func() bool {
					return c.nodes[two[0]].groups[1].Status().Role == RoleLeader || c.nodes[two[1]].groups[1].Status().Role == RoleLeader
				})
				c.w.Run(c.w.Now() + 50*time.Millisecond)
				if c.leader(1) != nil {
					t.Fatal("in session, although nothing can be committed")
				}
				mend()
				// Only the end that sent what got lost connects again.
				for _, id := range two {
					leads := c.nodes[id].groups[1].Status().Role == RoleLeader
					if leads == (lost == raftpb.MsgApp) {
						for _, o := range two {
							c.nodes[id].host.Reached(o)
						}
					}
				}
				at := c.w.Now()
				c.put(1, "after")
				if took := c.w.Now() - at; took > 250*time.Millisecond {
					t.Errorf("an ack after %s, want 250ms", took)
				}
				c.settled(1)
			})
		})
	}
}

// A replica whose broker is back, but which is opened only later, has missed everything its leader said meanwhile: the first append
// met nobody, and raft sends no other before a heartbeat is answered.
func TestAReplicaThatIsOpenedLateIsSentWhatItLacks(t *testing.T) {
	for _, writes := range []bool{true, false} {
		for seed := uint64(1); seed <= 5; seed++ {
			t.Run(fmt.Sprint(writes, seed), func(t *testing.T) {
				c := slowCluster(t, seed)
				lead := c.leader(1)
				late := c.survivors(lead.id)[0]
				c.kill(late)
				c.refused(late)
				if writes {
					c.put(1, "while it is away")
				}
				c.w.Run(c.w.Now() + time.Second)
				members := c.groups[1]
				c.groups[1] = nil // the broker starts without its replica
				n := c.start(late)
				c.w.Run(c.w.Now() + 2*time.Second)
				if writes {
					c.put(1, "before it is opened")
				}
				c.groups[1] = members
				if _, err := n.tryStart(1); err != nil {
					t.Fatal(err)
				}
				c.until("the late replica follows", 1500*time.Millisecond, func() bool {
					st := n.groups[1].Status()
					return st.Lead != 0 && st.Last == c.leader(1).groups[1].Status().Last
				})
				c.settled(1)
			})
		}
	}
}

// That a leader leads no longer gets lost, and its broker stays alive. The transport refuses the packet, or takes it and loses it with the
// connection.
func TestLostLastWordsOfALeaderAreMadeUpFor(t *testing.T) {
	for _, taken := range []bool{false, true} {
		t.Run(fmt.Sprint("taken ", taken), func(t *testing.T) {
			seeds(t, func(t *testing.T, c *cluster) {
				old := c.leader(1)
				deaf := true
				lost := func(from int32, p *Packet) bool { return deaf && from == old.id && len(p.NoLead) > 0 }
				c.refuse = func(from, _ int32, p *Packet) bool { return !taken && lost(from, p) }
				c.tap = func(from, _ int32, _ Lane, p *Packet) bool { return !lost(from, p) }
				if err := old.host.StopGroup(1); err != nil {
					t.Fatal(err)
				}
				delete(old.ledgers, 1)
				c.w.Run(c.w.Now() + 300*time.Millisecond)
				deaf = false
				at := c.w.Now()
				c.put(1, "after")
				if took := c.w.Now() - at; took > 700*time.Millisecond {
					t.Errorf("an ack after %s", took)
				}
			})
		})
	}
}

// A leader that waits in vain is helped long before raft's own heartbeat, whose tick is slow.
func TestSilentlyLostAppendsGoAgainLongBeforeATick(t *testing.T) {
	for _, lost := range []raftpb.MessageType{raftpb.MsgApp, raftpb.MsgAppResp} {
		for seed := uint64(1); seed <= 5; seed++ {
			t.Run(fmt.Sprint(lost, seed), func(t *testing.T) {
				c := slowCluster(t, seed)
				c.w.Run(c.w.Now() + time.Second)
				mend := c.loseAll(lost)
				c.leader(1).ledgers[1].propose("lost")
				c.w.Run(c.w.Now() + 20*time.Millisecond)
				mend()
				c.until("an ack", 1200*time.Millisecond, func() bool { return c.isAcked(1, "lost") })
				c.settled(1)
			})
		}
	}
}

// A read that nobody confirms ends in time, although others commit meanwhile, and those who wait behind it get their turn.
func TestRule17AReadThatIsLostEndsInTimeAndTheNextOneBegins(t *testing.T) {
	for _, writes := range []bool{false, true} {
		t.Run(fmt.Sprint(writes), func(t *testing.T) {
			c := slowCluster(t, 1)
			g := c.leader(1).groups[1]
			mend := c.loseAll(raftpb.MsgHeartbeat)
			var first, second, third error
			ended := 0
			read := func(err *error) { g.ReadIndex(func(_ uint64, e error) { *err = e; ended++ }) }
			read(&first)
			c.w.Run(c.w.Now() + 10*time.Millisecond)
			read(&second) // behind the first
			for i := range 13 {
				c.w.Run(c.w.Now() + 100*time.Millisecond)
				if writes {
					c.put(1, fmt.Sprint("meanwhile ", i))
				}
			}
			mend()
			c.w.Run(c.w.Now() + time.Second)
			read(&third)
			c.until("all reads end", time.Second, func() bool { return ended == 3 })
			if first == nil || second != nil || third != nil {
				t.Errorf("the lost read: %v; those behind it: %v, %v", first, second, third)
			}
		})
	}
}
