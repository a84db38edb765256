package multiraft

import (
	"slices"

	"go.etcd.io/raft/v3/raftpb"
)

// A change of the voters is applied by the leader at once and is safe from then on, but that it was committed reaches a disk only with a
// later entry: commit alone never causes a write. So after a power cut, or when the leader alone knew, the new voters would find
// themselves in the old configuration, or in the joint one, and need the votes of replicas that may be deleted by then. Hence a change is
// settled only once an entry is committed that was appended when it was known as committed: every replica that holds such an
// entry has stored with it, in one transaction, a commit at or above the change, since a MsgApp with the entry tells that much. A
// majority of the new voters holds it, and so, whichever of them are left, only one that knows can win an election among a majority
// of them.

// noteVoters takes note of an applied change; before is the configuration up to it. A change into a joint configuration takes no vote
// away, nor does one of learners: they need not be settled.
func (g *Group) noteVoters(before *raftpb.ConfState, index uint64) {
	after := g.conf
	if len(after.GetVotersOutgoing()) > 0 ||
		slices.Equal(before.GetVoters(), after.GetVoters()) && len(before.GetVotersOutgoing()) == 0 {
		return
	}
	if g.role == RoleLeader && index > g.ledFrom {
		g.settleAbove = g.last // what is in the log by now was sent without that knowledge
	}
}

// ledNow begins a leadership. Its first entry settles what is known as committed by now, and it is applied before the session begins.
func (g *Group) ledNow() { g.ledFrom, g.settleAbove = g.commit, 0 }

// settled tells whether the newest change of the voters is; of a leader in session.
func (g *Group) settled() bool { return g.settleAbove == 0 || g.commit > g.settleAbove }

// settle proposes an empty entry to settle a change, unless some entry follows it already. It tells whether it did. A proposal that is
// dropped, as during a transfer, is made again at a later run, at the latest after a tick.
func (g *Group) settle() bool {
	if !g.session || g.settleAbove == 0 || g.last > g.settleAbove || g.dropped || !g.mayPropose() {
		return false
	}
	return g.propose([]*raftpb.Entry{{}}) == nil
}
