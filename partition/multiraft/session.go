package multiraft

import (
	"time"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"

	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// syncRole notices changes of role, term and leader after raft was stepped, and begins and ends sessions (RULES 10).
func (g *Group) syncRole() {
	st := g.rn.BasicStatus()
	role, term := roleOf(st.RaftState), st.GetTerm()
	was, wasTerm := g.role, g.term
	changed := role != was || term != wasTerm || st.Lead != g.lead
	g.role, g.term, g.lead = role, term, st.Lead
	if was == RoleLeader && (role != RoleLeader || term != wasTerm) {
		g.ceaseToLead(wasTerm, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_LOST_LEADERSHIP,
			"the leader of %s changed while the write was in flight; the same batch can be sent again", g.name))
	}
	if role == RoleCandidate && (was != RoleCandidate || term != wasTerm) {
		g.candidateSince = g.env.Now()
	}
	if term != wasTerm && st.GetVote() != 0 && st.GetVote() != g.replica {
		g.notBefore = g.env.Now().Add(againAfter)
	}
	if role == RoleLeader && (was != RoleLeader || term != wasTerm) {
		g.leaderSince = g.env.Now()
		g.ledNow()
		g.peersAt, g.peersCommit = time.Time{}, 0 // those of an earlier leadership are too old to judge by
	}
	if changed {
		g.noteHanded()
		if g.lead != 0 {
			g.delay, g.foundUntil = 0, time.Time{}
		}
		g.showView()
		if g.lead == 0 || !g.live.hears(g.members.broker(g.lead)) {
			g.elections.add(g)
		}
		g.leaders.touched()
	}
	if g.role == RoleLeader && !g.session && g.appliedTerm == g.term {
		g.session = true
		g.turnDue = true
		g.metrics.sessions.Inc()
		g.metrics.leaders.Inc()
		g.log.Info("leads", "term", g.term, "next_offset", g.next)
		g.showView()
		g.leaders.leads(g.id, g.term, true)
		g.machine.SessionStarted(g.sessionNow())
		if ho := g.departure.Load(); ho != nil && g.giving == nil {
			ho.arrived(g)
		}
	}
}

func (g *Group) sessionNow() Session {
	return Session{Term: g.term, ClockOK: g.live.clockOK(), NowMS: g.live.nowMS()}
}

// ceaseToLead ends what only a leader has, in the term it led in. Status tells of it before the machine is told: what the machine still
// takes because Status shows a leader, nobody would ever ask for.
func (g *Group) ceaseToLead(term uint64, reason *runnelv1.Error) {
	g.log.Info("leads no longer", "term", term, "session", g.session, "reason", reason.GetMessage())
	g.sayNoLead(term)
	if g.session {
		g.session = false
		g.metrics.leaders.Dec()
		g.leaders.leads(g.id, term, false)
	}
	g.publish()
	g.machine.SessionEnded(reason)
	g.turnDue, g.dropped = false, false
	g.failReads(g.notLeader())
	g.failConf(reason)
	if g.transfer != nil || g.giving != nil {
		// Its successor's term is known from some answer perhaps, and its request for a vote still under way: to stand now would depose it.
		g.notBefore = g.env.Now().Add(againAfter)
	}
	g.endTransfer(true)
	g.proposals.clear()
	clear(g.snapshots)
}

// sayNoLead tells the other members' brokers that the leader of this term is gone, so that they need not wait for
// its silence (RULES 21): now, and with the heartbeats of twice the time in which a broker that hears none takes this one for silent, and
// forgets its leaders by itself.
func (g *Group) sayNoLead(term uint64) {
	until := g.env.Now().Add(2 * g.live.silent)
	n := NoLead{Group: g.id, Replica: g.replica, Term: term}
	told := map[int32]bool{g.self: true}
	for _, id := range g.peers() {
		if b := g.members.broker(id); b != 0 && !told[b] {
			told[b] = true
			g.out.packet(b, LaneControl, &Packet{NoLead: []NoLead{n}})
			g.out.owe(b, n, until)
		}
	}
}

// turn asks the machine for proposals and steps them as one message. Nothing is stepped between the check that this
// replica leads and the proposal.
func (g *Group) turn() {
	g.turnDue = false
	if !g.session || g.dropped {
		return
	}
	if !g.mayPropose() {
		return
	}
	data := g.machine.Turn(g.sessionNow())
	if len(data) == 0 {
		return
	}
	for len(g.proposal) < len(data) {
		g.proposal = append(g.proposal, &raftpb.Entry{})
	}
	es := g.proposal[:len(data):len(data)]
	for i, d := range data {
		es[i].Data = d
	}
	err := g.propose(es)
	for _, e := range es {
		e.Data = nil // raft has its own copy
	}
	g.machine.Proposed(err)
}

// mayPropose tells whether raft still leads in the session's term and hands over to nobody.
func (g *Group) mayPropose() bool {
	st := g.rn.BasicStatus()
	return st.RaftState == raft.StateLeader && st.GetTerm() == g.term && st.LeadTransferee == 0
}

// propose steps entries as one message. After an error all of it was dropped: applied entries make room, a tick looks again.
func (g *Group) propose(es []*raftpb.Entry) error {
	err := g.rn.Step(&raftpb.Message{Type: raftpb.MsgProp.Enum(), From: &g.replica, Entries: es})
	if err != nil {
		g.dropped = true
		g.metrics.proposalDrops.Inc()
		return err
	}
	g.proposals.made(g.env)
	return nil
}

func roleOf(s raft.StateType) Role {
	switch s {
	case raft.StateLeader:
		return RoleLeader
	case raft.StateCandidate:
		return RoleCandidate
	case raft.StatePreCandidate:
		return RolePreCandidate
	}
	return RoleFollower
}
