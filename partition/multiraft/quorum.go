package multiraft

import (
	"slices"
	"time"

	"go.etcd.io/raft/v3/raftpb"
)

// quorumLostAfter is how long a leader may be without a quorum of heartbeats before it stops leading (RULES 16).
const quorumLostAfter = time.Second

// quorum tells whether ok holds for a majority of the voters: of both halves in a joint configuration.
func quorum(cs *raftpb.ConfState, ok func(replica uint64) bool) bool {
	return majority(cs.GetVoters(), ok) && majority(cs.GetVotersOutgoing(), ok)
}

func majority(ids []uint64, ok func(uint64) bool) bool {
	if len(ids) == 0 {
		return true
	}
	n := 0
	for _, id := range ids {
		if ok(id) {
			n++
		}
	}
	return n > len(ids)/2
}

// voters gives all voters of a configuration, rising.
func voters(cs *raftpb.ConfState) []uint64 {
	vs := slices.Clone(cs.GetVoters())
	for _, id := range cs.GetVotersOutgoing() {
		if !slices.Contains(vs, id) {
			vs = append(vs, id)
		}
	}
	slices.Sort(vs)
	return vs
}

// quorumWithin tells whether packets passed both ways within d between this broker and those of a majority of the
// voters.
func (l *liveness) quorumWithin(cs *raftpb.ConfState, members map[uint64]int32, replica uint64, now time.Time, d time.Duration) bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return quorum(cs, func(id uint64) bool {
		return id == replica || l.withinLocked(members[id], now, d)
	})
}

// hearing is whether all brokers were heard lately: then so was a majority of each group whose voters are on these, and
// with thousands of groups nobody wants to count it for each, ten times a second.
type hearing struct {
	all bool
	gen uint64 // of the list of brokers
}

// allWithin tells whether packets passed both ways within d between this broker and every other.
func (l *liveness) allWithin(now time.Time, d time.Duration) hearing {
	l.mu.RLock()
	defer l.mu.RUnlock()
	for _, id := range l.ids {
		if !l.withinLocked(id, now, d) {
			return hearing{}
		}
	}
	return hearing{all: true, gen: l.gen}
}

// footing is where a group's voters were last found to be all on listed brokers. Owned by the beat.
type footing struct {
	conf    *raftpb.ConfState
	members *map[uint64]int32
	gen     uint64
	listed  bool
}

// covers tells whether a group's voters are all on brokers that were heard.
func (r hearing) covers(g *Group, v *view) bool {
	if !r.all {
		return false
	}
	f, members := &g.footing, g.members.m.Load()
	if f.conf != v.conf || f.members != members || f.gen != r.gen {
		*f = footing{conf: v.conf, members: members, gen: r.gen, listed: g.live.lists(v.conf, g.members.get(), g.replica)}
	}
	return f.listed
}

// lists tells whether all voters are on brokers that are listed.
func (l *liveness) lists(cs *raftpb.ConfState, members map[uint64]int32, replica uint64) bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	for _, id := range voters(cs) {
		if b := members[id]; id != replica && b != l.self && l.peers[b] == nil {
			return false
		}
	}
	return true
}

// rank tells how many live voters come before the replica, by rising id, and whether it is a voter at all. Of thousands of groups
// without a leader it is asked every few milliseconds: it allocates nothing.
func (l *liveness) rank(cs *raftpb.ConfState, members map[uint64]int32, replica uint64, now time.Time) (rank int, voter bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	incoming := cs.GetVoters()
	count := func(id uint64) {
		switch {
		case id == replica:
			voter = true
		case id < replica && l.withinLocked(members[id], now, l.silent):
			rank++
		}
	}
	for _, id := range incoming {
		count(id)
	}
	for _, id := range cs.GetVotersOutgoing() {
		if !slices.Contains(incoming, id) {
			count(id)
		}
	}
	if !voter {
		return 0, false
	}
	return rank, true
}
