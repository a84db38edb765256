package multiraft

import (
	"fmt"
	"testing"
	"time"
)

// loadedCluster is three brokers with one group that has a leader and some entries.
func loadedCluster(t *testing.T, seed uint64) *cluster {
	t.Helper()
	c := newCluster(t, seed, 3)
	c.addGroup(1, 3)
	c.startAll()
	for i := range 5 {
		c.put(1, fmt.Sprintf("before%d", i))
	}
	c.w.Run(c.w.Now() + time.Second)
	return c
}

func TestFoundingLeaderLeadsWithinTwentyMilliseconds(t *testing.T) {
	c := newCluster(t, 3, 3)
	c.addGroup(1, 3)
	c.found = 3
	c.start(3)
	c.w.Run(50 * time.Millisecond)
	c.start(1)
	at := c.w.Now()
	c.until("a leader", 40*time.Millisecond, func() bool { return c.leader(1) != nil })
	if n := c.leader(1); n.id != 3 {
		t.Fatalf("broker %d leads, want the preferred one, 3", n.id)
	}
	t.Logf("led %s after a majority had its replica", c.w.Now()-at)
	c.start(2)
	c.put(1, "x")
	c.settled(1)
}

func TestRule21KilledLeaderIsReplacedAtOnceWhenItsPortRefuses(t *testing.T) {
	for seed := uint64(1); seed <= 10; seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			c := loadedCluster(t, seed)
			old := c.leader(1).id
			c.kill(old)
			at := c.w.Now()
			// The others notice apart from each other: the PreVote of the first meets the lease of the second.
			for i, id := range c.ids {
				c.w.After(time.Duration(1+10*i)*time.Millisecond, func() {
					if n := c.nodes[id]; n != nil {
						n.host.Refused(old)
					}
				})
			}
			c.put(1, "after")
			if took := c.w.Now() - at; took > 100*time.Millisecond {
				t.Errorf("an ack after %s, want 100ms: the second vote waited for another try", took)
			}
			c.settled(1)
		})
	}
}

func TestRule21SilentLeaderIsReplacedWithinASecond(t *testing.T) {
	for seed := uint64(1); seed <= 10; seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			c := loadedCluster(t, seed)
			old := c.leader(1)
			c.net.Isolate(old.id, c.ids, true)
			at := c.w.Now()
			c.until("another leader", 5*time.Second, func() bool { l := c.leader(1); return l != nil && l != old })
			c.put(1, "after")
			if took := c.w.Now() - at; took > time.Second {
				t.Errorf("an ack after %s, want 1s", took)
			}
			c.net.Isolate(old.id, c.ids, false)
			c.settled(1)
		})
	}
}

func TestRule21RestartedLeaderIsForgottenByItsNewBoot(t *testing.T) {
	c := loadedCluster(t, 7)
	old := c.leader(1).id
	term := c.leader(1).ledgers[1].session.Term
	c.kill(old)
	c.start(old) // before anyone could notice silence
	at := c.w.Now()
	c.until("a leader of a new term", time.Second, func() bool {
		l := c.leader(1)
		return l != nil && l.ledgers[1].session.Term > term
	})
	if took := c.w.Now() - at; took > 500*time.Millisecond {
		t.Errorf("a leader after %s: it took silence or a time-out", took)
	}
	c.put(1, "after")
	c.settled(1)
}

func TestRule21FalseAlarmOfOneFollowerDoesNothing(t *testing.T) {
	c := loadedCluster(t, 8)
	lead := c.leader(1)
	term := lead.ledgers[1].session.Term
	for _, id := range c.ids {
		if id != lead.id {
			// It stops hearing the leader; the leader and the third broker hear everyone.
			c.net.Block(lead.id, id, true)
			break
		}
	}
	c.w.Run(c.w.Now() + 3*time.Second)
	if l := c.leader(1); l != lead || l.ledgers[1].session.Term != term {
		t.Fatal("one follower that does not hear the leader deposed it")
	}
}

func TestRule21StoppedLeaderSaysSo(t *testing.T) {
	c := loadedCluster(t, 9)
	old := c.leader(1)
	if err := old.host.StopGroup(1); err != nil {
		t.Fatal(err)
	}
	delete(old.ledgers, 1)
	at := c.w.Now()
	c.put(1, "after")
	if took := c.w.Now() - at; took > 250*time.Millisecond {
		t.Errorf("an ack after %s: the others waited for silence", took)
	}
}

func TestRule21CandidateIsLeftAloneForTwoSeconds(t *testing.T) {
	c := loadedCluster(t, 10)
	old := c.leader(1).id
	votes := 0
	c.tap = func(from, to int32, _ Lane, p *Packet) bool {
		for _, m := range p.Messages {
			switch m.Raft.GetType().String() {
			case "MsgVote":
				votes++
				return false // the real vote gets lost
			}
		}
		return true
	}
	c.kill(old)
	c.refused(old)
	c.w.Run(c.w.Now() + 1900*time.Millisecond)
	// Two survivors: each may have become a candidate once, none again.
	if votes == 0 || votes > 4 {
		t.Fatalf("%d lost votes in 1.9s, want one election a survivor at most", votes)
	}
	c.tap = nil
	c.put(1, "after")
	c.settled(1)
}
