package sim

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/runnel-io/runnel/bench/check"
	"github.com/runnel-io/runnel/partition"
	"github.com/runnel-io/runnel/placement"
)

const (
	// writeBound is how long after healing every partition must take a write (I21), in virtual time.
	writeBound = 15 * time.Second
	restBound  = 30 * time.Second
	// wholeBound is how long after that all moves may take, and the replacement of all that was lost.
	wholeBound = 2 * time.Minute
)

// verify waits for quiescence and holds everything against the promises.
func (c *Cluster) verify() {
	healed := c.w.Now()
	for _, m := range c.machines {
		c.watch(m)
	}
	before := map[int32]int{}
	for _, p := range c.clients.producers {
		before[p.id] = p.acked
	}
	wrote := func() bool {
		return !slices.ContainsFunc(c.clients.producers, func(p *producer) bool { return p.acked == before[p.id] })
	}
	c.until(wrote, writeBound)
	for _, p := range c.clients.producers {
		c.facts["I21"]++
		if p.acked == before[p.id] {
			c.violate("I21", "slot %d took no write of client %d within %s after healing: %s", p.slot, p.id, writeBound, c.describe(p.slot))
		}
	}
	c.report.Slowest = c.w.Now() - healed
	c.clients.stopped = true
	drained := func() bool {
		return !slices.ContainsFunc(c.clients.producers, func(p *producer) bool { return len(p.unacked) > 0 })
	}
	if !c.until(drained, writeBound) {
		c.violate("I21", "after healing some batches are not acknowledged within %s", writeBound)
	}
	if !c.until(c.ready, restBound) {
		c.violate("I21", "not every broker is back within %s after healing", restBound)
	}
	// All of it must hold at one time: what moves by itself may begin anew between two looks.
	waits := ""
	if !c.until(c.paced(func() bool { waits = c.waits(); return waits == "" }), wholeBound) {
		c.violate("I21", "the cluster is not whole and all read within %s after healing: %s", wholeBound, waits)
	}
	c.facts["I2"] += len(c.clients.readers)
	c.collect()
	c.verifyTopics(c.newest())
	c.verifyStarts()
	c.verifyBatches()
	found, facts := check.Count(c.clients.history)
	for _, v := range found {
		c.violate(v.Invariant, "%s", v.What)
	}
	for k, n := range facts {
		c.facts[k] += n
	}
}

// watch revives a machine whose broker goes down after healing.
func (c *Cluster) watch(m *machine) {
	c.revive(m)
	if c.operators.ctx.Err() == nil {
		c.w.After(500*time.Millisecond, func() { c.watch(m) })
	}
}

// behind tells whether a reader has not read all that its partition's leader has: what was acknowledged must be seen (I2).
func (c *Cluster) behind(x *reader) bool {
	for _, p := range c.replicas(x.slot) {
		if st := p.Status(); st.Leader {
			return x.at < st.HW
		}
	}
	return true
}

// scrub reads what is on a disk of which a bit was turned, so that the broker finds it: nobody else may have asked. It tells whether it found
// something.
func (c *Cluster) scrub() (found bool) {
	for _, m := range c.machines {
		if !m.disk.flipped || m.up == nil || m.up.agent == nil {
			continue
		}
		for _, s := range c.clients.slots {
			p, e := m.up.agent.Partition(s.topic, s.number)
			if e != nil {
				continue
			}
			for at := p.Status().LogStart; at < p.Status().HW; {
				res, err := p.TryFetch(partition.FetchRequest{Offset: at, MaxBytes: 64 << 10, AnyReplica: true}, nil)
				if err != nil || res.Next <= at {
					c.w.Trace("m%d: %s/%d is damaged at %d", m.n, s.topic, s.number, at)
					found = true
					break
				}
				c.decode(res.Batches)
				at = res.Next
			}
		}
	}
	return found
}

// replicas are the slot's replicas that are in service, by broker.
func (c *Cluster) replicas(slot int) map[int32]*partition.Partition {
	s := c.clients.slots[slot]
	out := map[int32]*partition.Partition{}
	for _, m := range c.machines {
		if m.up == nil || m.up.agent == nil {
			continue
		}
		if p, e := m.up.agent.Partition(s.topic, s.number); e == nil && p.Status().Quarantine == "" {
			out[m.up.id] = p
		}
	}
	return out
}

func (c *Cluster) describe(slot int) string {
	text := ""
	for _, m := range c.machines {
		text += fmt.Sprintf(" m%d:", m.n)
		switch {
		case m.failed != "":
			text += "failed"
		case m.up == nil || m.up.agent == nil:
			text += "down"
		default:
			s := c.clients.slots[slot]
			p, e := m.up.agent.Partition(s.topic, s.number)
			if e != nil {
				text += e.GetMessage()
				continue
			}
			st := p.Status()
			text += fmt.Sprintf("{leader %v of broker %d term %d hw %d start %d quarantine %q}", st.Leader, st.LeaderBroker, st.Term, st.HW, st.LogStart, st.Quarantine)
		}
	}
	return text
}

// atRest tells whether all replicas of a slot have applied the same, and one leads.
func (c *Cluster) atRest(s *placement.State, slot int) bool {
	led := false
	hw := map[[2]int64]bool{}
	replicas := c.replicas(slot)
	for _, p := range replicas {
		st := p.Status()
		led = led || st.Leader
		hw[[2]int64{st.HW, st.LogStart}] = true
	}
	x := c.clients.slots[slot]
	t := s.Topics[x.topic]
	return led && len(hw) == 1 && t != nil && int(x.number) < len(t.Partitions) && len(replicas) == len(t.Partitions[x.number].Replicas)
}

// waits tells what is still to come until nothing moves, all replicas are where the state has them, nothing is left to delete and all is read; ""
// if nothing.
func (c *Cluster) waits() string {
	var text []string
	add := func(format string, args ...any) { text = append(text, fmt.Sprintf(format, args...)) }
	if c.operators.busy > 0 {
		add("%d operators are at work", c.operators.busy)
	}
	s := c.newest()
	for _, name := range s.TopicNames() {
		for n := range s.Topics[name].Partitions {
			p := &s.Topics[name].Partitions[n]
			if p.Move != nil {
				add("%s/%d moves (%s, phase %s, cancelled %t)", name, n, p.Move.Kind, p.Move.Phase, p.Move.Cancelled)
			}
			for _, r := range p.Replicas {
				m := c.byBroker[r.Broker]
				if m == nil || m.up == nil || m.up.id != r.Broker || m.up.agent == nil {
					add("%s/%d has a replica on broker %d, which is gone", name, n, r.Broker)
					continue
				}
				if p, e := m.up.agent.Partition(name, int32(n)); e != nil || p.Status().Quarantine != "" {
					add("%s/%d is not served on broker %d", name, n, r.Broker)
				}
			}
		}
	}
	for _, id := range slices.Sorted(maps.Keys(s.Tombstones)) {
		if m := c.byBroker[s.Tombstones[id].Broker]; m != nil && m.up != nil && m.up.id == s.Tombstones[id].Broker {
			add("replica %d is to be deleted by broker %d", id, m.up.id)
		}
	}
	for _, m := range c.machines {
		switch {
		case m.failed != "":
		case m.up == nil || m.up.ctl == nil:
			add("m%d is down", m.n)
		case m.up.ctl.State().Revision != s.Revision:
			add("m%d has revision %d of %d", m.n, m.up.ctl.State().Revision, s.Revision)
		}
	}
	if len(text) == 0 {
		for i := range c.clients.slots {
			if !c.atRest(s, i) {
				add("slot %d is not at rest: %s", i, c.describe(i))
			}
		}
		for _, x := range c.clients.readers {
			if c.behind(x) {
				add("slot %d: reader %d has read up to %d", x.slot, x.id, x.at)
			}
		}
	}
	if len(text) == 0 && c.scrub() {
		add("damage was found just now")
	}
	if len(text) > 0 {
		add("controller %s", c.controllers(s))
	}
	return strings.Join(text, "; ")
}

// controllers tells how the controller group is.
func (c *Cluster) controllers(s *placement.State) string {
	text := ""
	for _, r := range s.Controller {
		text += fmt.Sprintf(" %d on %d", r.ID, r.Broker)
		if r.Learner {
			text += " (learner)"
		}
	}
	for _, m := range c.machines {
		if m.up != nil && m.up.ctl != nil {
			text += fmt.Sprintf(" m%d: led by %d;", m.n, m.up.ctl.Leader())
		}
	}
	return text
}
