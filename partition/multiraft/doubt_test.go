package multiraft

import (
	"fmt"
	"log/slog"
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"
)

// stopSilently stops a leader's replica on a broker that lives, and nobody hears that it leads no longer.
func (c *cluster) stopSilently(old *node) {
	c.t.Helper()
	c.tap = func(from, _ int32, _ Lane, p *Packet) bool {
		if from == old.id {
			p.NoLead = nil
		}
		return true
	}
	if err := old.host.StopGroup(1); err != nil {
		c.t.Fatal(err)
	}
	delete(old.ledgers, 1)
}

// All last words of a leader get lost, however often they are said. Raft's own time-out would be ten minutes.
func TestAFollowerForgetsALeaderThatItsBrokerDoesNotTellOf(t *testing.T) {
	for seed := uint64(1); seed <= 5; seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			c := slowCluster(t, seed)
			c.w.Run(c.w.Now() + time.Second)
			c.stopSilently(c.leader(1))
			at := c.w.Now()
			c.until("an ack", doubtAfter+2*time.Second, func() bool {
				n := c.leader(1)
				if n == nil {
					return false
				}
				n.ledgers[1].propose("after")
				return c.isAcked(1, "after")
			})
			if took := c.w.Now() - at; took < doubtAfter {
				t.Errorf("an ack after %s: something else told", took)
			}
		})
	}
}

// A leader that begins its session is believed in from then on, and one that has not is believed in for a while.
func TestAFollowerBelievesInALeaderThatIsSlow(t *testing.T) {
	h, gs := ledHost(t, 1)
	g := gs[0]
	g.log = slog.New(slog.DiscardHandler)
	v := &view{role: RoleFollower, term: 3, lead: 102, leadBroker: 2}
	now := h.env.Now()
	table := func(leads ...LeaderDelta) {
		h.Receive(2, &Packet{Nonce: 2, Heartbeat: &Heartbeat{}, LeadersFull: true, Leaders: leads})
	}
	table()
	for at := time.Duration(0); at < doubtAfter; at += nurseEvery {
		h.doubtLeader(g, v, now.Add(at))
	}
	if d := g.doubt; d.since.IsZero() || d.wait != doubtAfter {
		t.Fatalf("after a look each %s it is %+v", nurseEvery, d)
	}
	h.doubtLeader(g, v, now.Add(doubtAfter))
	if d := g.doubt; !d.since.IsZero() || d.wait != 2*doubtAfter {
		t.Fatalf("after %s it is %+v", doubtAfter, d)
	}
	h.doubtLeader(g, v, now.Add(2*doubtAfter))
	table(LeaderDelta{Group: g.id, Term: 3, Leads: true})
	h.doubtLeader(g, v, now.Add(3*doubtAfter))
	if d := g.doubt; !d.since.IsZero() || d.wait != 0 {
		t.Fatalf("after its broker said so it is %+v", d)
	}
}

// A broker is known to have come back as another boot, while a message of the one before waits in the inbox: it must not bring the leader back.
func TestALateMessageDoesNotBringAGoneLeaderBack(t *testing.T) {
	c := slowCluster(t, 1)
	c.w.Run(c.w.Now() + time.Second)
	old := c.leader(1)
	c.stopSilently(old)
	at := c.w.Now()
	for _, n := range c.nodes {
		if n == old {
			continue
		}
		g := n.groups[1]
		v := g.view.Load()
		if v.leadBroker != old.id {
			t.Fatalf("broker %d follows broker %d", n.id, v.leadBroker)
		}
		g.leaderGone(v.lead, v.term)
		g.receive(old.id, &raftpb.Message{Type: raftpb.MsgHeartbeat.Enum(), From: new(v.lead), To: new(g.replica), Term: new(v.term)})
	}
	c.until("another leader", time.Second, func() bool { return c.leader(1) != nil && c.leader(1) != old })
	if took := c.w.Now() - at; took >= doubtAfter {
		t.Errorf("another leader after %s", took)
	}
}
