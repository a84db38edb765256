package multiraft

import (
	"time"

	"go.etcd.io/raft/v3/raftpb"
)

// greetAgain is how long a replica waits for its leader's word before it greets it once more.
const greetAgain = 300 * time.Millisecond

// greetLocked has a replica that hears of no leader call the one that the others' brokers tell of. What a leader sent before the replica was
// opened is lost: raft would call again only at a slow tick, and until then one follower less can acknowledge, of three replicas perhaps
// the one that counts.
func (e *elections) greetLocked(c *contest, v *view, now time.Time) {
	g := c.g
	broker, term := g.leaders.leader(g.id)
	if broker == 0 || term < v.term || !e.live.hears(broker) {
		return
	}
	if term == c.greeted && now.Before(c.greetNext) {
		return
	}
	c.greeted, c.greetNext = term, now.Add(greetAgain)
	g.greet(broker, term)
}

// greet tells a broker's replica, which is said to lead in a term, that this one is there. One that leads no longer, or knows of no such
// replica, ignores it.
func (g *Group) greet(broker int32, term uint64) {
	g.do(func() {
		if g.lead != 0 || g.term > term || g.overLead != 0 && g.overTerm >= term {
			return
		}
		for _, id := range g.peers() {
			if g.members.broker(id) == broker {
				// The answer to a heartbeat, at which raft sends what was not acknowledged. It promises nothing, and does not wait for the next
				// heartbeat as other answers do.
				g.sends.add(broker, LaneControl, Message{Group: g.id, Raft: &raftpb.Message{
					Type: raftpb.MsgHeartbeatResp.Enum(), From: &g.replica, To: &id, Term: &term}})
			}
		}
		g.flush()
	})
}
