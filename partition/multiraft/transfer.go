package multiraft

import (
	"time"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"go.etcd.io/raft/v3/tracker"

	"github.com/runnel-io/runnel/partition/env"
)

// transfer is one under way. While it is, raft drops proposals, so Turn is not called: the machine's queue waits.
type transfer struct {
	to    uint64
	timer env.Timer
	done  func(ok bool) // may be nil
}

// startTransfer hands the leadership to another replica and gives up after limit.
func (g *Group) startTransfer(to uint64, limit time.Duration, done func(ok bool)) {
	if done == nil {
		done = func(bool) {}
	}
	if g.role != RoleLeader || to == g.replica || to == 0 {
		done(false)
		return
	}
	// The others have no space either, as far as is known: their votes, and the first words of a successor, would wait for it.
	if short := g.appends.short.Load(); short != 0 && g.commit < short {
		done(false)
		return
	}
	g.endTransfer(false)
	g.rn.TransferLeader(to)
	if g.rn.BasicStatus().LeadTransferee != to { // a learner, or nobody
		done(false)
		return
	}
	t := &transfer{to: to, done: done}
	g.transfer = t
	t.timer = g.env.AfterFunc(limit, func() {
		g.do(func() {
			if g.transfer == t {
				g.endTransfer(false)
			}
		})
	})
}

// endTransfer ends the transfer under way, if any: it succeeded or is given up.
func (g *Group) endTransfer(ok bool) {
	t := g.transfer
	if t == nil {
		return
	}
	g.transfer = nil
	t.timer.Stop()
	result := transferDone
	if !ok {
		result = transferGivenUp
		g.rn.TransferLeader(g.replica) // the only way to end one; else proposals drop for an election timeout (RULES 25)
		g.turnDue = true
	}
	g.metrics.transfers.WithLabelValues(result).Inc()
	g.log.Info("transfer of leadership ended", "to", t.to, "ok", ok, "term", g.term)
	t.done(ok)
}

// maxTransferLag is how many entries a successor may lack: it gets them before it may campaign, and nothing is proposed
// meanwhile.
const maxTransferLag = 256

// successor gives the voter that could lead soonest: active, nearly matched, on a live broker that stays, and without a conf change
// that it may not have applied. 0 if there is none.
func (g *Group) successor() (best uint64) {
	return g.successorOf(func(uint64) bool { return true })
}

// successorOf is successor among those that may.
func (g *Group) successorOf(may func(replica uint64) bool) (best uint64) {
	if g.confChange != nil {
		return 0
	}
	var match uint64
	g.rn.WithProgress(func(id uint64, typ raft.ProgressType, p tracker.Progress) {
		switch {
		case id == g.replica, typ == raft.ProgressTypeLearner, !may(id), !p.RecentActive, p.State != tracker.StateReplicate:
		case p.Match+maxTransferLag < g.last, p.Match < g.confIndex:
		case !g.live.alive(g.members.broker(id)), g.leaving(g.members.broker(id)):
		case p.Match > match:
			best, match = id, p.Match
		}
	})
	return best
}

// stepDown has raft stop leading at once: its check of the quorum clears the marks of activity the first time and finds
// none the second. The only voter of a group keeps leading.
func (g *Group) stepDown(reason string) {
	if g.rn == nil || g.role != RoleLeader { // end has a pending transfer's done called when there is no RawNode any more
		return
	}
	g.log.Warn("steps down", "term", g.term, "reason", reason)
	g.metrics.stepDowns.Inc()
	for range 2 {
		g.step(&raftpb.Message{Type: raftpb.MsgCheckQuorum.Enum(), From: new(raft.LocalAppendThread)})
	}
}

// quorumLost ends a leadership that no quorum of brokers hears of (RULES 16): it can commit nothing, and a successor may
// have been elected.
func (g *Group) quorumLost(term uint64) {
	g.do(func() {
		if g.role == RoleLeader && g.term == term && len(voters(g.conf)) > 1 {
			g.stepDown("no heartbeats from a majority of the voters' brokers for " + quorumLostAfter.String())
		}
	})
}

// stall gives up a leadership whose disk hangs (RULES 22), or is full while others write. Commit is no sign of a hang: followers commit what the
// leader's disk never got. still, if any, tells whether it is so when the worker comes to it.
func (g *Group) stall(why string, still func() bool) {
	g.do(func() {
		now := g.env.Now()
		if still != nil && !still() {
			return
		}
		if g.role != RoleLeader || !g.stalledAt.IsZero() && now.Sub(g.stalledAt) < stallAgain {
			return
		}
		g.stalledAt = now
		g.metrics.stalls.Inc()
		to := g.successor()
		g.log.Error("the disk is of no use; giving up the leadership", "why", why, "term", g.term, "successor", to)
		if to == 0 {
			g.stepDown("its disk hangs or is full, and no follower is ready to take over")
			return
		}
		g.startTransfer(to, stallTransfer, func(ok bool) {
			if !ok {
				g.stepDown("its disk hangs or is full, and the transfer took too long")
			}
		})
	})
}

// stallAgain is how long a stalled leader that could not give up waits before it tries again.
const stallAgain = 5 * time.Second
