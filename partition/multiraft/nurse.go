package multiraft

// noteWaiting keeps waitsSince: a leader waits while it has entries that are not committed, a read that is not confirmed, or a
// proposal that raft had no room for.
func (g *Group) noteWaiting() {
	waits := g.role == RoleLeader && (g.commit < g.last || g.reads.flight != nil || g.dropped)
	since := g.waitsSince.Load()
	switch {
	case !waits:
		if since != 0 {
			g.waitsSince.Store(0)
		}
	case since == 0 || g.waitsCommit != g.commit:
		g.waitsCommit = g.commit
		g.waitsSince.Store(g.env.Now().UnixNano())
	}
}

// nurse helps a leader that has made no progress for a while. A message of its, or an answer, may be lost without anybody having
// noticed: raft would send again at its next heartbeat, which is a slow tick away, so that thousands of idle groups cost little.
// A heartbeat now is answered, and at the answer raft sends what is missing.
func (g *Group) nurse() {
	g.do(func() {
		if g.role != RoleLeader {
			return
		}
		now := g.env.Now()
		g.expireRead(now)
		g.turnDue, g.dropped = true, false
		if g.commit < g.last {
			g.step(beatNow())
		}
		g.waitsSince.Store(now.UnixNano())
	})
}
