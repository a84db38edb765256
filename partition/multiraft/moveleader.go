package multiraft

import (
	"slices"
	"time"

	"github.com/runnel-io/runnel/partition/env"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// arrivesAfter is how long Transfer waits in all: for the transfer, and then for the new leader's first word.
const arrivesAfter = 2 * time.Second

// handed is a leadership on its way to where somebody waits to see it.
type handed struct {
	to    uint64
	timer env.Timer
	done  func(error)
}

// Transfer hands the leadership to a voter and calls done, as ProposeConf does: with nil once that one leads, now or before. It refuses, as
// retriable, one that is not ready to lead, or while a membership change or another transfer is under way. An error after
// the transfer began does not say that nothing has moved.
func (g *Group) Transfer(to uint64, done func(error)) {
	g.in.control(func() {
		if there, err := g.hand(to, done); there || err != nil {
			done(err)
		}
	})
	g.task.Wake()
}

// hand begins a transfer, unless the leadership is there.
func (g *Group) hand(to uint64, done func(error)) (there bool, err error) {
	unavailable := func(why string) error {
		return runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_UNAVAILABLE, "the leadership of %s cannot go to replica %d now: %s; try again", g.name, to, why)
	}
	switch {
	case g.rn != nil && g.lead == to && to != 0 && (g.role != RoleLeader || g.session):
		return true, nil
	case g.rn == nil || !g.session:
		return false, g.notLeader()
	case !slices.Contains(voters(g.conf), to):
		return false, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, "replica %d is no voter of %s and cannot lead it", to, g.name)
	case g.transfer != nil || g.handed != nil:
		return false, unavailable("another transfer is under way")
	case g.confChange != nil:
		return false, unavailable("a membership change is under way")
	case g.successorOf(func(id uint64) bool { return id == to }) == 0:
		return false, unavailable("it is not heard, is about to stop, or lacks entries")
	}
	h := &handed{to: to, done: done}
	h.timer = g.env.AfterFunc(arrivesAfter, func() {
		g.do(func() {
			if g.handed == h {
				g.endHanded(unavailable("it was not heard as leader in time"))
			}
		})
	})
	g.handed = h
	g.startTransfer(to, transferAfter, func(ok bool) {
		if !ok && g.handed == h {
			g.endHanded(unavailable("it did not take over in time"))
		}
	})
	return false, nil
}

// noteHanded looks, after the leader changed, whether the leadership has arrived.
func (g *Group) noteHanded() {
	h := g.handed
	switch {
	case h == nil || g.transfer != nil || g.lead == 0:
	case g.lead == h.to:
		g.endHanded(nil)
	default:
		g.endHanded(runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_UNAVAILABLE,
			"replica %d was elected leader of %s instead of replica %d; try again", g.lead, g.name, h.to))
	}
}

func (g *Group) endHanded(err error) {
	h := g.handed
	if h == nil {
		return
	}
	g.handed = nil
	h.timer.Stop()
	h.done(err)
}
