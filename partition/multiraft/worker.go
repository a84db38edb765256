package multiraft

import (
	"runtime/debug"
	"slices"
	"time"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"

	"github.com/runnel-io/runnel/partition/env/mutant"
)

// run is one turn of the group's worker. The order matters: what came in is stepped first, then the machine is asked for
// proposals with nothing stepped in between (RULES 9), then raft's output is handled until there is none.
func (g *Group) run() {
	defer g.recovered()
	// A page of a mapped file that the disk cannot deliver is a fault, not a crash of the broker (RULES 18).
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))

	box := &g.box
	box.reset()
	g.in.take(box)
	for _, f := range box.control {
		f()
	}
	if g.rn == nil {
		g.refuse(box)
		return
	}
	g.appendsQueued -= box.appendsDone
	for _, m := range box.appended {
		g.step(m)
	}
	for range box.ticks {
		g.onTick()
	}
	for _, m := range box.messages {
		if g.saysNothing(m) {
			continue
		}
		g.keepPreVote(m)
		if m.GetType() == raftpb.MsgPreVote && g.role == RoleLeader && slices.Contains(g.peers(), m.GetFrom()) {
			g.beatAgain() // it does not know that there is a leader: it was opened after the last heartbeat
		}
		g.countRefusal(m)
		g.step(m)
		if g.overLead != 0 && m.GetFrom() == g.overLead {
			g.forgetOver() // at once: the next message may be a PreVote
		}
	}
	if g.goneLead != 0 {
		g.forgetGone()
		g.goneLead = 0
	}
	g.syncRole()
	g.turnDue = g.turnDue || box.turn
	g.reads.waiting = append(g.reads.waiting, box.reads...)
	g.expireRead() // before work, which starts a read for those who wait behind it
	g.trim(box.trimTo)
	g.work()
	g.noteGiven()
	g.publish()
}

// work proposes and handles Readys until raft is quiet, or it is another group's turn.
func (g *Group) work() {
	for i := 0; ; i++ {
		if g.turnDue {
			g.turn()
		}
		g.startRead()
		if !g.rn.HasReady() && !g.settle() {
			return
		}
		if i == maxReady {
			g.task.Wake()
			return
		}
		g.ready(g.rn.Ready())
		g.syncRole()
	}
}

// step gives raft one message. Errors are raft's way to say that it ignores it.
func (g *Group) step(m *raftpb.Message) {
	if err := g.rn.Step(m); err != nil {
		g.log.Debug("raft ignored a message", "type", m.GetType().String(), "error", err)
	}
}

// withVotes has a candidate ask for votes only once its new term and its vote for itself are durable. Raft lets MsgVote go
// at once, since a vote that was asked for promises nothing. But the votes of the others alone make a leader of three: with its term
// lost in a crash it would campaign in the same term again, with a shorter log, and what is still under way from its first
// life would count for the second: votes for the longer log, acknowledgements of entries it no longer has.
func withVotes(write *raftpb.Message, votes []*raftpb.Message) *raftpb.Message {
	if write == nil {
		write = &raftpb.Message{} // nothing new: keeps its place behind what is queued
	}
	write.Responses = slices.Concat(write.GetResponses(), votes)
	return write
}

// saysNothing picks out the answer that raft gives to a heartbeat or an append of an old term: a MsgAppResp without an index,
// meant to tell the sender of the newer term. If the sender leads that term by now, raft would take it for "I match at index
// 0", go on from index 1, find that below the log's start and want to send a snapshot, for ever (rule 19). A real answer has an
// index: every log has the founding checkpoint at 1.
//
// An index above the leader's own last one is as little an answer: what a leader sends leaves through Ready, which g.last follows.
func (g *Group) saysNothing(m *raftpb.Message) bool {
	if m.GetType() != raftpb.MsgAppResp || m.GetReject() || m.GetIndex() != 0 && m.GetIndex() <= g.last {
		return false
	}
	st := g.rn.BasicStatus()
	return m.GetTerm() == st.GetTerm() && (m.GetIndex() == 0 || st.RaftState == raft.StateLeader)
}

// ready handles one Ready: messages leave before the own write (a leader's followers write while it does), then the write is
// queued, then what is committed is applied.
func (g *Group) ready(rd raft.Ready) {
	if n := len(rd.Entries); n > 0 {
		g.last = rd.Entries[n-1].GetIndex()
		g.proposals.placed(g.last)
	}
	if !raft.IsEmptyHardState(rd.HardState) {
		g.commit = rd.HardState.GetCommit()
		g.proposals.committed(g.commit, g.env, g.metrics.commitSeconds)
	}
	g.placedConf(rd.Entries)
	var write, apply *raftpb.Message
	var votes []*raftpb.Message
	for _, m := range rd.Messages {
		switch {
		case m.GetTo() == raft.LocalAppendThread:
			write = m
		case m.GetTo() == raft.LocalApplyThread:
			apply = m
		case m.GetType() == raftpb.MsgVote:
			votes = append(votes, m)
		default:
			g.route(m, &g.sends)
		}
	}
	if mutant.On(mutant.VotesBeforeTerm) {
		g.answer(votes)
	}
	if len(votes) > 0 {
		write = withVotes(write, votes)
	}
	g.flush()
	for _, rs := range rd.ReadStates {
		g.confirmed(rs)
	}
	if write != nil {
		g.counterStand(write.GetResponses())
		g.write(write)
	}
	if apply != nil {
		g.apply(apply)
	}
}

// route puts a message for another replica on its way.
func (g *Group) route(m *raftpb.Message, b *batch) {
	if m.GetType() == raftpb.MsgSnap {
		g.refuseSnapshot(m.GetTo())
		return
	}
	to := g.members.broker(m.GetTo())
	if to == 0 {
		g.metrics.dropped.WithLabelValues(dropNowhere).Inc()
		return
	}
	msg := Message{Group: g.id, Raft: m}
	if idleHeartbeat(m) && g.out.hold(to, msg) {
		return
	}
	b.add(to, laneOf(m.GetType()), msg)
}

// flush sends what was routed and tells raft of appends that were dropped, once a peer.
func (g *Group) flush() {
	g.unreachable = g.unreachable[:0]
	g.sends.send(g.out, func(replica uint64) {
		if !slices.Contains(g.unreachable, replica) {
			g.unreachable = append(g.unreachable, replica)
		}
	})
	for _, id := range g.unreachable {
		g.metrics.unreachable.Inc()
		g.rn.ReportUnreachable(id)
	}
}

// onTick is raft's slow tick, and the group's own slow duties.
func (g *Group) onTick() {
	g.rn.Tick()
	g.ticks++
	g.retrySnapshots(g.env.Now())
	g.turnDue, g.dropped = true, false // whatever kept the last turn back may be over
	g.peersAt = time.Time{}
	// An idle log has upkeep too: a segment that is old enough is closed, or retention would never get at it.
	if g.ticks%maintainTicks == 0 && (g.applied != g.lastUpkeep || g.store.Aged()) {
		g.lastUpkeep = g.applied
		g.appends.maintain()
	}
}

// refuse answers what came for a replica that no longer runs.
func (g *Group) refuse(box *letters) {
	for _, done := range box.reads {
		done(0, g.notLeader())
	}
}

// peerChanged reacts on the leader to a broker that came, went or can be reached again.
func (g *Group) peerChanged(e peerEvent) {
	g.do(func() {
		if g.role != RoleLeader {
			return
		}
		if t := g.transfer; t != nil && (e.down || e.restarted) && g.members.broker(t.to) == e.broker {
			g.endTransfer(false) // it will not answer any more, and proposals wait
		}
		if e.up || e.restarted || e.reached && !e.down {
			g.step(beatNow()) // its replicas answer, and raft sends them what they lack
			return
		}
		for _, id := range g.peers() {
			if g.members.broker(id) == e.broker {
				g.rn.ReportUnreachable(id)
			}
		}
	})
}

// leaderReached has a follower tell its leader, whose broker can be reached again, that it is there: its last answers may be
// lost. It is the answer to a heartbeat, at which raft sends what was not acknowledged; it promises nothing.
func (g *Group) leaderReached(lead, term uint64) {
	g.do(func() {
		if g.role != RoleFollower || g.lead != lead || g.term != term {
			return
		}
		g.route(&raftpb.Message{Type: raftpb.MsgHeartbeatResp.Enum(), From: &g.replica, To: &lead, Term: &term}, &g.sends)
		g.flush()
	})
}

// peers gives the other replicas of the configuration.
func (g *Group) peers() []uint64 {
	ids := append(voters(g.conf), g.conf.GetLearners()...)
	return slices.DeleteFunc(ids, func(id uint64) bool { return id == g.replica })
}

// beatNow is the message at which a leader sends heartbeats. Raft refuses local messages unless they come from one of
// its storage threads.
func beatNow() *raftpb.Message {
	return &raftpb.Message{Type: raftpb.MsgBeat.Enum(), From: new(raft.LocalAppendThread)}
}
