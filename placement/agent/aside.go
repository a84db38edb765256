package agent

import (
	"fmt"

	"github.com/runnel-io/runnel/placement"
)

// wasRecovered tells whether the controller group was recovered by hand between two states. The older one may then know commands that were lost,
// so that what the newer one lacks was not taken away by any.
func wasRecovered(s, older *placement.State) bool {
	r, ok := s.ControllerRecovered()
	return ok && r.Revision > older.Revision
}

// setAside stops the replicas of this broker that a state after such a recovery does not name. Their data stays on the disk, as that of any
// replica which no state names: only a committed command deletes data.
func (a *Agent) setAside(s *placement.State) {
	named := map[uint64]bool{}
	for _, t := range s.Topics {
		for n := range t.Partitions {
			for _, own := range ofBroker(&t.Partitions[n], a.cfg.BrokerID) {
				named[own.ID] = true
			}
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for id, r := range a.replicas {
		if named[id] || r.want != wantRun {
			continue
		}
		r.want = wantAside
		if r.live != nil {
			a.unserve(r.live)
		}
		a.enqueueLocked(r)
	}
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
