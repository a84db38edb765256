package multiraft

import (
	"sync"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/tracker"
)

type statusBox struct {
	mu sync.Mutex
	s  Status
}

// ends gives the last index of the log and the last applied one, without copying the rest.
func (b *statusBox) ends() (last, applied uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.s.Last, b.s.Applied
}

func (b *statusBox) commit() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.s.Commit
}

// Status is a snapshot as of the worker's last run; Peers may be older by nurseAfter, but for which of their brokers live, which is as of now:
// nothing happens in an idle group when a broker dies.
func (g *Group) Status() Status {
	g.status.mu.Lock()
	s := g.status.s
	g.status.mu.Unlock()
	if s.Peers == nil {
		return s
	}
	peers, members := make(map[uint64]PeerStatus, len(s.Peers)), g.members.get()
	for id, p := range s.Peers {
		p.Active = p.RecentActive && g.live.alive(members[id])
		p.CaughtUp = p.CaughtUp && p.Active
		peers[id] = p
	}
	s.Peers = peers
	return s
}

// publish renews what Status shows.
func (g *Group) publish() {
	s := Status{
		Role: g.role, Term: g.term, Lead: g.lead, LeadBroker: g.members.broker(g.lead), Session: g.session,
		Commit: g.commit, Applied: g.applied, Last: g.last, Conf: g.conf,
		Changing: g.session && (g.confChange != nil || !g.settled()),
	}
	fresh := false
	g.peersStale = g.role == RoleLeader
	if g.role == RoleLeader && g.rn != nil {
		if now := g.env.Now(); now.Sub(g.peersAt) >= peersEvery {
			g.peersAt = now
			fresh = true
			g.peersStale, g.lagging, g.peersMatch = false, false, 0
			s.PeersFloor, g.peersCommit = g.peersCommit, g.commit
			s.Peers = make(map[uint64]PeerStatus)
			marks := g.marks()
			g.rn.WithProgress(func(id uint64, typ raft.ProgressType, p tracker.Progress) {
				if id != g.replica {
					g.peersMatch += p.Match
					g.lagging = g.lagging || p.Match < g.last && g.live.hears(g.members.broker(id))
					_, refused := g.snapshots[id]
					marked := marks[id].marked
					if p.RecentActive {
						marked = g.ticks
					} else {
						p.RecentActive = marked != 0 && g.ticks-marked <= markTicks
					}
					s.Peers[id] = PeerStatus{Match: p.Match, Next: p.Next, State: p.State.String(),
						RecentActive: p.RecentActive, marked: marked, Learner: typ == raft.ProgressTypeLearner,
						CaughtUp: g.caughtUpAt(&p, s.PeersFloor), Behind: refused && p.State != tracker.StateReplicate}
				}
			})
		}
	}
	g.noteWaiting()
	g.status.mu.Lock()
	defer g.status.mu.Unlock()
	if !fresh && g.role == RoleLeader && g.status.s.Term == g.term {
		s.Peers, s.PeersFloor = g.status.s.Peers, g.status.s.PeersFloor
	}
	g.status.s = s
}

// marks gives the peers as they were shown last in this term. Each of raft's checks of the quorum takes all marks of activity away, and they come
// back with the next answers. Shown as it is, that moment would stay in the Status of an idle group for half a second, with a leader that
// hears nobody.
func (g *Group) marks() map[uint64]PeerStatus {
	if last := &g.status.s; last.Role == RoleLeader && last.Term == g.term { // written by this worker alone
		return last.Peers
	}
	return nil
}

// showView renews what the host's other tasks see.
func (g *Group) showView() {
	g.view.Store(&view{
		role: g.role, term: g.term, lead: g.lead, leadBroker: g.members.broker(g.lead),
		session: g.session, conf: g.conf, delay: g.delay, stopped: g.stopping, since: g.leaderSince,
		foundUntil: g.foundUntil, notBefore: g.notBefore,
	})
}
