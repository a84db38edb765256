package sim

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"

	"github.com/runnel-io/runnel/bench/check"
	"github.com/runnel-io/runnel/partition"
	"github.com/runnel-io/runnel/partition/raftlog"
)

// collect reads the final logs and the counts.
func (c *Cluster) collect() {
	h := &c.clients.history
	h.Final, h.Replicas, h.Keep = map[int32]check.Log{}, map[int32]map[int32]string{}, map[int32]check.Keep{}
	for i, s := range c.clients.slots {
		if mains[s.main].config["retention.bytes"] != "" {
			h.Keep[int32(i)] = check.Keep{} // how much must be left is verifyStarts's
		}
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
		if _, led := h.Final[int32(i)]; !led {
			c.violate("I21", "slot %d has no leader at rest: %s", i, c.describe(i))
		}
	}
	for _, b := range c.clients.batches {
		c.report.Sent++
		if b.outcome == check.OK {
			c.report.Acked++
		}
	}
}

// noteQuarantines looks for replicas that were given up, each second: such a replica is soon replaced and gone. Only damage of its own disk may
// cost a machine one.
func (m *machine) noteQuarantines(store *raftlog.Store) {
	for _, r := range store.Replicas() {
		k := groupReplica{r.Group, r.Replica}
		if r.Quarantine == "" || m.quarantined[k] {
			continue
		}
		m.quarantined[k] = true
		m.c.report.Quarantined++
		if m.disk.failed == 0 {
			m.c.violate("run", "m%d: group %d is quarantined, and the disk is sound: %s", m.n, r.Group, r.Quarantine)
		}
	}
}

// readAll reads one replica's log, and sums it up in a hash.
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
			if r.offset < at {
				continue
			}
			log.Values = append(log.Values, r.value)
			epochs = append(epochs, r.epoch)
			_, _ = fmt.Fprintf(sum, "%d %d %s\n", r.offset, r.epoch, r.value) // a hash never fails
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
		c.facts["I16"]++
		if int32(a.term) != epochs[at] {
			c.violate("I16", "slot %d: broker %d acknowledged offset %d in term %d at %s, where a batch of term %d is", slot, a.broker, a.base, a.term, a.at, epochs[at])
		}
	}
}

// verifyStarts checks I20: of what retention may take, enough is left. That it takes nothing else, and that no log start that anybody saw was taken
// back, is check's.
func (c *Cluster) verifyStarts() {
	for i, s := range c.clients.slots {
		log := c.clients.history.Final[int32(i)]
		m := &mains[s.main]
		if log.Start > 0 {
			c.facts["I20"]++
			c.facts[check.Trimmed]++
			if kept := int64(len(log.Values)) * int64(m.padding); kept < leastKept {
				c.violate("I20", "slot %d: %d bytes are left from %d on, and retention keeps %d", i, kept, log.Start, leastKept)
			}
		}
	}
}

// leastKept is what retention.bytes keeps at least, in bytes of padding: some part of each record is its header.
const leastKept = 100_000

// verifyBatches checks I13: of each batch all is in the log, in one piece, or nothing.
func (c *Cluster) verifyBatches() {
	at := map[string]int64{}
	starts := map[int32]int64{}
	for p, log := range c.clients.history.Final {
		starts[p] = log.Start
		for i, v := range log.Values {
			at[v] = log.Start + int64(i)
		}
	}
	for _, b := range c.clients.batches {
		if len(b.values) < 2 {
			continue
		}
		there, first := 0, int64(-1)
		broken := false
		for i, v := range b.values {
			o, ok := at[check.Append{Client: int(b.client), Sequence: v, Partition: int32(b.slot)}.Value()]
			if !ok {
				continue
			}
			if first < 0 {
				first = o - int64(i)
			}
			broken = broken || o-int64(i) != first
			there++
		}
		c.facts["I13"]++
		cut := first >= 0 && first < starts[int32(b.slot)] // the log starts within it
		if broken || there > 0 && there < len(b.values) && !cut {
			c.violate("I13", "slot %d: of the batch of client %d from %d on %d of %d records are in the log, from %d on", b.slot, b.client, b.seq, there, len(b.values), first)
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
