package agent

import (
	"fmt"
	"maps"
	"slices"

	"github.com/runnel-io/runnel/partition/env/mutant"
	"github.com/runnel-io/runnel/placement"
)

// wasRecovered tells whether the controller group was recovered by hand between two states. The older one may then know commands that were lost,
// so that what the newer one lacks was not taken away by any.
func wasRecovered(s, older *placement.State) bool {
	r, ok := s.ControllerRecovered()
	return ok && r.Revision > older.Revision
}

// setAside stops the replicas of this broker that a state after such a recovery does not name. Their data stays on the disk, as that of any
// replica which no state names: only a committed command deletes data. Where the state does name their group, they may be its majority, and hold
// what those that are named lack: such strays run on, and are run again after a start, until the group has gone on without them.
func (a *Agent) setAside(s *placement.State) {
	rec, _ := s.ControllerRecovered()
	named := map[uint64]bool{}  // by replica id
	groups := map[uint64]part{} // those that may have strays
	for _, t := range s.Topics {
		for n := range t.Partitions {
			p := &t.Partitions[n]
			for _, own := range ofBroker(p, a.cfg.BrokerID) {
				named[own.ID] = true
			}
			if !passed(rec, p) {
				groups[p.Group] = part{t, int32(n), leftBehind(s, p)} //nolint:gosec // bounded by MaxPartitions
			}
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	taken := map[uint64]bool{} // groups of which there is a replica here, which comes before any stray
	for id := range a.onDisk {
		if d := a.onDisk[id]; named[id] && d.quarantine == "" { // one that cannot run must not keep its successor from it
			taken[d.group] = true
		}
	}
	for id, r := range a.replicas {
		switch at, may := groups[r.group]; {
		case named[id] || r.want != wantRun:
		case may && id >= at.from:
			r.stray, taken[r.group] = true, true
		default:
			a.setAsideLocked(r)
		}
	}
	for _, id := range slices.Backward(slices.Sorted(maps.Keys(a.onDisk))) { // of two, the newer one
		d := a.onDisk[id]
		at, may := groups[d.group]
		if !may || id < at.from || taken[d.group] || d.quarantine != "" || a.replicas[id] != nil || s.Tombstones[id] != nil {
			continue
		}
		taken[d.group] = true
		p := &at.topic.Partitions[at.n]
		r := &replica{id: id, group: d.group, topic: at.topic.Name, number: at.n, settings: a.settingsOf(at.topic), stray: true, members: membersOf(p)}
		r.members[id] = a.cfg.BrokerID
		a.replicas[id] = r
		a.enqueueLocked(r)
	}
}

// part is a partition of a state.
type part struct {
	topic *placement.Topic
	n     int32
	from  uint64 // see leftBehind
}

// passed tells whether a partition's group has gone on since a recovery without those that only lost commands named: they leave with the first
// change of its voters (strangersIn), or by its own recovery.
func passed(r placement.ControllerRecovery, p *placement.Partition) bool {
	return p.Recovered > r.Revision || slices.ContainsFunc(p.Replicas, func(x placement.Replica) bool { return x.ID >= r.Below })
}

// leftBehind is below which id no replica may run that the state does not name: the partition was recovered by hand after a recovery of the
// controller group which made all later replicas get higher ids. Whatever became of that group since, those left behind would be a second
// majority.
func leftBehind(s *placement.State, p *placement.Partition) (below uint64) {
	for _, r := range s.ControllerRecoveries {
		if p.Recovered > r.Revision {
			below = max(below, r.Below)
		}
	}
	return below
}

// endStrays stops those whose group has gone on, or is gone.
func (a *Agent) endStrays(s *placement.State) {
	rec, ok := s.ControllerRecovered()
	if !ok {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, r := range a.replicas {
		if !r.stray || r.want != wantRun {
			continue
		}
		if p := partitionAt(s, r); p == nil || passed(rec, p) || r.id < leftBehind(s, p) {
			a.setAsideLocked(r)
		}
	}
}

func (a *Agent) setAsideLocked(r *replica) {
	r.want = wantAside
	if mutant.On(mutant.StrayDeleted) {
		r.want = wantGone
	}
	if r.live != nil {
		a.unserve(r.live)
	}
	a.enqueueLocked(r)
}

// aside stops a replica and forgets it. Everything in it may be repeated.
func (a *Agent) aside(r *replica) error {
	if ended, err := a.endInstall(r); !ended || err != nil {
		return err // the end of the install comes back here
	}
	a.mu.Lock()
	open := r.live
	a.mu.Unlock()
	if open != nil {
		if err := a.halt(open); err != nil {
			return fmt.Errorf("set it aside: %w", err)
		}
	}
	a.log.Warn("a replica was stopped that the controller's state does not name since it was recovered by hand; its data is left alone",
		"topic", r.topic, "partition", r.number, "group", r.group, "replica", r.id)
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.replicas, r.id)
	delete(a.faulty, r.id)
	return nil
}
