package multiraft

import (
	"slices"
	"time"

	"github.com/runnel-io/runnel/partition/env"
)

const (
	// giveAgain is the pause between two tries to give a leadership away: what was queued meanwhile is proposed.
	giveAgain = 50 * time.Millisecond
	// maxGives is how often a leadership is given away that comes back. The other brokers may all be about to stop as well.
	maxGives = 3
)

// giving is a leadership that is to go to whoever is ready. It is over when another one has shown that it leads: until then this replica's
// vote and its disk may be needed.
type giving struct {
	until time.Time  // nothing is tried after that
	gone  func()     // called once: this replica leads no longer, or a try failed, or it is over
	done  func(bool) // called once: it is over, and whether this replica leads no longer

	term  uint64 // in which this replica led last
	last  uint64 // whom it went to, and who did not take it
	gives int    // how often this replica ceased to lead
	timer env.Timer
}

// giveAway hands the leadership to the best follower, again until it succeeds or time is up. One that does not lead has nothing to give.
func (g *Group) giveAway(v *giving) {
	g.in.control(func() {
		if g.rn == nil || g.role != RoleLeader || g.giving != nil {
			v.gone()
			v.done(true)
			return
		}
		g.giving = v
		g.give(v)
	})
	g.task.Wake()
}

// give is one try.
func (g *Group) give(v *giving) {
	v.term = g.term
	ended := func(ok bool) { g.gave(v, ok) }
	if t := g.transfer; t != nil { // somebody else wished for one: it serves as well
		was := t.done
		t.done = func(ok bool) {
			was(ok)
			ended(ok)
		}
		return
	}
	// Of two that could take over, not again the one that did not.
	to := g.successorOf(func(id uint64) bool { return id != v.last })
	if to == 0 {
		to = g.successor()
	}
	v.last = to
	g.startTransfer(to, transferAfter, ended)
}

// gave tells how a try ended.
func (g *Group) gave(v *giving, ok bool) {
	if g.giving != v {
		return
	}
	now := g.env.Now()
	if ok {
		v.gives++
		v.leave()
		g.wait(v, max(0, v.until.Sub(now)), func() { g.endGiving(g.role != RoleLeader) })
		return
	}
	if g.rn == nil || !now.Before(v.until) || !g.hasHeirs(now) {
		g.endGiving(false)
		return
	}
	v.leave() // others need not wait for one that cannot go yet
	g.wait(v, min(giveAgain, v.until.Sub(now)), func() {
		if g.role == RoleLeader {
			g.give(v)
		} else {
			g.gave(v, true)
		}
	})
}

// hasHeirs tells whether others can lead soon: a voter is on a live broker that stays, and a majority is alive.
func (g *Group) hasHeirs(now time.Time) bool {
	return slices.ContainsFunc(voters(g.conf), func(id uint64) bool {
		broker := g.members.broker(id)
		return id != g.replica && g.live.alive(broker) && !g.leaving(broker)
	}) && g.live.quorumWithin(g.conf, g.members.get(), g.replica, now, g.live.silent)
}

func (g *Group) wait(v *giving, d time.Duration, f func()) {
	if v.timer != nil {
		v.timer.Stop()
	}
	v.timer = g.env.AfterFunc(d, func() {
		g.do(func() {
			if g.giving == v {
				f()
			}
		})
	})
}

// noteGiven looks, after each run, whether another one leads, or this one again.
func (g *Group) noteGiven() {
	v := g.giving
	switch {
	case v == nil || g.term == v.term:
	case g.role != RoleLeader:
		if g.lead != 0 && g.appliedTerm > v.term {
			g.endGiving(true)
		}
	case !g.session:
	case v.gives < maxGives:
		g.give(v)
		g.task.Wake() // this run is over, and what it made raft say has not been sent
	default:
		g.endGiving(false)
	}
}

func (g *Group) endGiving(ok bool) {
	v := g.giving
	if v == nil {
		return
	}
	g.giving = nil
	if v.timer != nil {
		v.timer.Stop()
	}
	v.leave()
	v.done(ok)
}

// leave calls gone, once.
func (v *giving) leave() {
	if gone := v.gone; gone != nil {
		v.gone = nil
		gone()
	}
}
