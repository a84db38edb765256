package agent

import (
	"fmt"
	"slices"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/runnel-io/runnel/partition"
	"github.com/runnel-io/runnel/partition/multiraft"
	"github.com/runnel-io/runnel/partition/raftlog"
)

// work does one piece of the queue and tells whether there is more.
func (a *Agent) work() bool {
	a.mu.Lock()
	if len(a.queue) == 0 || a.stopped {
		a.mu.Unlock()
		return false
	}
	r := a.queue[0]
	a.queue[0] = nil
	a.queue = a.queue[1:]
	r.queued = false
	if r.working { // its successor is stopping it
		r.again = true
		more := len(a.queue) > 0
		a.mu.Unlock()
		return more
	}
	r.working, r.again, r.fault = true, false, ""
	do, lost := r.want, r.lost != ""
	a.mu.Unlock()

	var err error
	switch {
	case do == wantGone && !r.gone:
		err = a.remove(r)
	case do == wantAside:
		err = a.aside(r)
	case do == wantRun && !lost:
		err = a.keep(r)
	}

	a.mu.Lock()
	defer a.mu.Unlock()
	r.working = false
	if err != nil {
		a.failLocked(r, do, err)
	}
	if r.again {
		a.enqueueLocked(r)
	}
	if a.waking.tried(r.id) {
		a.host.ReleaseHeld()
	}
	return len(a.queue) > 0
}

// keep brings a replica nearer to running as the state says.
func (a *Agent) keep(r *replica) error {
	a.mu.Lock()
	stray := r.install != nil && r.birth != birthInstalled
	a.mu.Unlock()
	if stray { // before the disk is looked at: it may just have got there
		if ended, err := a.endInstall(r); !ended || err != nil {
			return err // the end of the install comes back here
		}
	}
	a.mu.Lock()
	d, exists := a.onDisk[r.id]
	birth, founders, open := r.birth, r.founders, r.live != nil && !r.live.mayRunAgain()
	takesUp, judged := r.recovery.revision > r.recovered, a.judged
	a.mu.Unlock()
	switch {
	case d.quarantine != "":
		return &raftlog.QuarantinedError{Group: r.group, Replica: r.id, Reason: d.quarantine}
	case exists && open && !takesUp:
		return nil
	case exists:
		if id := a.successor(r); id != 0 {
			a.mu.Lock()
			r.yields = true
			a.mu.Unlock()
			return yield(id)
		}
		return a.run(r, false)
	}
	switch birth {
	case birthInstalled:
		return a.beginInstall(r)
	case birthCancelled:
		return nil // its tombstone comes
	}
	if err := a.stateIsNew(judged); err != nil {
		return err
	}
	if birth != birthFounder {
		return &raftlog.QuarantinedError{Group: r.group, Replica: r.id, Reason: "it belongs on this broker but is not on its disk, and cannot be made anew under its id"}
	}
	if err := a.store.Create(r.group, r.id, &raftpb.ConfState{Voters: founders}); err != nil {
		return fmt.Errorf("make the replica on disk: %w", err)
	}
	a.mu.Lock()
	a.onDisk[r.id] = onDisk{group: r.group}
	a.mu.Unlock()
	return a.run(r, true)
}

// stateIsNew tells whether a replica that is not on the disk may be judged by a state: an old one, as a broker sees it for a while
// after its start, may want what was deleted since.
func (a *Agent) stateIsNew(at uint64) error {
	if floor := a.store.Floor(); at < floor {
		return &waitError{fmt.Sprintf("the state here is at revision %d and replicas were deleted at %d: waiting for the newer one", at, floor)}
	}
	return nil
}

// run starts a replica that is on the disk. created tells that it was made just now.
func (a *Agent) run(r *replica, created bool) error {
	if err := a.makeRoom(r); err != nil {
		return err
	}
	if err := a.takeUp(r); err != nil {
		return err
	}
	a.mu.Lock()
	settings, members, gone, preferred := r.settings, r.members, a.goneLocked(r), r.preferred
	held := a.waking.closed[r.id]
	a.mu.Unlock()
	p := partition.New(partition.Config{
		Env: a.cfg.Env, Topic: r.topic, Number: r.number, Group: r.group, Replica: r.id,
		Settings: settings, Budget: a.cfg.Budget, Metrics: a.cfg.Metrics,
		DiskFull: a.cfg.DiskFull,
	})
	g, err := a.host.StartGroup(multiraft.GroupConfig{
		Group: r.group, Replica: r.id, Members: members, GoneIf: gone, Machine: p, Name: r.name(),
		Log:   raftlog.LogOptions{SegmentBytes: settings.SegmentBytes, SegmentAge: time.Duration(settings.SegmentMS) * time.Millisecond},
		Found: created && preferred, Held: held,
	})
	if err != nil {
		return fmt.Errorf("start the replica: %w", err)
	}
	p.Attach(g)
	l := &live{replica: r, partition: p, raft: g, turn: make(chan struct{}, 1), since: a.cfg.Env.Now()}
	l.status = func() status {
		st := g.Status()
		_, _, led := a.host.Leader(r.group)
		// Who leads is known by the leaders' own word before raft's next slow heartbeat tells this replica.
		return status{commit: st.Commit, applied: st.Applied, hasLeader: st.Lead != 0 || led, leads: st.Session, lost: g.Healthy() != nil}
	}

	a.mu.Lock()
	defer a.mu.Unlock()
	r.live, r.yields = l, false
	a.opened[r.group] = l
	if r.settings != settings {
		l.setSettings(r.settings)
	}
	g.SetMembers(r.members) // which may have changed meanwhile
	g.SetGoneIf(a.goneLocked(r))
	if r.want == wantRun { // else it is removed next
		a.serve(l)
	}
	return nil
}

// successor finds the replica that a move installed on this broker in the place of another one here. The host runs one replica of a
// group, so the old one stops as soon as the new one is on the disk: it was given up, since it failed or can never catch up. It
// runs again if the move is turned back. 0 if there is none.
func (a *Agent) successor(r *replica) uint64 {
	p := partitionAt(a.latest.Load(), r)
	if p == nil || p.Move == nil || p.Move.Cancelled || !slices.Contains(p.Move.Removes, r.id) {
		return 0
	}
	next, ok := p.Joining(a.cfg.BrokerID)
	if !ok || !p.Move.Installed() {
		return 0
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, there := a.onDisk[next.ID]; !there {
		return 0
	}
	return next.ID
}

func yield(successor uint64) error {
	return &waitError{fmt.Sprintf("replica %d takes its place", successor)}
}

// makeRoom ends what else of the group is open in the host: the replica itself, which starts again, or one whose successor this one
// is.
func (a *Agent) makeRoom(r *replica) error {
	a.mu.Lock()
	o := a.opened[r.group]
	a.mu.Unlock()
	if o == nil {
		return nil
	}
	if o.replica != r {
		err := o.raft.Healthy()
		yields := a.successor(o.replica) == r.id || a.comesBefore(r, o.replica)
		if err == nil && !yields {
			return &waitError{fmt.Sprintf("replica %d of the same partition still runs here", o.id)}
		}
		a.mu.Lock()
		if o.working {
			a.mu.Unlock()
			return &waitError{fmt.Sprintf("replica %d of the same partition is being stopped", o.id)}
		}
		o.working = true
		switch {
		case o.lost != "":
		case err != nil && (raftlog.Lasting(err) || !yields):
			o.lost = err.Error()
		default:
			o.yields = true
			a.failLocked(o.replica, wantRun, yield(r.id))
		}
		a.mu.Unlock()
		defer func() {
			a.mu.Lock()
			defer a.mu.Unlock()
			if o.working = false; o.again {
				a.enqueueLocked(o.replica)
			}
		}()
	}
	return a.halt(o)
}

// comesBefore tells whether a stray gives way to a replica, which the state names.
func (a *Agent) comesBefore(r, stray *replica) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return stray.stray && !r.stray
}

// halt stops a replica that is open. The caller is at work on it.
func (a *Agent) halt(r *live) error {
	a.unserve(r)
	if err := a.host.StopGroup(r.group); err != nil {
		return fmt.Errorf("stop the replica: %w", err)
	}
	a.mu.Lock()
	r.live = nil
	delete(a.opened, r.group)
	delete(a.lacking, r)
	a.mu.Unlock()
	return nil
}

// remove stops a replica, deletes its data and has that reported. Everything in it may be repeated.
func (a *Agent) remove(r *replica) error {
	if ended, err := a.endInstall(r); !ended || err != nil {
		return err // the end of the install comes back here
	}
	a.mu.Lock()
	open, revision := r.live, r.goneAt
	a.mu.Unlock()
	if open != nil {
		if err := a.halt(open); err != nil {
			return err
		}
	}
	if err := a.store.RaiseFloor(revision); err != nil {
		return fmt.Errorf("record the revision: %w", err)
	}
	if err := a.store.Delete(r.group, r.id); err != nil {
		return fmt.Errorf("delete the replica's data: %w", err)
	}
	a.log.Debug("replica deleted", "topic", r.topic, "partition", r.number, "group", r.group, "replica", r.id)
	a.mu.Lock()
	r.gone = true
	delete(a.onDisk, r.id)
	delete(a.replicas, r.id) // the state never names this id again
	delete(a.faulty, r.id)
	a.mu.Unlock()
	a.forget.add(r.id)
	return nil
}
