package sim

import (
	"go.etcd.io/raft/v3/raftpb"

	"github.com/runnel-io/runnel/placement"
)

// elections watches raft's messages for I15, and for I19 who sends them.
type elections struct {
	c       *Cluster
	leaders map[groupTerm]uint64    // who sent as leader
	votes   map[voterTerm]uint64    // whom a replica voted for
	durable map[groupReplica]uint64 // highest term that a replica promised by a message which follows a write
	told    map[groupTerm]bool      // two leaders were reported
	booted  map[groupReplica]uint64 // durable as of the replica's newest start
	wiped   map[groupReplica]bool   // whose disk is gone
	where   map[uint64]int32        // on which broker a replica is, as the states said
}

type (
	groupTerm    struct{ group, term uint64 }
	groupReplica struct{ group, replica uint64 }
	voterTerm    struct{ group, replica, term uint64 }
)

func newElections(c *Cluster) *elections {
	return &elections{
		c: c, told: map[groupTerm]bool{}, leaders: map[groupTerm]uint64{}, votes: map[voterTerm]uint64{}, durable: map[groupReplica]uint64{},
		booted: map[groupReplica]uint64{}, wiped: map[groupReplica]bool{}, where: map[uint64]int32{},
	}
}

func (e *elections) sent(group uint64, m *raftpb.Message) {
	from, term := m.GetFrom(), m.GetTerm()
	r := groupReplica{group, from}
	if len(e.wiped) > 0 {
		e.c.facts["I19"]++
		if e.wiped[r] {
			e.c.violate("I19", "group %d: replica %d speaks, and its disk was wiped", group, from)
		}
	}
	switch m.GetType() {
	case raftpb.MsgApp, raftpb.MsgHeartbeat, raftpb.MsgTimeoutNow:
		e.c.facts["I15"]++
		k := groupTerm{group, term}
		if was, ok := e.leaders[k]; ok && was != from && !e.told[k] {
			e.told[k] = true
			e.c.violate("I15", "group %d: replicas %d and %d both lead in term %d", group, was, from, term)
		} else if !ok {
			e.leaders[k] = from
			e.c.w.Trace("group %d: replica %d leads in term %d", group, from, term)
		}
		return
	case raftpb.MsgVoteResp:
		if m.GetReject() {
			return
		}
		k := voterTerm{group, from, term}
		if was, ok := e.votes[k]; ok && was != m.GetTo() {
			e.c.violate("I15", "group %d: replica %d voted in term %d for %d and for %d", group, from, term, was, m.GetTo())
		}
		e.votes[k] = m.GetTo()
	case raftpb.MsgAppResp:
		if m.GetReject() {
			return
		}
	default:
		return
	}
	e.c.facts["I15"]++
	if term < e.booted[r] {
		e.c.violate("I15", "group %d: replica %d answers in term %d after a restart, before which it had promised %d", group, from, term, e.booted[r])
	}
	e.durable[r] = max(e.durable[r], term)
}

// restarted notes that what replicas promised so far must have survived.
func (e *elections) restarted(replicas []groupReplica) {
	for _, r := range replicas {
		e.booted[r] = e.durable[r]
	}
}

// wipe notes whose disk is gone: these ids must never be heard again.
func (e *elections) wipe(replicas []groupReplica) {
	for _, r := range replicas {
		e.wiped[r] = true
	}
}

// named checks that an id of a replica is used once: no state names it on another broker than the states before.
func (e *elections) named(s *placement.State) {
	for _, name := range s.TopicNames() {
		for n := range s.Topics[name].Partitions {
			p := &s.Topics[name].Partitions[n]
			for _, r := range p.All() {
				if was, known := e.where[r.ID]; known && was != r.Broker {
					e.c.violate("I19", "%s/%d: replica %d is on broker %d, and was on broker %d", name, n, r.ID, r.Broker, was)
				}
				e.where[r.ID] = r.Broker
			}
		}
	}
}
