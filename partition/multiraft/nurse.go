package multiraft

import "time"

// patience is how long a leader waits without any progress before it is helped: from nurseAfter, doubled each time that help was of no
// use, up to nurseMost, so that a replica which is gone for long, or a disk that is slow, costs little.
const (
	nurseAfter = 500 * time.Millisecond
	nurseMost  = 8 * time.Second
)

// noteWaiting keeps nurseAt: when the group wants to be looked at again although nothing happens to it. A leader waits while it
// has entries that are not committed, a peer on a live broker that lacks some, a read that is not confirmed, a proposal that raft had no
// room for, or a Status whose Peers are not those of its last run.
func (g *Group) noteWaiting() {
	at := time.Time{}
	mark := g.commit + g.peersMatch
	switch {
	case g.role != RoleLeader || g.commit >= g.last && !g.lagging && !g.dropped && !g.peersStale:
		g.nurseSince, g.patience = time.Time{}, nurseAfter
	case g.nurseSince.IsZero() || g.nurseMark != mark:
		g.nurseSince, g.nurseMark, g.patience = g.env.Now(), mark, nurseAfter
		fallthrough
	default:
		at = g.nurseSince.Add(g.patience)
	}
	// Commits are no progress of a read.
	if g.role == RoleLeader && g.reads.flight != nil {
		if again := g.reads.since.Add(nurseAfter); at.IsZero() || again.Before(at) {
			at = again
		}
	}
	if at.IsZero() {
		g.nurseAt.Store(0)
	} else {
		g.nurseAt.Store(at.UnixNano())
	}
}

// nurse helps a leader that has made no progress for a while. A message of its, or an answer, may be lost without anybody having
// noticed, or a replica was opened after the leader had last called. Raft would send again at its next heartbeat, which is a slow tick
// away, so that thousands of idle groups cost little. A heartbeat now is answered, and at the answer raft sends what is missing.
func (g *Group) nurse() {
	g.do(func() {
		if g.role != RoleLeader {
			return
		}
		g.turnDue, g.dropped = true, false
		if g.commit < g.last || g.lagging || g.reads.flight != nil {
			g.beatAgain()
		}
		g.peersAt = time.Time{}
		g.nurseSince, g.patience = g.env.Now(), min(2*g.patience, nurseMost)
	})
}

// beatAgain has the leader send heartbeats, at most each nurseEvery.
func (g *Group) beatAgain() {
	now := g.env.Now()
	if now.Sub(g.beatenAt) >= nurseEvery {
		g.beatenAt = now
		g.step(beatNow())
	}
}
