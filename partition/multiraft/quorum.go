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

// rank tells how many live voters come before the replica in ConfState order, and whether it is a voter at all.
func (l *liveness) rank(cs *raftpb.ConfState, members map[uint64]int32, replica uint64, now time.Time) (rank int, voter bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	for _, id := range voters(cs) {
		if id == replica {
			return rank, true
		}
		if l.withinLocked(members[id], now, l.silent) {
			rank++
		}
	}
	return 0, false
}
