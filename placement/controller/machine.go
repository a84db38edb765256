package controller

import (
	"encoding/binary"
	"fmt"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/runnel-io/runnel/partition/multiraft"
	"github.com/runnel-io/runnel/partition/raftlog"
	"github.com/runnel-io/runnel/partition/record"
	"github.com/runnel-io/runnel/placement"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

var _ multiraft.Machine = (*Controller)(nil)

// A command's payload in the log: format (1), nonce of the proposing Controller (8, little endian), its sequence (8),
// then what placement.Encode made.
const (
	payloadFormat = 1
	payloadHeader = 1 + 8 + 8
)

func putPayload(nonce, seq uint64, appendMS int64, command []byte) []byte {
	b := make([]byte, record.EnvelopeLen+payloadHeader, record.EnvelopeLen+payloadHeader+len(command))
	record.PutEnvelope(b, record.KindCommand, appendMS)
	p := b[record.EnvelopeLen:]
	p[0] = payloadFormat
	binary.LittleEndian.PutUint64(p[1:], nonce)
	binary.LittleEndian.PutUint64(p[9:], seq)
	return append(b, command...)
}

func openPayload(p []byte) (nonce, seq uint64, command []byte, err error) {
	if len(p) < payloadHeader || p[0] != payloadFormat {
		return 0, 0, nil, placement.Errorf(placement.CodeUnknownCommand, "controller entry of %d bytes has an unknown format", len(p))
	}
	return binary.LittleEndian.Uint64(p[1:]), binary.LittleEndian.Uint64(p[9:]), p[payloadHeader:], nil
}

// Restore implements multiraft.Machine. It is the first call of the group's, also after Stopped: a broker whose replica is replaced
// goes on with the same Controller, which keeps its listeners and, until now, the state of before.
func (c *Controller) Restore(cp raftlog.Checkpoint) error {
	s := placement.New()
	if len(cp.State) > 0 {
		var err error
		if s, err = placement.Unmarshal(cp.State); err != nil {
			return fmt.Errorf("controller checkpoint at index %d: %w", cp.Index, err)
		}
	}
	c.fold, c.done = s, c.done[:0]
	c.mu.Lock()
	if c.stopped { // the group goes on with another replica
		c.stopped, c.group = false, nil
		c.members = members{task: c.newMembersTask()}
	}
	c.members.conf = cp.Conf
	c.mu.Unlock()
	c.publish()
	return nil
}

// unknownCommand ends the replica at a command that this release cannot read. To skip it would leave this broker with a state that
// no other has, and unnoticed.
type unknownCommand struct {
	index uint64
	err   error
}

func (e *unknownCommand) Error() string {
	return fmt.Sprintf("the controller's log has a command at index %d that this release cannot read (%v): upgrade this broker", e.index, e.err)
}

// Unwrap gives what is wrong with the command.
func (e *unknownCommand) Unwrap() error { return e.err }

// Passing implements raftlog.Passing: the log is sound.
func (e *unknownCommand) Passing() {}

// Apply implements multiraft.Machine: it folds one committed entry. It panics at one that it cannot read, which stops the replica.
func (c *Controller) Apply(m record.Meta, payload []byte) {
	if m.Conf || m.Kind != record.KindCommand {
		return
	}
	nonce, seq, b, err := openPayload(payload)
	var cmd placement.Command
	if err == nil {
		cmd, err = placement.Decode(b)
	}
	if err != nil {
		c.unknown.Add(1)
		panic(&unknownCommand{m.Index, err})
	}
	var r placement.Result
	c.fold, r, err = placement.Apply(c.fold, cmd)
	if nonce == c.nonce {
		if m.Index > c.told { // else the replica was opened again, and folds what it has told of
			c.told = m.Index
			c.audit(cmd, r, c.fold.Revision)
			if err == nil && r.Changed {
				c.actions.did(placement.CommandName(cmd))
			}
		}
		c.done = append(c.done, applied{seq: seq, outcome: outcome{result: r, state: c.fold, err: toError(err), index: m.Index}})
	}
}

// Applied implements multiraft.Machine: it publishes the state and answers those whose command it holds.
func (c *Controller) Applied(uint64) {
	c.publish()
	if len(c.done) == 0 {
		return
	}
	c.mu.Lock()
	for _, d := range c.done {
		c.pipeline.complete(d)
	}
	c.pipeline.settle(c.fold)
	c.mu.Unlock()
	c.done = c.done[:0]
}

// publish makes the folded state the one that others see.
func (c *Controller) publish() {
	old := c.State()
	if old == c.fold {
		return
	}
	c.published.Store(c.fold)
	c.hearing.follow(c.cfg.tuning(c.fold).ReplaceAfter)
	c.mu.Lock()
	g := c.group
	kept := c.waiters[:0]
	for _, w := range c.waiters {
		if w.revision <= c.fold.Revision {
			close(w.reached)
		} else {
			kept = append(kept, w)
		}
	}
	clear(c.waiters[len(kept):])
	c.waiters = kept
	c.mu.Unlock()
	if g != nil && !sameReplicas(old.Controller, c.fold.Controller) {
		g.SetMembers(c.whereabouts(c.fold))
	}
	if g != nil {
		c.silence(g, c.fold)
	}
	if g != nil {
		c.members.task.Wake() // a broker was registered, drained, removed or given another replica
	}
	if d := c.driving(); d != nil {
		d.wake()
	}
	c.telling.Lock()
	defer c.telling.Unlock()
	for _, l := range c.listeners {
		l.tell(c.fold)
	}
}

// sameReplicas tells whether two published lists are the same one: Apply copies a list that it changes.
func sameReplicas(a, b []placement.Replica) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}

// Turn implements multiraft.Machine: it gives the queued commands to the log.
func (c *Controller) Turn(multiraft.Session) [][]byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.pipeline.take()
}

// Proposed implements multiraft.Machine.
func (c *Controller) Proposed(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pipeline.proposed(err)
}

// SessionStarted implements multiraft.Machine: everything committed before is applied, so planning may begin.
func (c *Controller) SessionStarted(s multiraft.Session) {
	c.mu.Lock()
	c.pipeline.open(s.Term, c.fold)
	c.members.busy = false
	c.mu.Unlock()
	c.hearing.began()
	c.log.Info("this broker leads the cluster", "term", s.Term, "revision", c.fold.Revision)
	c.members.task.Wake()
	c.startDriving()
}

// SessionEnded implements multiraft.Machine.
func (c *Controller) SessionEnded(reason *runnelv1.Error) {
	why := "the controller group has another leader or none"
	if reason != nil {
		why = reason.Error()
	}
	c.mu.Lock()
	term := c.pipeline.term
	c.pipeline.close(
		runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_NOT_CONTROLLER, "broker %d no longer leads the controller group: %s", c.cfg.BrokerID, why),
		runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_LOST_LEADERSHIP, "broker %d lost the controller group while the change was in flight (%s): look whether it took effect", c.cfg.BrokerID, why),
	)
	c.members.busy = false
	c.mu.Unlock()
	c.endDriving()
	if term != 0 {
		c.log.Info("this broker no longer leads the cluster", "term", term, "reason", why)
	}
}

// Conf implements multiraft.Machine.
func (c *Controller) Conf(cs *raftpb.ConfState) {
	c.mu.Lock()
	c.members.conf = cs
	g, extra := c.group, len(c.members.where) != len(c.fold.Controller)
	c.mu.Unlock()
	if g != nil && extra { // one that only raft knew may be gone
		g.SetMembers(c.whereabouts(c.fold))
	}
	c.members.task.Wake()
}

// Checkpoint implements multiraft.Machine. The group's entries take no offsets.
func (c *Controller) Checkpoint() (next, logStart int64, state []byte) {
	b, err := c.fold.Marshal()
	if err != nil {
		// The state came from JSON, so this is a defect; a checkpoint without state would be read as an empty cluster.
		panic(err)
	}
	return 0, 0, b
}

// Stopped implements multiraft.Machine.
func (c *Controller) Stopped() {
	c.mu.Lock()
	c.stopped = true
	stopping := func(r runnelv1.ErrorReason) *runnelv1.Error {
		return runnelv1.Errorf(r, "broker %d stops its controller replica", c.cfg.BrokerID)
	}
	c.pipeline.close(stopping(runnelv1.ErrorReason_ERROR_REASON_STOPPING), stopping(runnelv1.ErrorReason_ERROR_REASON_LOST_LEADERSHIP))
	for _, w := range c.waiters {
		close(w.reached)
	}
	c.waiters = nil
	timer := c.members.timer
	c.mu.Unlock()
	c.endDriving()
	if timer != nil {
		timer.Stop()
	}
	c.members.task.Stop()
	if c.cfg.Stopped != nil {
		c.cfg.Stopped()
	}
}
