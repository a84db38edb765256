package sim

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/runnel-io/runnel/bench/check"
	"github.com/runnel-io/runnel/partition"
)

const (
	// writeBound is how long after healing every partition must take a write (I21), in virtual time.
	writeBound = 15 * time.Second
	restBound  = 30 * time.Second
)

// verify waits for quiescence and holds everything against the promises.
func (c *Cluster) verify() {
	healed := c.w.Now()
	// A stop that was under way may still end.
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
	if !c.until(wrote, writeBound) {
		for _, p := range c.clients.producers {
			if p.acked == before[p.id] {
				c.violate("I21", "slot %d took no write of client %d within %s after healing: %s", p.slot, p.id, writeBound, c.describe(p.slot))
			}
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
	if !c.until(c.atRest, restBound) {
		for i := range c.clients.slots {
			c.violate("I21", "replicas do not come to rest within %s: slot %d: %s", restBound, i, c.describe(i))
		}
	}
	if !c.until(func() bool { return c.tidy() && !c.requesting() && c.atRest() }, restBound) {
		c.violate("I18", "deleted replicas are not reported within %s after healing: %s", restBound, c.untidy())
	}
	c.collect()
	c.verifyTopics()
	for _, v := range check.Verify(c.clients.history) {
		c.violate(v.Invariant, "%s", v.What)
	}
}

// watch revives a machine whose broker goes down after healing.
func (c *Cluster) watch(m *machine) {
	c.revive(m)
	if c.w.Now() < c.cfg.Spell+10*time.Minute {
		c.w.After(500*time.Millisecond, func() { c.watch(m) })
	}
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

// atRest tells whether all replicas of all slots have applied the same.
func (c *Cluster) atRest() bool {
	for i := range c.clients.slots {
		led := false
		hw := map[[2]int64]bool{}
		for _, p := range c.replicas(i) {
			st := p.Status()
			led = led || st.Leader
			hw[[2]int64{st.HW, st.LogStart}] = true
		}
		if !led || len(hw) != 1 {
			return false
		}
	}
	return true
}

// tidy tells whether the tombstones that sound machines can answer are gone.
func (c *Cluster) tidy() bool {
	for _, t := range c.newest().Tombstones {
		if m := c.byBroker[t.Broker]; m != nil && m.disk.failed == 0 {
			return false
		}
	}
	for _, m := range c.machines {
		if m.up != nil && m.up.ctl != nil && (m.up.feed.busy() || m.disk.failed == 0 && m.up.ctl.State().Revision != c.newest().Revision) {
			return false
		}
	}
	return true
}

// untidy tells what tidy waits for.
func (c *Cluster) untidy() string {
	text := fmt.Sprintf("requests: %d waiting, %d running;", len(c.requests), c.calls.requests)
	s := c.newest()
	for _, id := range slices.Sorted(maps.Keys(s.Tombstones)) {
		text += fmt.Sprintf(" tombstone %d of broker %d;", id, s.Tombstones[id].Broker)
	}
	for _, m := range c.machines {
		if m.up != nil && m.up.ctl != nil {
			text += fmt.Sprintf(" m%d at revision %d of %d, feeding %v;", m.n, m.up.ctl.State().Revision, s.Revision, m.up.feed.busy())
		}
	}
	return text
}

// collect reads the final logs and the counts.
func (c *Cluster) collect() {
	h := &c.clients.history
	h.Final, h.Replicas = map[int32]check.Log{}, map[int32]map[int32]string{}
	for i := range c.clients.slots {
		replicas := c.replicas(i)
		var first []string
		h.Replicas[int32(i)] = map[int32]string{}
		for _, id := range slices.Sorted(maps.Keys(replicas)) {
			p := replicas[id]
			log, epochs, hash := c.readAll(i, id, p)
			h.Replicas[int32(i)][id] = hash
			if first == nil {
				first = lines(log, epochs)
			} else if d := difference(first, lines(log, epochs)); d != "" {
				c.w.Trace("slot %d: broker %d differs: %s", i, id, d)
			}
			if p.Status().Leader {
				h.Final[int32(i)] = log
				c.fencing(i, log, epochs)
			}
		}
	}
	for _, a := range h.Appends {
		c.report.Sent++
		if a.Outcome == check.OK {
			c.report.Acked++
		}
	}
	for _, m := range c.machines {
		if m.up == nil {
			continue
		}
		for _, r := range m.up.store.Replicas() {
			if r.Quarantine != "" {
				c.report.Quarantine++
				if m.disk.failed == 0 {
					c.violate("run", "m%d: group %d is quarantined, and the disk is sound: %s", m.n, r.Group, r.Quarantine)
				}
			}
		}
	}
}

func (c *Cluster) readAll(slot int, id int32, p *partition.Partition) (check.Log, []int32, string) {
	st := p.Status()
	log := check.Log{Start: st.LogStart, HighWatermark: st.HW}
	var epochs []int32
	sum := sha256.New()
	for at := st.LogStart; at < st.HW; {
		res, err := p.TryFetch(partition.FetchRequest{Offset: at, MaxBytes: 64 << 10, AnyReplica: true}, nil)
		if err != nil || res.Next <= at {
			c.violate("I2", "slot %d on broker %d cannot be read at %d: %v", slot, id, at, err)
			break
		}
		for _, r := range c.decode(res.Batches) {
			if r.offset >= at {
				log.Values = append(log.Values, r.value)
				epochs = append(epochs, r.epoch)
				_, _ = fmt.Fprintf(sum, "%d %d %s\n", r.offset, r.epoch, r.value) // a hash never fails
			}
		}
		at = res.Next
	}
	return log, epochs, fmt.Sprintf("%x", sum.Sum(nil))
}

// fencing checks I16: what a leader acknowledged stands in the log as of its own term, so nothing that an old leader
// acknowledged was overtaken by a new one.
func (c *Cluster) fencing(slot int, log check.Log, epochs []int32) {
	for _, a := range c.clients.acks {
		at := a.base - log.Start
		if a.slot != slot || at < 0 || at >= int64(len(epochs)) {
			continue // what is missing is I1's
		}
		if int32(a.term) != epochs[at] {
			c.violate("I16", "slot %d: broker %d acknowledged offset %d in term %d at %s, where a batch of term %d is", slot, a.broker, a.base, a.term, a.at, epochs[at])
		}
	}
}

// lines names each record of a log with its offset and epoch.
func lines(log check.Log, epochs []int32) []string {
	out := make([]string, len(log.Values))
	for i, v := range log.Values {
		out[i] = fmt.Sprintf("%d: %s of term %d", log.Start+int64(i), v, epochs[i])
	}
	return out
}

func difference(a, b []string) string {
	for i := range max(len(a), len(b)) {
		switch {
		case i >= len(a):
			return "has more: " + b[i]
		case i >= len(b):
			return "has less: no " + a[i]
		case a[i] != b[i]:
			return "has " + b[i] + ", not " + a[i]
		}
	}
	return ""
}
