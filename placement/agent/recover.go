package agent

import (
	"fmt"
	"slices"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/runnel-io/runnel/placement"
)

// recovery is one by hand (RULES 30) that a replica which was kept has to take up: the lost replicas leave its configuration without
// being asked.
type recovery struct {
	revision uint64 // 0 = none
	lost     []uint64
	// sole is set if the state had this replica as the partition's only one. Then whoever else its log still knows is gone, too, named or
	// not: the log may have slept through the moves that brought the lost ones, or the state may no longer name them.
	sole bool
	// members and below are the partition's replicas, those that a move adds included, and the next id that no replica had yet, when sole was
	// found. A replica with a lower id that is none of the members will never be one again, however old that state was by then: ids are used
	// once. One with a higher id is news to it.
	members map[uint64]int32
	below   uint64
}

// recoveryOf finds the recovery of a partition that concerns a replica. A replica that was installed later has nothing to take up: its
// log has the configuration after it.
func recoveryOf(s *placement.State, t *placement.Topic, n int32, own uint64) recovery {
	p := &t.Partitions[n]
	if p.Recovered == 0 {
		return recovery{}
	}
	r := recovery{revision: p.Recovered}
	another := false // was kept last
	for i := range s.Recoveries {
		q := &s.Recoveries[i]
		if q.TopicID != t.ID || q.Partition != n {
			continue
		}
		another = another || q.Revision == p.Recovered && q.Kept != own
		if q.Kept == own {
			r.lost = append(r.lost, q.Lost...)
		}
	}
	switch {
	case len(r.lost) == 0 && another:
		return recovery{}
	case len(p.Replicas) == 1 && p.Replicas[0].ID == own:
		r.sole, r.members, r.below = true, membersOf(p), s.NextReplica
		return r
	case len(r.lost) > 0:
		return r
	}
	return recovery{} // its leader has changed the voters since, so it was taken up
}

// strangers are those of a configuration that were gone for good when the recovery was found.
func (rec *recovery) strangers(cs *raftpb.ConfState) (out []uint64) {
	for _, id := range slices.Concat(cs.GetVoters(), cs.GetVotersOutgoing(), cs.GetLearners(), cs.GetLearnersNext()) {
		if id >= rec.below {
			return nil // this replica led since, and so took the recovery up
		}
		if _, member := rec.members[id]; !member && !slices.Contains(out, id) {
			out = append(out, id)
		}
	}
	return out
}

// takeUp has a replica that was kept take the lost ones out of its configuration, before it runs. A log that has done so already
// stays as it is.
func (a *Agent) takeUp(r *replica) error {
	a.mu.Lock()
	rec := r.recovery
	pending := rec.revision > r.recovered
	a.mu.Unlock()
	if !pending {
		return nil
	}
	lost := rec.lost
	if rec.sole {
		conf, err := a.store.ConfAtEnd(r.group, r.id)
		if err != nil {
			return fmt.Errorf("look for replicas that are lost: %w", err)
		}
		lost = rec.strangers(conf) // those that are named among them
	}
	if err := a.recoverLog(r, lost); err != nil {
		return err
	}
	a.tookUp(r, rec)
	return nil
}

func (a *Agent) tookUp(r *replica, rec recovery) {
	a.mu.Lock()
	defer a.mu.Unlock()
	r.recovered = rec.revision
}

func (a *Agent) recoverLog(r *replica, lost []uint64) error {
	if len(lost) == 0 {
		return nil
	}
	a.log.Warn("the lost replicas of a partition that was recovered by hand leave its configuration", "topic", r.topic, "partition", r.number,
		"group", r.group, "replica", r.id, "lost", lost)
	if err := a.store.Recover(r.group, r.id, lost); err != nil {
		return fmt.Errorf("recover the replica without %v: %w", lost, err)
	}
	return nil
}
