package sim

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/runnel-io/runnel/placement"
	"github.com/runnel-io/runnel/placement/controller"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// topics are those made and deleted while faults go on, and what their makers were told.
type topics struct {
	next    int
	made    map[string]*placement.Topic
	deleted map[string]uint64 // acknowledged
	unsure  map[string]bool
	busy    bool
}

// createNow creates a topic and waits.
func (c *Cluster) createNow(name string, partitions int, config map[string]string) *placement.Topic {
	var got *placement.Topic
	var create func()
	create = func() {
		b := c.anyBoot()
		if b == nil {
			c.w.After(joinEvery, create)
			return
		}
		c.do(b, controller.CreateTopic{Name: name, Partitions: partitions, RF: 3, Config: config, RequestID: "create " + name}, func(r controller.Response, err error) {
			if err != nil {
				c.w.Trace("topic %s: %v", name, err)
				c.w.After(joinEvery, create)
				return
			}
			got = r.Topic
		})
	}
	create()
	c.until(func() bool { return got != nil }, 30*time.Second)
	return got
}

// startTopics creates and deletes small topics until the spell is over.
func (c *Cluster) startTopics() {
	c.topics.made, c.topics.deleted, c.topics.unsure = map[string]*placement.Topic{}, map[string]uint64{}, map[string]bool{}
	var turn func()
	turn = func() {
		if c.healed {
			return
		}
		c.w.After(time.Duration(300+c.w.Rand().Int64N(1200))*time.Millisecond, turn)
		b := c.anyBoot()
		if b == nil || c.topics.busy {
			return
		}
		names := slices.Sorted(maps.Keys(c.topics.made))
		if len(names) > 0 && c.w.Rand().Int64N(5) < 2 || len(names) > 4 {
			c.deleteTopic(b, names[c.w.Rand().Int64N(int64(len(names)))])
			return
		}
		c.createTopic(b)
	}
	turn()
}

func (c *Cluster) createTopic(b *boot) {
	t := &c.topics
	t.next++
	t.busy = true
	name := fmt.Sprintf("small%d", t.next)
	c.w.Trace("topic %s: to be created by m%d", name, b.m.n)
	c.do(b, controller.CreateTopic{Name: name, Partitions: 1 + int(c.w.Rand().Int64N(2)), RF: 3, RequestID: name}, func(r controller.Response, err error) {
		t.busy = false
		c.w.Trace("topic %s: created by m%d: %v", name, b.m.n, err)
		switch {
		case err == nil && r.Topic != nil:
			c.report.Topics++
			t.made[name] = r.Topic
		case !definite(err):
			t.unsure[name] = true
		}
	})
}

func (c *Cluster) deleteTopic(b *boot, name string) {
	t := &c.topics
	t.busy = true
	id := t.made[name].ID
	delete(t.made, name)
	c.w.Trace("topic %s: to be deleted by m%d", name, b.m.n)
	c.do(b, controller.DeleteTopic{Name: name, ID: id}, func(_ controller.Response, err error) {
		t.busy = false
		c.w.Trace("topic %s: deleted by m%d: %v", name, b.m.n, err)
		if err != nil {
			t.unsure[name] = true
			if definite(err) {
				c.violate("I18", "topic %s was there, and its deletion is refused: %v", name, err)
			}
			return
		}
		c.report.Deleted++
		t.deleted[name] = id
	})
}

func definite(err error) bool {
	var e *runnelv1.Error
	return errors.As(err, &e) && e.GetKind() == runnelv1.ErrorKind_ERROR_KIND_DEFINITE
}

// verifyTopics checks I18.
func (c *Cluster) verifyTopics() {
	s := c.newest()
	for _, name := range slices.Sorted(maps.Keys(c.topics.made)) {
		if t := s.Topics[name]; t == nil || t.ID != c.topics.made[name].ID {
			c.violate("I18", "topic %s was acknowledged and is not there", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.topics.deleted)) {
		if t := s.Topics[name]; t != nil {
			c.violate("I18", "the deletion of topic %s was acknowledged and it is there", name)
		}
	}
	for _, m := range c.machines {
		if m.up == nil || m.disk.failed > 0 {
			continue
		}
		want := map[uint64]bool{}
		for _, t := range s.Topics {
			for _, p := range t.Partitions {
				if r, ok := p.On(m.up.id); ok {
					want[r.ID] = true
				}
			}
		}
		for _, r := range m.up.store.Replicas() {
			if r.Group == placement.ControllerGroup {
				continue
			}
			if !want[r.Replica] {
				c.violate("I18", "m%d still holds replica %d of group %d, which was deleted", m.n, r.Replica, r.Group)
			}
			delete(want, r.Replica)
		}
		for _, id := range slices.Sorted(maps.Keys(want)) {
			c.violate("I18", "m%d has no replica %d, which the state has there", m.n, id)
		}
	}
}
