package sim

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/runnel-io/runnel/bench/check"
	"github.com/runnel-io/runnel/placement"
	"github.com/runnel-io/runnel/placement/controller"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// topics are those made while faults go on, unless their deletion was asked for. What their makers were told is in the history.
type topics struct {
	next int
	made map[string]*placement.Topic
}

// operatorLimit bounds a request of an operator.
const operatorLimit = 6 * time.Second

// mains are the topics that clients write to. Of the first nothing may go; of the second old segments do; nothing of the third is old
// enough, whatever a clock says.
var mains = []struct {
	partitions int
	config     map[string]string
	padding    int
}{
	{2, map[string]string{"segment.bytes": "65536"}, 300},
	{1, map[string]string{"segment.bytes": "65536", "retention.bytes": "131072"}, 3000},
	{1, map[string]string{"segment.bytes": "65536", "segment.ms": "500", "retention.ms": fmt.Sprint(agedAfter.Milliseconds())}, 300},
}

// agedAfter is the retention of the third topic: far more than a run takes and clocks differ while they are trusted (RULES 15), and
// less than clocks jump.
const agedAfter = 8 * time.Minute

// makeTopics creates the topics of the workload before faults begin.
func (c *Cluster) makeTopics() bool {
	for i, m := range mains {
		name := fmt.Sprintf("main%d", i)
		if !c.createNow(name, m.partitions, m.config) {
			c.violate("I21", "topic %s could not be created in a sound cluster", name)
			return false
		}
	}
	c.findSlots()
	return true
}

// findSlots makes a slot of each partition of the main topics that has none yet, and answers the new ones.
func (c *Cluster) findSlots() (found []int) {
	s := c.newest()
	for i := range mains {
		name := fmt.Sprintf("main%d", i)
		t := s.Topics[name]
		if t == nil {
			continue
		}
		for n, p := range t.Partitions {
			known := slices.ContainsFunc(c.clients.slots, func(x *slot) bool { return x.topic == name && x.number == int32(n) })
			if !known {
				found = append(found, len(c.clients.slots))
				c.clients.slots = append(c.clients.slots, &slot{topic: name, main: i, number: int32(n), group: p.Group})
			}
		}
	}
	return found
}

// createNow creates a topic and waits.
func (c *Cluster) createNow(name string, partitions int, config map[string]string) bool {
	made := false
	var create func()
	create = func() {
		b := c.anyBoot()
		if b == nil {
			c.w.After(joinEvery, create)
			return
		}
		c.do(b, operatorLimit, controller.CreateTopic{Name: name, Partitions: partitions, RF: 3, Config: config, RequestID: "create " + name}, func(_ controller.Response, err error) {
			if err != nil {
				c.w.Trace("topic %s: %v", name, err)
				c.w.After(joinEvery, create)
				return
			}
			made = true
		})
	}
	create()
	return c.until(func() bool { return made }, 30*time.Second)
}

// turnTopics creates a small topic, or deletes one, or asks for one that cannot be.
func (c *Cluster) turnTopics() {
	t := &c.topics
	if t.made == nil {
		t.made = map[string]*placement.Topic{}
	}
	names := slices.Sorted(maps.Keys(t.made))
	if len(names) > 0 && c.w.Rand().Int64N(5) < 2 || len(names) > 2 {
		c.deleteTopic(names[c.w.Rand().Int64N(int64(len(names)))])
		return
	}
	t.next++
	q := controller.CreateTopic{Name: fmt.Sprintf("small%d", t.next), Partitions: 1 + int(c.w.Rand().Int64N(2)), RF: 3}
	q.RequestID = q.Name
	what := "create"
	if c.w.Rand().Int64N(8) == 0 {
		what, q.RF = "create too many replicas of", tooMany
	}
	r, err := c.askTopic(what, check.TopicOp{Name: q.Name}, q)
	if err == nil && r.Topic != nil {
		t.made[q.Name] = r.Topic
	}
}

// tooMany is more than the brokers of any run, wiped ones and those that came in their place.
const tooMany = 99

// askTopic has a topic created or deleted, and notes in the history how that ended.
func (c *Cluster) askTopic(what string, op check.TopicOp, q controller.Request) (controller.Response, error) {
	op.Invoke = c.w.Now()
	r, err := c.operate(what, q)
	op.Return = c.w.Now()
	c.noteTopic(op, err)
	return r, err
}

func (c *Cluster) noteTopic(op check.TopicOp, err error) {
	op.Outcome = outcome(err)
	if err != nil {
		op.Error = err.Error()
	}
	c.clients.history.Topics = append(c.clients.history.Topics, op)
}

func (c *Cluster) deleteTopic(name string) {
	t := &c.topics
	id := t.made[name].ID
	delete(t.made, name)
	_, err := c.askTopic("delete", check.TopicOp{Name: name, Delete: true}, controller.DeleteTopic{Name: name, ID: id})
	if definite(err) {
		c.violate("I18", "topic %s was there, and its deletion is refused: %v", name, err)
	}
}

func definite(err error) bool {
	var e *runnelv1.Error
	return errors.As(err, &e) && e.GetKind() == runnelv1.ErrorKind_ERROR_KIND_DEFINITE
}

// deletes is called when a broker deletes the data of a replica: a committed command must have taken it from the state that the broker
// has (I18).
func (c *Cluster) deletes(b *boot, r groupReplica) {
	if r.group == placement.ControllerGroup || b.ctl == nil {
		return // replaced by another one here, or left half done before
	}
	c.facts["I18"]++
	s := b.ctl.State()
	for _, name := range s.TopicNames() {
		for n := range s.Topics[name].Partitions {
			if _, named := s.Topics[name].Partitions[n].Replica(r.replica); named {
				c.violate("I18", "m%d deletes the data of replica %d of %s/%d, which the state still names", b.m.n, r.replica, name, n)
			}
		}
	}
}

// verifyTopics checks I18 at rest: that a topic is the one that was made, and that brokers hold the replicas which the state has there. What a
// move adds may be there or not: I21 tells of a move that is not over. The names that are there go into the history.
func (c *Cluster) verifyTopics(s *placement.State) {
	c.clients.history.FinalTopics = map[string]bool{}
	for name := range s.Topics {
		c.clients.history.FinalTopics[name] = true
	}
	for _, name := range slices.Sorted(maps.Keys(c.topics.made)) {
		c.facts["I18"]++
		if t := s.Topics[name]; t == nil || t.ID != c.topics.made[name].ID {
			c.violate("I18", "topic %s was acknowledged and is not there", name)
		}
	}
	for _, m := range c.machines {
		if m.up == nil {
			continue
		}
		want, may := map[uint64]bool{}, map[uint64]bool{}
		for _, t := range s.Topics {
			for _, p := range t.Partitions {
				if r, ok := p.On(m.up.id); ok {
					want[r.ID] = true
				}
				if r, ok := p.Joining(m.up.id); ok {
					may[r.ID] = true
				}
			}
		}
		for _, r := range m.up.store.Replicas() {
			if r.Group == placement.ControllerGroup {
				continue
			}
			c.facts["I18"]++
			if !want[r.Replica] && !may[r.Replica] {
				c.violate("I18", "m%d still holds replica %d of group %d, which was deleted", m.n, r.Replica, r.Group)
			}
			delete(want, r.Replica)
		}
		for _, id := range slices.Sorted(maps.Keys(want)) {
			c.violate("I18", "m%d has no replica %d, which the state has there", m.n, id)
		}
	}
}
