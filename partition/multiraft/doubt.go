package multiraft

import (
	"syscall"
	"time"

	"github.com/runnel-io/runnel/partition/raftlog"
)

// doubtAfter is for how long a follower's leader must be none by the word of its own broker until the follower stops believing in it; twice as long
// each time, up to doubtMost, for a leader that is but slow to begin its session.
const (
	doubtAfter = 5 * time.Second
	doubtMost  = time.Minute
)

// openAgainAfter is for how long a replica that waits for space may be without a leader before it stops.
const openAgainAfter = 2 * time.Second

// openAgain stops a replica that waits for space and has no leader: its vote waits behind what it cannot write. Opened again its log is without that, of
// which nobody was told; votes have their space in meta.db, and what the next leader has to say first has some in each log.
func (h *Host) openAgain(g *Group, v *view, now time.Time) {
	d := &g.doubt
	switch {
	case !g.OutOfSpace(), v.lead != 0 && h.live.hears(v.leadBroker):
		d.alone = time.Time{}
	case d.alone.IsZero():
		d.alone = now
	case now.Sub(d.alone) >= openAgainAfter:
		d.alone = time.Time{}
		g.poisoned(&raftlog.SpaceError{Path: "the log of " + g.name + ", which nobody leads", Err: syscall.ENOSPC})
	}
}

// doubt is of the beat alone.
type doubt struct {
	alone time.Time // since when a replica that waits for space has had no leader

	lead, term uint64
	since      time.Time
	wait       time.Duration
}

// doubtLeader has a follower forget a leader that is none. Its broker lives, so nothing else would tell: its last words got lost although they
// were said more than once, or a late message brought it back to mind. The follower would turn all PreVotes away for raft's slow time-out, and
// with it the group could be without a leader as long.
func (h *Host) doubtLeader(g *Group, v *view, now time.Time) {
	d := &g.doubt
	if v.role != RoleFollower || v.lead == 0 || v.leadBroker == 0 || !h.live.hears(v.leadBroker) {
		d.since = time.Time{}
		return
	}
	if !h.leaders.denies(v.leadBroker, g.id, v.term) {
		d.since, d.wait = time.Time{}, 0
		return
	}
	d.wait = max(d.wait, doubtAfter)
	switch {
	case d.since.IsZero() || d.lead != v.lead || d.term != v.term:
		d.lead, d.term, d.since = v.lead, v.term, now
	case now.Sub(d.since) >= d.wait:
		d.since, d.wait = time.Time{}, min(2*d.wait, doubtMost)
		g.log.Info("forgets a leader that its own broker does not tell of", "lead", v.lead, "broker", v.leadBroker, "term", v.term)
		g.leaderGone(v.lead, v.term)
	}
}
