package controller

import (
	"sync"
	"time"

	"github.com/runnel-io/runnel/placement"
)

const (
	// stuckFor is for how long a partition must have had no leader in session until it may be recovered by hand although a majority of
	// its brokers is alive.
	stuckFor = time.Minute
	// A vigil ends when nobody has asked for so long; more than maxVigils at a time are not kept.
	vigilFor  = 10 * time.Minute
	maxVigils = 256
)

// vigils watch the partitions whose recovery by hand was asked for although a majority of their brokers is alive: with what was lost, a
// group can be stuck all the same, for what its replicas believe to be its configuration. Whether it is shows only in that
// nobody leads it in session. The loop asks about these partitions with each poll. It is used by the loop and by requests.
type vigils struct {
	mu sync.Mutex
	by map[uint64]*vigil // by group
}

type vigil struct {
	topic   string
	topicID uint64
	number  int32
	since   time.Time // when a leader was last seen, or could not be ruled out
	asked   time.Time
}

// vigil tells for how long a partition is known to have had no leader in session. The first time it is asked it begins to watch.
func (c *Controller) vigil(t *placement.Topic, n int32) time.Duration {
	d := c.driving()
	if d == nil {
		return 0
	}
	return d.vigils.keep(c.cfg.Env.Now(), t, n)
}

func (x *vigils) keep(now time.Time, t *placement.Topic, n int32) time.Duration {
	x.mu.Lock()
	defer x.mu.Unlock()
	for group, v := range x.by {
		if now.Sub(v.asked) > vigilFor {
			delete(x.by, group)
		}
	}
	group := t.Partitions[n].Group
	v := x.by[group]
	if v == nil {
		if len(x.by) >= maxVigils {
			return 0
		}
		if x.by == nil {
			x.by = map[uint64]*vigil{}
		}
		v = &vigil{topic: t.Name, topicID: t.ID, number: n, since: now}
		x.by[group] = v
	}
	v.asked = now
	return now.Sub(v.since)
}

// addWanted has every broker with a replica of a watched partition asked for the group.
func (x *vigils) addWanted(s *placement.State, out map[int32]*wanted) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for group, v := range x.by {
		t := s.Topics[v.topic]
		if t == nil || t.ID != v.topicID || t.Partitions[v.number].Group != group {
			delete(x.by, group)
			continue
		}
		p := &t.Partitions[v.number]
		if p.Move != nil {
			continue // asked for by its mover
		}
		for _, r := range p.Replicas {
			if out[r.Broker] == nil {
				out[r.Broker] = &wanted{}
			}
			out[r.Broker].groups = append(out[r.Broker].groups, group)
		}
	}
}

// told takes in which of the groups that a broker was asked for it leads.
func (x *vigils) told(now time.Time, asked []uint64, leads func(group uint64) bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(x.by) == 0 {
		return
	}
	for _, group := range asked {
		if v := x.by[group]; v != nil && leads(group) {
			v.since = now
		}
	}
}
