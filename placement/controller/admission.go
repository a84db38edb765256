package controller

import (
	"fmt"
	"time"

	"github.com/runnel-io/runnel/placement"
)

// admission bounds the moves that copy data at the same time (Tuning.Parallel, Config.PerBroker). The planner keeps to the same
// bounds, but proposes what heals beside all else; that, and what operators ask for, waits here in phase proposed. What heals begins first (sorted),
// the rest in the order in which it was proposed: nothing that only evens the load overtakes what a person wants. A move that is idle holds
// no place, neither in the cluster nor, against what heals, on the broker that it goes to: that might be for ever. When many go on at once, each
// broker installs a few at a time all the same (package placement/agent). None begins that would stand still: when what it lacks is back, all of
// them would have the places.
type admission struct {
	parallel, perBroker int
	copying             int
	into, idle          map[int32]int
}

func (d *driver) admission(now time.Time, s *placement.State) *admission {
	a := &admission{parallel: d.cfg.tuning(s).Parallel, perBroker: d.cfg.PerBroker, into: map[int32]int{}, idle: map[int32]int{}}
	for _, m := range d.movers {
		p := m.partition(s)
		switch {
		case p == nil || len(p.Move.Adds) == 0 || p.Move.Phase == placement.PhaseProposed || d.standsStill(p):
		case m.stuck(now):
			for _, r := range p.Move.Adds {
				a.idle[r.Broker]++
			}
		default:
			a.admit(p.Move)
		}
	}
	return a
}

// idle tells whether a move copies nothing, and will not soon.
func (d *driver) idle(now time.Time, m *mover, p *placement.Partition) bool {
	return m.stuck(now) || d.standsStill(p)
}

// stuck tells whether a move has waited long for one thing that is none of its data, nor its turn to get that: which it has a place for.
func (m *mover) stuck(now time.Time) bool {
	return m.phase != placement.PhaseProposed && m.waited(now) >= stuckAfter && !m.turn
}

// standsStill tells whether a broker that the new replicas are on is silent, or too many of the others: such a move copies nothing.
func (d *driver) standsStill(p *placement.Partition) bool {
	heard := 0
	for _, r := range p.Replicas {
		if d.hearing.alive(r.Broker) {
			heard++
		}
	}
	for _, r := range p.Move.Adds {
		if !d.hearing.alive(r.Broker) {
			return true
		}
	}
	return heard <= len(p.Replicas)/2
}

// refuses says why a move must not begin yet; "" if it may.
func (a *admission) refuses(m *placement.Move, heals bool) string {
	if a.copying >= a.parallel {
		return fmt.Sprintf("%d moves are under way, as many as may be at a time", a.parallel)
	}
	for _, r := range m.Adds {
		n := a.into[r.Broker]
		if !heals {
			n += a.idle[r.Broker]
		}
		if n >= a.perBroker {
			return fmt.Sprintf("broker %d receives %d replicas, as many as may be at a time", r.Broker, a.perBroker)
		}
	}
	return ""
}

func (a *admission) admit(m *placement.Move) {
	a.copying++
	for _, r := range m.Adds {
		a.into[r.Broker]++
	}
}
