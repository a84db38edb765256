package controller

import (
	"time"

	"github.com/runnel-io/runnel/placement"
)

// topicWatch notices which topics of the state changed, so that a change costs O(topics) and not O(partitions): a State shares with the
// one before what did not change.
type topicWatch struct {
	state *placement.State // seen last
	next  time.Time        // not before this, so that many changes of a large state cost no more than a share of the time
}

// dutyShare is what the loop may spend of the time on looking through the whole state: one part in so many.
const dutyShare = 20

// watchTopics looks for new moves in the topics that changed.
func (d *driver) watchTopics(now time.Time, s *placement.State) {
	w := &d.topics
	before := w.state
	if before == s {
		return
	}
	if now.Before(w.next) {
		d.dueAt(w.next)
		return
	}
	w.state = s
	d.planner.dirty = true
	for name, t := range s.Topics {
		if before != nil && before.Topics[name] == t {
			continue
		}
		for n := range t.Partitions {
			if t.Partitions[n].Move != nil {
				d.adopt(now, t, int32(n)) //nolint:gosec // bounded by MaxPartitions
			}
		}
	}
	w.next = now.Add(dutyShare * d.cfg.Env.Now().Sub(now))
}
