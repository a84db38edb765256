package multiraft

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"go.etcd.io/raft/v3"

	"github.com/runnel-io/runnel/partition/env"
	"github.com/runnel-io/runnel/partition/raftlog"
	"github.com/runnel-io/runnel/partition/record"
)

// errStopped is returned by StartGroup after Stop.
var errStopped = errors.New("the host has stopped")

// StartGroup opens a replica's log, restores its machine and runs it. It blocks on the disk. The errors of
// raftlog.OpenLog pass through (ErrUnknownReplica, *QuarantinedError).
func (h *Host) StartGroup(c GroupConfig) (*Group, error) {
	if h.stopped.Load() {
		return nil, errStopped
	}
	if h.groups.get(c.Group) != nil {
		return nil, fmt.Errorf("start group %d: %w", c.Group, errGroupRuns)
	}
	g := &Group{
		shared: h.shared, id: c.Group, replica: c.Replica, name: c.Name, machine: c.Machine, held: c.Held,
		log:       h.log.With("group", c.Group, "replica", c.Replica, "name", c.Name),
		snapshots: make(map[uint64]time.Time),
	}
	if g.name == "" {
		g.name = fmt.Sprintf("group %d", c.Group)
	}
	g.members.set(c.Members, nil)
	if g.SetGone(c.Gone); c.GoneIf != nil {
		g.SetGoneIf(c.GoneIf)
	}
	g.showView()
	g.task = h.env.NewTask(env.ClassRaft, "raft "+g.name, g.run)
	g.appends.g = g
	g.appends.task = h.env.NewTask(env.ClassAppend, "append "+g.name, g.appends.run)
	g.reader.task = h.env.NewTask(env.ClassServe, "read "+g.name, g.reader.run)
	if err := g.open(h, c); err != nil {
		return nil, fmt.Errorf("start %s: %w", g.name, err)
	}
	if c.Found {
		g.foundUntil = h.env.Now().Add(foundFor)
	}
	g.showView()
	g.publish()
	if !h.groups.add(g) {
		why := errGroupRuns
		if h.stopped.Load() {
			why = errStopped
		}
		return nil, errors.Join(fmt.Errorf("start group %d: %w", c.Group, why), g.store.Close())
	}
	h.metrics.groups.Inc()
	g.elections.add(g)
	g.task.Wake()
	return g, nil
}

// open opens the log, folds it into the machine and makes the RawNode. Raft panics on what it does not like in a log; that
// quarantines the replica.
func (g *Group) open(h *Host, c GroupConfig) (err error) {
	o := c.Log
	if o.Spawn == nil {
		o.Spawn = g.reader.spawn
	}
	ready, poisoned := o.Ready, o.Poisoned
	o.Ready = func() {
		g.do(g.poke)
		if ready != nil {
			ready()
		}
	}
	o.Poisoned = func(err error) {
		g.poisoned(err)
		if poisoned != nil {
			poisoned(err)
		}
	}
	if g.store, err = h.store.OpenLog(c.Group, c.Replica, o); err != nil {
		return err
	}
	defer func() {
		if p := recover(); p != nil {
			if err = g.panicError(p); raftlog.Lasting(err) {
				err = errors.Join(err, g.shared.quarantine(g.id, g.replica, err.Error()))
			}
		}
		if err != nil {
			err = errors.Join(err, g.store.Close())
		}
	}()
	if err := g.restore(); err != nil {
		return err
	}
	return g.newRawNode()
}

// restore brings the machine to where raft goes on: the checkpoint, then everything committed before the first conf change
// after it (RULES 6). Raft delivers the rest again.
func (g *Group) restore() error {
	cp := g.store.Checkpoint()
	if err := g.machine.Restore(cp); err != nil {
		return fmt.Errorf("restore the checkpoint at index %d: %w", cp.Index, err)
	}
	g.conf, g.next, g.applied, g.appliedTerm = cp.Conf, cp.Next, cp.Index, cp.Term
	to := g.store.FoldTo()
	if to > cp.Index {
		err := g.store.FoldEntries(cp.Index+1, to, func(m record.Meta, payload []byte) error {
			if m.Index != g.applied+1 {
				return fmt.Errorf("entry %d follows entry %d", m.Index, g.applied)
			}
			g.machine.Apply(m, payload)
			g.next, g.applied, g.appliedTerm = m.Next, m.Index, m.Term
			return nil
		})
		if err != nil {
			return fmt.Errorf("fold the log from index %d: %w", cp.Index+1, err)
		}
	}
	g.machine.Applied(g.applied)
	return nil
}

func (g *Group) newRawNode() error {
	hs, _, err := g.store.InitialState()
	if err != nil {
		return fmt.Errorf("read the log's state: %w", err)
	}
	g.term, g.commit = hs.GetTerm(), hs.GetCommit()
	g.queuedTerm, g.queuedVote = hs.GetTerm(), hs.GetVote()
	if g.last, err = g.store.LastIndex(); err != nil {
		return fmt.Errorf("read the log's end: %w", err)
	}
	if g.last <= 1 {
		g.delay = freshDelay
	}
	g.rn, err = raft.NewRawNode(&raft.Config{
		ID:                        g.replica,
		ElectionTick:              electionTicks,
		HeartbeatTick:             1,
		Storage:                   g.store,
		Applied:                   g.applied,
		AsyncStorageWrites:        true,
		MaxSizePerMsg:             g.limits.messageBytes,
		MaxCommittedSizePerReady:  g.limits.applyBytes,
		MaxUncommittedEntriesSize: g.limits.uncommittedBytes,
		MaxInflightMsgs:           g.limits.inflightMessages,
		MaxInflightBytes:          g.limits.inflightBytes,
		CheckQuorum:               true,
		PreVote:                   true,
		ReadOnlyOption:            raft.ReadOnlySafe,
		Logger:                    raftLogger{g.log.With(slog.String("source", "raft"))},
		DisableProposalForwarding: true,
		StepDownOnRemoval:         true,
	})
	if err != nil {
		return fmt.Errorf("start raft: %w", err)
	}
	g.store.SetApplied(g.applied)
	return nil
}
