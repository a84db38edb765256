package multiraft

import (
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/runnel-io/runnel/partition/raftlog"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// poisoned has the replica stop for good; callable from any goroutine. Nothing is acknowledged from here on.
func (g *Group) poisoned(err error) {
	g.failed.CompareAndSwap(nil, &err)
	g.do(func() { g.fail(err) })
}

// recovered turns a panic on the worker into the quarantine of this replica alone. Raft panics when its storage or the
// log breaks a promise: going on could lose data, and the other groups have nothing to do with it.
func (g *Group) recovered() {
	if p := recover(); p != nil {
		err := g.panicError(p)
		func() {
			defer func() {
				if again := recover(); again != nil {
					g.log.Error("stopping the replica panicked as well", "panic", again)
				}
			}()
			g.fail(err)
		}()
	}
}

// panicked is recovered for other tasks of the group.
func (g *Group) panicked(p any) { g.poisoned(g.panicError(p)) }

func (g *Group) panicError(p any) error {
	g.metrics.panics.Inc()
	if err, ok := p.(raftlog.Passing); ok { // the machine refuses to go on; fail says so
		return err
	}
	g.log.Error("a defect: panic in a replica; it is quarantined", "panic", p, "term", g.term, "applied", g.applied,
		"stack", string(debug.Stack()))
	if err, ok := p.(error); ok {
		return fmt.Errorf("panic: %w", err)
	}
	return fmt.Errorf("panic: %v", p)
}

// fail stops the replica for good, on the worker.
func (g *Group) fail(err error) {
	if g.rn == nil {
		return
	}
	g.failed.CompareAndSwap(nil, &err)
	g.metrics.quarantined.Inc()
	if raftlog.Lasting(err) {
		g.log.Error("the replica stops and is quarantined; replace it", "error", err, "term", g.term, "applied", g.applied)
		g.appends.quarantine(err.Error())
	} else {
		g.log.Error("the replica stops until it is opened again", "error", err, "term", g.term, "applied", g.applied)
	}
	g.end(runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_STORAGE,
		"the replica of %s on broker %d failed while the write was in flight: %v", g.name, g.self, err))
}

// end is the end of a replica that failed. It is called on the worker, or when that has stopped.
func (g *Group) end(reason *runnelv1.Error) {
	g.leave(reason)
	g.machine.Stopped()
}

// leave is the end of the RawNode, for whatever reason. It is called on the worker, or when that has stopped.
func (g *Group) leave(reason *runnelv1.Error) {
	g.rn = nil
	if t := g.transfer; t != nil {
		g.transfer = nil
		t.timer.Stop()
		t.done(false)
	}
	led := g.role == RoleLeader
	g.role, g.lead, g.stopping = RoleFollower, 0, true
	if led {
		g.ceaseToLead(g.term, reason)
	}
	g.endHanded(g.notLeader())
	g.endGiving(false)
	g.failReads(g.notLeader())
	g.showView()
	g.elections.remove(g)
	g.leaders.touched()
	g.publish()
}

// halt ends the replica on the caller's goroutine, in memory: it leads no longer and takes nothing more. close must follow.
func (g *Group) halt() {
	g.task.Stop()
	if g.rn != nil {
		if err := g.Healthy(); err != nil { // the worker had no time to notice
			g.fail(err)
		} else {
			g.leave(runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_LOST_LEADERSHIP,
				"broker %d stopped its replica of %s while the write was in flight; send it again to the new leader", g.self, g.name))
			g.halted = true
		}
	}
	box := g.in.close(g.notLeader())
	for _, f := range box.control {
		f()
	}
	g.refuse(&box)
}

// close closes the log of a replica that was halted. With a checkpoint the next start folds nothing, but it costs a commit.
func (g *Group) close(checkpoint bool) error {
	if g.halted {
		if checkpoint && g.applied > g.store.Checkpoint().Index {
			g.store.OfferCheckpoint(g.checkpoint()) // Close writes it
		}
		g.machine.Stopped()
	}
	g.appends.task.Stop()
	g.reader.task.Stop()
	g.metrics.groups.Dec()
	if err := g.Healthy(); err != nil {
		g.metrics.quarantined.Dec()
		// Once more, in case the append task had no time to: it is idempotent.
		if !raftlog.Lasting(err) {
			return g.closeLog()
		}
		return errors.Join(g.shared.quarantine(g.id, g.replica, err.Error()), g.closeLog())
	}
	return g.closeLog()
}

func (g *Group) closeLog() error {
	err := g.store.Close()
	if raftlog.OutOfSpace(err) { // only the checkpoint was not written
		g.log.Info("no checkpoint at the end", "error", err)
		return nil
	}
	return err
}
