package controller

import (
	"cmp"
	"slices"
	"time"

	"github.com/runnel-io/runnel/placement"
	"github.com/runnel-io/runnel/placement/ask"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

const (
	// leadersEvery is between two looks at who leads; leadersShare makes it longer for large states, as planShare does.
	leadersEvery = time.Second
	leadersShare = 200
	// maxCandidates bounds the transfers that one look lists; the next look has the rest.
	maxCandidates = 1024
	transferLimit = 2500 * time.Millisecond
	// A transfer that failed is tried again after this, twice as long each time.
	firstTransferPause = 2 * time.Second
	maxTransferPause   = time.Minute
	// heldFor is how long a leader stays where an operator asked it to go.
	heldFor = 5 * time.Minute
)

// transfers sends leaders to their preferred brokers, and off brokers whose disks are nearly full, a few at a time. What is sent where follows
// the rules of plan.Next (Plan.Transfers); it is found without making a plan, since it has to be looked for each second.
type transfers struct {
	next     time.Time // of the next look
	away     bool      // the last look found a leader that should go elsewhere, now or when something is over
	waiting  []transfer
	inFlight int
	busy     map[uint64]bool      // groups with one in flight
	paused   map[uint64]*cooldown // groups that are left alone for a while
}

type transfer struct {
	topic     string
	topicID   uint64
	partition int32
	group     uint64
	from, to  int32
	replica   uint64
}

func newTransfers() transfers {
	return transfers{busy: map[uint64]bool{}, paused: map[uint64]*cooldown{}}
}

// sendHome looks for leaders away from home, each second, and begins as many transfers as may be in flight.
func (d *driver) sendHome(now time.Time, s *placement.State) {
	x := &d.transfers
	if !now.Before(x.next) && len(x.waiting) == 0 {
		d.lookForLeaders(now, s)
		x.next = now.Add(max(leadersEvery, leadersShare*d.cfg.Env.Now().Sub(now)))
	}
	if now.Before(x.next) { // else a transfer in flight makes room, and the loop pass again
		d.dueAt(x.next)
	}
	for x.inFlight < maxTransfers && len(x.waiting) > 0 {
		t := x.waiting[0]
		x.waiting = x.waiting[1:]
		if d.isWanted(now, s, t) {
			d.transfer(t)
		}
	}
}

// lookForLeaders lists the partitions whose leader should go elsewhere. It costs O(partitions).
func (d *driver) lookForLeaders(now time.Time, s *placement.State) {
	x := &d.transfers
	for group, c := range x.paused {
		if now.Sub(c.until) > maxTransferPause {
			delete(x.paused, group)
		}
	}
	x.waiting, x.away = nil, false
	for _, top := range d.topics.state.Topics {
		for n := range top.Partitions {
			p := &top.Partitions[n]
			if p.Move != nil || len(p.Replicas) < 2 {
				continue
			}
			lead, _, ok := d.cfg.Leader(p.Group)
			if !ok {
				continue
			}
			if _, holds := p.On(lead); !holds { // what is known of leaders may be old
				continue
			}
			t := transfer{topic: top.Name, topicID: top.ID, partition: int32(n), group: p.Group, from: lead} //nolint:gosec // bounded by MaxPartitions
			if !d.belongsElsewhere(now, s, p, &t) {
				continue
			}
			x.away = true
			if !d.mayGo(now, t) {
				continue
			}
			x.waiting = append(x.waiting, t)
			if len(x.waiting) == maxCandidates {
				return
			}
		}
	}
	slices.SortFunc(x.waiting, func(a, b transfer) int {
		return cmp.Or(cmp.Compare(a.topic, b.topic), cmp.Compare(a.partition, b.partition))
	})
}

// belongsElsewhere says in t where a leader should go, if it should and nothing but time keeps it from there: away from a broker whose disk
// is nearly full, to the first that can take it, or to the next when that failed; else home, unless somebody sent it elsewhere.
func (d *driver) belongsElsewhere(now time.Time, s *placement.State, p *placement.Partition, t *transfer) bool {
	c := d.transfers.paused[t.group]
	if d.isFull(t.from) {
		heirs := slices.DeleteFunc(slices.Clone(p.Replicas), func(r placement.Replica) bool { return r.Broker == t.from || !d.canLead(s, r) })
		if len(heirs) == 0 {
			return false
		}
		next := 0
		if c != nil {
			next = c.times % len(heirs)
		}
		t.to, t.replica = heirs[next].Broker, heirs[next].ID
		return true
	}
	home := p.Replicas[0]
	t.to, t.replica = home.Broker, home.ID
	if t.from == home.Broker || !d.canLead(s, home) {
		return false
	}
	return c == nil || c.times > 0 || !now.Before(c.until)
}

// canLead tells whether a replica is fit to lead.
func (d *driver) canLead(s *placement.State, r placement.Replica) bool {
	b := s.Brokers[r.Broker]
	if b == nil || b.Draining || !d.hearing.alive(r.Broker) || d.isFull(r.Broker) {
		return false
	}
	_, bad := d.quarantined()[r.ID]
	return !bad
}

// mayGo tells whether a leader that belongs elsewhere may go there now. What an operator wished does not keep it on a disk that is full.
func (d *driver) mayGo(now time.Time, t transfer) bool {
	c := d.transfers.paused[t.group]
	held := c != nil && now.Before(c.until) && (c.times > 0 || !d.isFull(t.from))
	return !d.hearing.muted(t.to) && !d.transfers.busy[t.group] && !held
}

// isWanted tells whether a transfer still is.
func (d *driver) isWanted(now time.Time, s *placement.State, t transfer) bool {
	top := s.Topics[t.topic]
	if top == nil || top.ID != t.topicID || int(t.partition) >= len(top.Partitions) {
		return false
	}
	p := &top.Partitions[t.partition]
	lead, _, ok := d.cfg.Leader(t.group)
	still := t
	return ok && lead == t.from && p.Move == nil && d.belongsElsewhere(now, s, p, &still) && still.to == t.to && still.replica == t.replica && d.mayGo(now, t)
}

func (d *driver) transfer(t transfer) {
	x := &d.transfers
	x.busy[t.group] = true
	d.spawn(&x.inFlight, func() func() {
		_, err := d.call(d.ctx, t.from, ask.MethodChange, ask.Encode(ask.ChangeRequest{Group: t.group, Kind: ask.Transfer, Replica: t.replica, Broker: t.to}), transferLimit)
		return func() { d.transferred(t, err) }
	})
}

func (d *driver) transferred(t transfer, err *runnelv1.Error) {
	x := &d.transfers
	delete(x.busy, t.group)
	d.again = d.again || len(x.waiting) > 0
	now := d.cfg.Env.Now()
	c := x.paused[t.group]
	if c == nil {
		c = &cooldown{}
		x.paused[t.group] = c
	}
	if err == nil {
		c.times = 0
		d.counts.transfers.Add(1)
		c.until = now.Add(leadersEvery) // until this broker has heard of it
		d.log.Debug("a leader went where it belongs", "topic", t.topic, "partition", t.partition, "from", t.from, "to", t.to)
		return
	}
	c.until = now.Add(min(firstTransferPause<<min(c.times, 10), maxTransferPause))
	c.times++
	if c.times == 1 && d.ctx.Err() == nil {
		d.log.Info("a leader could not go where it belongs yet", "topic", t.topic, "partition", t.partition, "from", t.from, "to", t.to, "error", err)
	}
}

// hold leaves a partition's leader where an operator sent it, for a while.
func (d *driver) hold(group uint64) {
	d.transfers.paused[group] = &cooldown{until: d.cfg.Env.Now().Add(heldFor)}
}
