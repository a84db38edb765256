package agent

import (
	"errors"
	"fmt"
	"maps"
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
	r.queued, r.working = false, true
	r.fault = ""
	do, open := r.want, r.open
	a.mu.Unlock()

	var err error
	switch {
	case do == wantGone && !r.gone:
		err = a.remove(r)
	case do == wantRun && !open && r.lost == "":
		err = a.run(r)
	}

	a.mu.Lock()
	defer a.mu.Unlock()
	r.working = false
	if err != nil {
		a.failLocked(r, do, err)
	}
	if r.want != do { // asked for something else meanwhile
		a.enqueueLocked(r)
	}
	return len(a.queue) > 0
}

func (a *Agent) failLocked(r *replica, do want, err error) {
	var q *raftlog.QuarantinedError
	if do == wantRun && errors.As(err, &q) {
		a.loseLocked(r, q.Reason)
		return
	}
	r.fault = err.Error()
	wanted := "start"
	if do == wantGone {
		wanted = "delete"
	}
	a.log.Error("a replica resists and will be tried again", "wanted", wanted, "topic", r.topic, "partition", r.number, "group", r.group, "replica", r.id, "err", err)
}

// run makes a replica, if the disk has none, and starts it.
func (a *Agent) run(r *replica) error {
	a.mu.Lock()
	d, exists := a.onDisk[r.id]
	settings := r.settings
	a.mu.Unlock()
	if d.quarantine != "" {
		return &raftlog.QuarantinedError{Group: r.group, Replica: r.id, Reason: d.quarantine}
	}
	if !exists {
		if at, floor := a.latest.Load().Revision, a.store.Floor(); at < floor {
			return fmt.Errorf("the state here is at revision %d and replicas were deleted at %d: waiting for the newer one", at, floor)
		}
		voters := slices.Sorted(maps.Keys(r.members))
		if err := a.store.Create(r.group, r.id, &raftpb.ConfState{Voters: voters}); err != nil {
			return fmt.Errorf("make the replica on disk: %w", err)
		}
		a.mu.Lock()
		a.onDisk[r.id] = onDisk{group: r.group}
		a.mu.Unlock()
	}
	p := partition.New(partition.Config{
		Env: a.cfg.Env, Topic: r.topic, Number: r.number, Group: r.group, Replica: r.id,
		Settings: settings, Budget: a.cfg.Budget, Metrics: a.cfg.Metrics,
		DiskFull: a.cfg.DiskFull, HasQuorum: a.host.HasQuorumOfBrokers,
	})
	g, err := a.host.StartGroup(multiraft.GroupConfig{
		Group: r.group, Replica: r.id, Members: r.members, Machine: p, Name: r.name(),
		Log:   raftlog.LogOptions{SegmentBytes: settings.SegmentBytes, SegmentAge: time.Duration(settings.SegmentMS) * time.Millisecond},
		Found: !exists && r.preferred,
	})
	if err != nil {
		return fmt.Errorf("start the replica: %w", err)
	}
	p.Attach(g)
	r.partition = p
	r.status = func() status {
		st := g.Status()
		_, _, led := a.host.Leader(r.group)
		// Who leads is known by the leaders' own word before raft's next slow heartbeat tells this replica.
		return status{commit: st.Commit, applied: st.Applied, hasLeader: st.Lead != 0 || led, leads: st.Session, lost: g.Healthy() != nil}
	}

	a.mu.Lock()
	defer a.mu.Unlock()
	r.open = true
	if r.settings != settings {
		p.SetSettings(r.settings)
	}
	if r.want == wantRun { // else it is removed next
		a.running.Store(r.group, r)
	}
	return nil
}

// remove stops a replica, deletes its data and has that reported. Everything in it may be repeated.
func (a *Agent) remove(r *replica) error {
	a.mu.Lock()
	open := r.open
	a.mu.Unlock()
	if open {
		if err := a.host.StopGroup(r.group); err != nil {
			return fmt.Errorf("stop the replica: %w", err)
		}
		a.mu.Lock()
		r.open = false
		a.mu.Unlock()
	}
	if err := a.store.RaiseFloor(a.latest.Load().Revision); err != nil {
		return fmt.Errorf("record the revision: %w", err)
	}
	if err := a.store.Delete(r.group, r.id); err != nil {
		return fmt.Errorf("delete the replica's data: %w", err)
	}
	a.log.Debug("replica deleted with its topic", "topic", r.topic, "partition", r.number, "group", r.group, "replica", r.id)
	a.mu.Lock()
	r.gone = true
	delete(a.onDisk, r.id)
	delete(a.replicas, r.id) // the state never names this id again
	a.mu.Unlock()
	a.forget.add(r.id)
	return nil
}
