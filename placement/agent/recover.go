package agent

import (
	"fmt"
	"slices"

	"github.com/runnel-io/runnel/partition/multiraft"
	"github.com/runnel-io/runnel/placement"
)

// recovery is one by hand (RULES 30) that a replica which was kept has to take up: the lost replicas leave its configuration without
// being asked.
type recovery struct {
	revision uint64 // 0 = none
	lost     []uint64
	// guess is set if the state no longer tells who was lost: whoever is known to have been in the group and is not any more. It is the
	// partition's only replica then, so nobody can be taken for lost who still has a say.
	guess bool
}

// recoveryOf finds the recovery of a partition that concerns a replica. A replica that was installed later has nothing to take up: its
// log has the configuration after it.
func recoveryOf(s *placement.State, t *placement.Topic, n int32, own uint64) recovery {
	p := &t.Partitions[n]
	if p.Recovered == 0 {
		return recovery{}
	}
	r := recovery{revision: p.Recovered}
	known := false
	for i := range s.Recoveries {
		q := &s.Recoveries[i]
		if q.TopicID != t.ID || q.Partition != n {
			continue
		}
		known = known || q.Revision == p.Recovered
		if q.Kept == own {
			r.lost = append(r.lost, q.Lost...)
		}
	}
	switch {
	case len(r.lost) > 0:
		return r
	case known: // another one was kept
		return recovery{}
	case len(p.Replicas) == 1 && p.Replicas[0].ID == own:
		r.guess = true // too many were recovered since for the state to name them all
		r.lost = slices.DeleteFunc(slices.Clone(p.Founders), func(id uint64) bool { return id == own })
		for id, d := range s.Tombstones {
			if d.Group == p.Group && id != own {
				r.lost = append(r.lost, id)
			}
		}
		return r
	}
	return recovery{} // its leader has changed the voters since, so it was taken up
}

// strangers are those of a configuration that are no replicas of the partition.
func strangers(conf []uint64, members map[uint64]int32) (out []uint64) {
	for _, id := range conf {
		if _, ok := members[id]; !ok && !slices.Contains(out, id) {
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
	if err := a.recoverLog(r, rec.lost); err != nil || rec.guess {
		return err
	}
	a.tookUp(r, rec)
	return nil
}

// recoverStarted does so for a replica whose lost companions the state no longer names: those in its configuration that are no replicas of
// the partition, which is known once it was started. again tells that it was, once more, by now.
func (a *Agent) recoverStarted(r *replica, g *multiraft.Group) (again bool, err error) {
	a.mu.Lock()
	rec, members := r.recovery, r.members
	pending := rec.revision > r.recovered
	a.mu.Unlock()
	if !pending {
		return false, nil
	}
	conf := g.Status().Conf // of the checkpoint: the changes after it are applied again
	lost := strangers(slices.Concat(conf.GetVoters(), conf.GetVotersOutgoing(), conf.GetLearners(), conf.GetLearnersNext()), members)
	if len(lost) > 0 {
		if err := a.host.StopGroup(r.group); err != nil {
			return false, fmt.Errorf("stop the replica: %w", err)
		}
		if err := a.recoverLog(r, lost); err != nil {
			return false, err
		}
		a.tookUp(r, rec)
		return true, a.run(r, false)
	}
	a.tookUp(r, rec)
	return false, nil
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
