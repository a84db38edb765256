package controller

import (
	"time"

	"github.com/runnel-io/runnel/placement"
	"github.com/runnel-io/runnel/placement/plan"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

const (
	// settleFor is how long a new leader waits at most, before its first plan, for every broker to be heard and to tell how its
	// replicas are.
	settleFor = 3 * time.Second
	// planAgain is after how long a plan is made although nothing seems to have changed.
	planAgain = time.Minute
	// planPause is between two plans at least; planShare makes it longer for large states: planning takes one part in so many of the time.
	planPause = 100 * time.Millisecond
	planShare = 20
	// maxPreferred is how many orders of replicas one plan records; the next plan has the rest.
	maxPreferred = 64
	// sizeNews is by how many bytes the cluster has to grow or shrink for a new plan. The planner moves for no less than 1 GiB.
	sizeNews = 256 << 20

	firstCooldown = 10 * time.Second
	maxCooldown   = 10 * time.Minute
)

// planner is when to plan, and what the plan needs beside the state. It belongs to the loop.
type planner struct {
	dirty   bool // something changed that a plan depends on
	running int
	began   time.Time // of the session
	next    time.Time
	again   time.Time

	failed string // why the last plan was not recorded as a whole

	grown       int64             // bytes, since the last plan
	quarantined map[uint64]string // as put together last; nil: anew from what the brokers said

	// cooling holds the partitions whose moves were turned back, by group: nothing is planned for them for a while, the longer
	// the more often it happened.
	cooling map[uint64]*cooldown
}

type cooldown struct {
	times int
	until time.Time
}

func (p *planner) resized(by int64) {
	p.grown += by
	if p.grown >= sizeNews || p.grown <= -sizeNews {
		p.dirty = true
		p.grown = 0
	}
}

// cancelled notes that a partition's move was turned back because it could not be finished. The first time it is planned anew at once.
func (p *planner) cancelled(now time.Time, group uint64) {
	if p.cooling == nil {
		p.cooling = map[uint64]*cooldown{}
	}
	c := p.cooling[group]
	if c == nil {
		p.cooling[group] = &cooldown{until: now}
		return
	}
	c.until = now.Add(min(firstCooldown<<min(c.times, 10), maxCooldown))
	c.times++
}

func (p *planner) finished(group uint64) { delete(p.cooling, group) }

// cools lists the partitions for which nothing is planned now, by group, and tells when the first of them is free again.
func (p *planner) cools(now time.Time) (groups map[uint64]bool, first time.Time) {
	for group, c := range p.cooling {
		switch {
		case now.Before(c.until):
			if groups == nil {
				groups = map[uint64]bool{}
			}
			groups[group] = true
			if first.IsZero() || c.until.Before(first) {
				first = c.until
			}
		case now.Sub(c.until) > maxCooldown:
			delete(p.cooling, group)
		}
	}
	return groups, first
}

// plan plans on a worker, when there is reason to, and has the worker propose what was planned.
func (d *driver) plan(now time.Time, s *placement.State) {
	p := &d.planner
	if p.began.IsZero() {
		p.began = now
	}
	if p.running > 0 {
		return
	}
	if !p.dirty && now.Before(p.again) {
		d.dueAt(p.again)
		return
	}
	if at := p.began.Add(settleFor); now.Before(at) && !d.settled(s) {
		d.dueAt(at)
		return
	}
	if now.Before(p.next) {
		d.dueAt(p.next)
		return
	}
	v, sizes := d.view(now, s), d.sizes()
	_, cooled := p.cools(now)
	p.dirty = false
	d.spawn(&p.running, func() func() {
		began := d.cfg.Env.Now()
		v.Leaders, v.Bytes = leadersOf(s, d.cfg.Leader), mergeSizes(sizes)
		next := plan.Next(v)
		took := d.cfg.Env.Now().Sub(began)
		err := d.propose(&next)
		return func() {
			now := d.cfg.Env.Now()
			d.again = true
			for _, c := range next.Cancels {
				if m := d.movers[c.Move]; m != nil {
					p.cancelled(now, m.group)
				}
			}
			p.next = now.Add(max(planPause, planShare*took))
			p.again = now.Add(planAgain)
			if !cooled.IsZero() && cooled.Before(p.again) {
				p.again = cooled
			}
			if err == nil {
				p.failed = ""
			} else {
				p.dirty = true
				p.next = now.Add(max(maxBackoff, planShare*took))
				if p.failed != err.Error() && d.ctx.Err() == nil {
					d.log.Warn("a plan was not recorded as a whole and is made anew", "error", err)
				}
				p.failed = err.Error()
			}
			if len(next.Preferred) > maxPreferred {
				p.dirty = true
			}
		}
	})
}

// settled tells whether all members are heard and have told how their replicas are.
func (d *driver) settled(s *placement.State) bool {
	for id := range s.Brokers {
		if b := d.brokers[id]; b == nil || !b.reported || !d.hearing.alive(id) {
			return false
		}
	}
	return true
}

// view is what the planners see, but for leaders and sizes.
func (d *driver) view(now time.Time, s *placement.State) plan.View {
	tuned := d.cfg.tuning(s)
	v := plan.View{
		State: s, Alive: map[int32]bool{}, DeadFor: map[int32]time.Duration{}, ReplaceAfter: tuned.ReplaceAfter,
		Quarantined: d.quarantined(), MaxMoves: tuned.Parallel, MaxPerBroker: d.cfg.PerBroker, Muted: map[int32]bool{},
	}
	v.Cooling, _ = d.planner.cools(now)
	for _, m := range d.movers {
		if p := m.partition(s); p != nil && d.idle(now, m, p) {
			if v.Idle == nil {
				v.Idle = map[uint64]bool{}
			}
			v.Idle[m.id] = true
		}
	}
	d.hearing.each(func(id int32, b heard) {
		v.Alive[id] = b.alive
		if !b.alive {
			v.DeadFor[id] = b.silent
		}
		if b.muted > 0 {
			v.Muted[id] = true
		}
	})
	for id, b := range d.brokers {
		if why := b.refuses(now); why != "" {
			if v.Refusing == nil {
				v.Refusing = map[int32]string{}
			}
			v.Refusing[id] = why
		}
		if b.full != "" {
			if v.Full == nil {
				v.Full = map[int32]bool{}
			}
			v.Full[id] = true
		}
	}
	return v
}

// sizes returns what each broker told of sizes. These maps are not changed any more.
func (d *driver) sizes() []map[uint64]int64 {
	out := make([]map[uint64]int64, 0, len(d.brokers))
	for _, b := range d.brokers {
		if len(b.bytes) > 0 {
			out = append(out, b.bytes)
		}
	}
	return out
}

// mergeSizes tells the bytes of one replica of each group: the most that a broker tells, for some may still be installing.
func mergeSizes(told []map[uint64]int64) map[uint64]int64 {
	most := 0
	for _, m := range told {
		most = max(most, len(m))
	}
	out := make(map[uint64]int64, most)
	for _, m := range told {
		for group, n := range m {
			out[group] = max(out[group], n)
		}
	}
	return out
}

// propose records what was planned, the most urgent first. What is refused, for the state went on meanwhile, holds nothing else up; the
// first refusal is returned.
func (d *driver) propose(p *plan.Plan) (refused *runnelv1.Error) {
	moves := p.Moves[:min(len(p.Moves), placement.MaxMoveBatch)]
	var cmds []placement.Command
	for i, c := range p.Cancels {
		d.log.Warn("a move is turned back", "move", c.Move, "reason", p.CancelReasons[i])
		cmds = append(cmds, c)
	}
	if len(moves) > 0 {
		cmds = append(cmds, placement.ProposeMoves{Moves: moves})
	}
	for i, c := range p.Preferred[:min(len(p.Preferred), maxPreferred)] {
		d.log.Debug("a partition gets another preferred leader", "reason", p.PreferredReasons[i])
		cmds = append(cmds, c)
	}
	for len(cmds) > 0 {
		c := cmds[0]
		cmds = cmds[1:]
		err := d.command(c)
		if err == nil {
			continue
		}
		if err.GetKind() != runnelv1.ErrorKind_ERROR_KIND_DEFINITE { // the leadership is lost, or the group too slow
			return err
		}
		if batch, ok := c.(placement.ProposeMoves); ok && len(batch.Moves) > 1 { // one of them, but all are refused
			one := make([]placement.Command, len(batch.Moves))
			for i, m := range batch.Moves {
				one[i] = m
			}
			cmds = append(one, cmds...)
			continue
		}
		if refused == nil {
			refused = err
		}
	}
	return refused
}
