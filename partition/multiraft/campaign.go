package multiraft

import (
	"slices"
	"time"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
)

// keptPreVote is a PreVote that raft ignored because this replica still has a leader. Of two followers of a dead leader, the
// first to notice asks before the second has noticed; without the answer it would try again only after 300 ms.
// Answering late is harmless: a PreVote promises nothing.
type keptPreVote struct {
	m  *raftpb.Message
	at time.Time
}

// maxPreVotes bounds the kept ones: one for each of as many voters.
const maxPreVotes = 8

// keepPreVote keeps a PreVote that raft is about to ignore.
func (g *Group) keepPreVote(m *raftpb.Message) {
	if m.GetType() != raftpb.MsgPreVote {
		return
	}
	// What raft is now, and not as of the last syncRole: a late message of the dead leader may have come just before.
	st := g.rn.BasicStatus()
	if st.RaftState != raft.StateFollower || st.Lead == 0 || m.GetTerm() <= st.GetTerm() {
		return
	}
	if st.Lead == m.GetFrom() {
		// The leader itself asks: it leads no longer, and that it said so got lost.
		g.overLead, g.overTerm = st.Lead, st.GetTerm()
		g.forgetOver()
		return
	}
	k := keptPreVote{m, g.env.Now()}
	for i := range g.preVotes {
		if g.preVotes[i].m.GetFrom() == m.GetFrom() {
			g.preVotes[i] = k
			return
		}
	}
	if len(g.preVotes) < maxPreVotes {
		g.preVotes = append(g.preVotes, k)
	}
}

// leaderGone has the replica forget its leader, if that is the one and leads no later term: without it raft ignores
// PreVotes until an election timeout passed (RULES 21).
func (g *Group) leaderGone(lead, term uint64) {
	if lead == g.replica {
		return
	}
	g.do(func() {
		g.goneLead, g.goneTerm = lead, term
		g.forgetGone()
	})
}

// forgetGone forgets the leader that is gone, at once and after the messages of this run: one of its own may be among them.
func (g *Group) forgetGone() {
	st := g.rn.BasicStatus()
	if st.Lead != g.goneLead || st.GetTerm() > g.goneTerm || st.RaftState != raft.StateFollower {
		return
	}
	if err := g.rn.ForgetLeader(); err != nil {
		g.log.Debug("forgetting the leader", "error", err)
	}
	now := g.env.Now()
	kept := g.preVotes
	g.preVotes = nil
	for _, k := range kept {
		if now.Sub(k.at) < keptPreVotes {
			g.step(k.m)
		}
	}
}

// noLead is what a leader itself says of its end in a term. It is final, unlike silence: nobody leads a term twice. And it
// overtakes: appends of that leader may still be under way on the other lane, and each would make raft take it for the leader again,
// with a lease that turns PreVotes away for all of raft's slow time-out. So the term is remembered. It is said several times.
func (g *Group) noLead(lead, term uint64) {
	v := g.view.Load()
	if g.overSaid.Load() >= term && v.lead != lead || v.term > term {
		return
	}
	g.do(func() {
		if term >= g.overTerm {
			g.overLead, g.overTerm = lead, term
			g.overSaid.Store(term)
		}
	})
	g.leaderGone(lead, term)
}

// forgetOver forgets a leader that has said that it leads no longer, when a late message of its has brought it back.
func (g *Group) forgetOver() {
	if g.overLead == 0 {
		return
	}
	st := g.rn.BasicStatus()
	switch {
	case st.GetTerm() > g.overTerm:
		g.overLead = 0
	case st.Lead == g.overLead && st.GetTerm() == g.overTerm && st.RaftState == raft.StateFollower:
		if err := g.rn.ForgetLeader(); err != nil {
			g.log.Debug("forgetting the leader", "error", err)
		}
	}
}

// campaign starts an election, unless that would do harm.
func (g *Group) campaign() {
	now := g.env.Now()
	switch {
	case g.role == RoleLeader, g.term >= maxTerm:
		return
	case g.role == RoleCandidate && now.Sub(g.candidateSince) < candidateMin && g.canWin():
		return
	case g.appends.age(now) > stallAfter, g.OutOfSpace(): // it could not even vote for itself
		return
	case !slices.Contains(voters(g.conf), g.replica):
		return
	}
	g.metrics.campaigns.Inc()
	if err := g.rn.Campaign(); err != nil {
		g.log.Debug("campaigning", "error", err)
	}
}

// countRefusal takes note of a vote that was refused to this candidate. If it cannot win any more it stands again soon: of three
// voters without their leader, two can stand in one term, and each waits for the vote of the dead one. The wait is by chance,
// so that they do not meet again.
func (g *Group) countRefusal(m *raftpb.Message) {
	if m.GetType() != raftpb.MsgVoteResp || !m.GetReject() || g.role != RoleCandidate || m.GetTerm() != g.term {
		return
	}
	if g.refusedTerm != g.term {
		g.refusedTerm, g.refusedBy = g.term, g.refusedBy[:0]
	}
	if !slices.Contains(g.refusedBy, m.GetFrom()) {
		g.refusedBy = append(g.refusedBy, m.GetFrom())
	}
	if !g.canWin() {
		g.elections.soon(g, time.Duration(g.env.Int64N(int64(standAgain))))
	}
}

// canWin tells whether a candidate may still get a majority: from the voters that live and have not refused.
func (g *Group) canWin() bool {
	return quorum(g.conf, func(id uint64) bool {
		refused := g.refusedTerm == g.term && slices.Contains(g.refusedBy, id)
		return id == g.replica || !refused && g.live.hears(g.members.broker(id))
	})
}

// counterStand has this replica stand when it refuses another's PreVote although no leader is heard: its log or its term is
// newer, so it can win where the other cannot.
func (g *Group) counterStand(responses []*raftpb.Message) {
	if g.role == RoleCandidate || g.lead != 0 && g.live.hears(g.members.broker(g.lead)) {
		return
	}
	for _, r := range responses {
		if r.GetType() == raftpb.MsgPreVoteResp && r.GetReject() {
			g.elections.soon(g, 0)
		}
	}
}
