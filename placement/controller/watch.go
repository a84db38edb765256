package controller

import (
	"time"

	"github.com/runnel-io/runnel/placement"
)

// topicWatch notices which topics of the state changed, so that a change costs O(topics) and not O(partitions): a State shares with the
// one before what did not change.
type topicWatch struct {
	state   *placement.State // seen last
	topics  map[string]*watchedTopic
	next    time.Time // not before this, so that many changes of a large state cost no more than a share of the time
	version uint64
}

type watchedTopic struct {
	t       *placement.Topic
	version uint64
}

// dutyShare is what the loop may spend of the time on looking through the whole state: one part in so many.
const dutyShare = 20

func newTopicWatch() topicWatch { return topicWatch{topics: map[string]*watchedTopic{}} }

// watchTopics looks for new moves in the topics that changed.
func (d *driver) watchTopics(now time.Time, s *placement.State) {
	w := &d.topics
	if w.state == s {
		return
	}
	if now.Before(w.next) {
		d.dueAt(w.next)
		return
	}
	w.state = s
	w.version++
	d.planner.dirty = true
	for name, t := range s.Topics {
		k := w.topics[name]
		if k == nil {
			k = &watchedTopic{}
			w.topics[name] = k
		}
		k.version = w.version
		if k.t == t {
			continue
		}
		k.t = t
		for n := range t.Partitions {
			if t.Partitions[n].Move != nil {
				d.adopt(now, t, int32(n)) //nolint:gosec // bounded by MaxPartitions
			}
		}
	}
	if len(w.topics) > len(s.Topics) {
		for name, k := range w.topics {
			if k.version != w.version {
				delete(w.topics, name)
			}
		}
	}
	w.next = now.Add(dutyShare * d.cfg.Env.Now().Sub(now))
}
