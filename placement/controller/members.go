package controller

import (
	"maps"
	"slices"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/runnel-io/runnel/partition/env"
	"github.com/runnel-io/runnel/placement"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

const (
	// membersRetry is how soon the loop looks again while something is awaited, or after a refused change.
	membersRetry = 100 * time.Millisecond
	// membersEvery is how often the leader looks in any case: silence tells by nothing but time. It is also how often it looks
	// when it has waited for patientLooks in vain.
	membersEvery = time.Second
	patientLooks = 100
)

// members is the membership loop's state. task never blocks; the rest is guarded by Controller.mu.
type members struct {
	task  env.Task
	timer env.Timer
	// conf is raft's configuration as last applied; the group's Status can be older.
	conf *raftpb.ConfState
	// busy while a change is in flight; promoted are those that it makes voters.
	busy     bool
	promoted []uint64
	// where is on which brokers the replicas are.
	where map[uint64]int32
	// changes counts the changes proposed, so that the answer to an abandoned one is known as such.
	changes uint64
	// waited counts the looks in a row at which there was nothing to do but wait.
	waited int
	proof  proof // of the task alone
	// said is the last refusal that was logged: the next 10 a second may be the same.
	said string
}

// stepMembers does the next step, on the leader only; the others listen, since each may lead next. It runs when a session starts, when the
// state or raft's configuration changes, when a change was answered, and each membersEvery.
func (c *Controller) stepMembers() {
	c.listen()
	c.mu.Lock()
	g, leads, busy, conf := c.group, c.pipeline.term != 0, c.members.busy, c.members.conf
	c.mu.Unlock()
	switch {
	case g == nil:
		return
	case !leads:
		c.lookAgain(true, false)
		return
	}
	st := g.Status()
	v := memberView{state: c.State(), conf: conf, self: st.Lead, peers: st.Peers, heard: c.alive, lost: c.hearing.lost}
	now := c.cfg.Env.Now()
	v.proof, v.proofOld = c.proven(now)
	if cmd := v.unrecorded(); cmd != nil {
		c.proposeAside(cmd)
	}
	if busy {
		return
	}
	step := nextStep(v)
	switch step.kind {
	case stepNone, stepWait:
		g.Wake() // what Status tells of peers is as old as the group's last run
	case stepProve:
		c.prove(now, v.self)
	case stepReplace:
		c.proposeAside(placement.ReplaceControllerReplica{Broker: step.broker, Old: step.replica})
	default:
		if !c.changeMembers(g, step) {
			step.kind = stepWait
		}
	}
	c.lookAgain(step.kind == stepNone, step.kind == stepWait || step.kind == stepProve)
}

// listen takes in who is heard.
func (c *Controller) listen() {
	c.hearing.pass(c.cfg.Env.Now(), c.State().Brokers, c.alive)
}

// changeMembers has raft change the group; what was done already is answered as done. It does nothing, and says so, if a command under way
// is about to take the vote that the change gives.
func (c *Controller) changeMembers(g group, step membershipStep) bool {
	c.mu.Lock()
	if c.overtakenLocked(step.voters.Promote) {
		c.mu.Unlock()
		return false
	}
	c.members.busy, c.members.promoted = true, step.voters.Promote
	c.pipeline.version++ // what is being planned knows nothing of it
	c.members.changes++
	change := c.members.changes
	c.mu.Unlock()
	done := func(err error) {
		c.mu.Lock()
		current := c.members.changes == change
		if current {
			c.members.busy = false
		}
		said := ""
		if err != nil {
			said = step.kind.String() + ": " + err.Error()
		}
		again := said == c.members.said
		c.members.said = said
		c.mu.Unlock()
		attrs := []any{"change", step.kind.String(), "replica", step.replica, "broker", step.broker, "promote", step.voters.Promote,
			"demote", step.voters.Demote, "remove", step.voters.Remove, "reason", step.reason}
		switch {
		case err == nil:
			c.log.Info("controller group changed", attrs...)
			c.members.task.Wake()
		case !again:
			c.log.Warn("change of the controller group was not made and will be tried again", append(attrs, "error", err)...)
		}
	}
	switch step.kind {
	case stepLeaveJoint:
		g.LeaveJoint(done)
	case stepVoters:
		g.ChangeVoters(step.voters, done)
	case stepRemoveLearner:
		g.RemoveLearner(step.replica, done)
	case stepAddLearner:
		g.AddLearner(step.replica, step.broker, done)
	default:
		panic("controller: no change of the group: " + step.kind.String())
	}
	return true
}

// proposeAside proposes what nobody waits for; one that is overtaken or lost is proposed again when the loop looks again.
func (c *Controller) proposeAside(cmd placement.Command) {
	c.mu.Lock()
	ahead, version, pending := c.pipeline.ahead, c.pipeline.version, c.pipeline.pending()
	c.mu.Unlock()
	if ahead == nil || pending >= maxPending {
		return
	}
	next, res, err := placement.Apply(ahead, cmd)
	if err != nil {
		c.log.Debug("a change of the controller group is not recorded", "error", err) // what is pending overtook it
		return
	}
	if !res.Changed {
		return // on its way
	}
	if _, e := c.propose(cmd, version, next); e != nil {
		c.log.Error("a change of the controller group could not be recorded", "error", e)
	}
}

// lookAgain has the loop run after a while: soon, unless there is nothing to do or it has waited for long.
func (c *Controller) lookAgain(idle, waits bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped {
		return
	}
	if !waits {
		c.members.waited = 0
	}
	after := membersRetry
	if c.members.waited++; idle || c.members.waited > patientLooks {
		after = membersEvery
	}
	if c.members.timer == nil {
		c.members.timer = c.cfg.Env.AfterFunc(after, c.members.task.Wake)
		return
	}
	c.members.timer.Reset(after)
}

// planRegister makes a command of what a broker says of itself and of its replica of the controller group.
func planRegister(s *placement.State, r RegisterBroker) placement.Command {
	b := s.Brokers[r.Broker.ID]
	if b == nil || b.Incarnation != r.Broker.Incarnation || r.Replica == 0 || r.Replica != b.ControllerReplica {
		return placement.RegisterBroker{Broker: r.Broker} // its answer names the replica
	}
	if r.Lost != "" {
		return placement.ReplaceControllerReplica{Broker: b.ID, Old: r.Replica}
	}
	for _, known := range s.Controller {
		if known.ID == r.Replica {
			return placement.RegisterBroker{Broker: r.Broker}
		}
	}
	return placement.AddControllerReplica{Broker: b.ID, Replica: r.Replica}
}

// votes refuses to remove a broker whose replica of the controller group has a vote in raft's configuration, or may get one by a change
// that is under way: such a replica would be missed by a majority.
func (c *Controller) votes(s *placement.State, broker int32) *runnelv1.Error {
	c.mu.Lock()
	g, conf, busy, promoted := c.group, c.members.conf, c.members.busy, c.members.promoted
	c.mu.Unlock()
	voters := slices.Concat(conf.GetVoters(), conf.GetVotersOutgoing(), conf.GetLearnersNext())
	changing := false
	if g != nil { // its Status may be older: then it shows who voted before
		st := g.Status()
		voters, changing = append(voters, slices.Concat(st.Conf.GetVoters(), st.Conf.GetVotersOutgoing())...), st.Changing
	}
	for _, r := range s.Controller {
		switch {
		case r.Broker != broker:
		case slices.Contains(voters, r.ID):
			return runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_BROKER_IN_USE, "broker %d still votes in the controller group as replica %d: wait until another votes in its place", broker, r.ID)
		case busy && slices.Contains(promoted, r.ID):
			return runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_BROKER_IN_USE, "broker %d is about to vote in the controller group as replica %d: wait until another votes in its place", broker, r.ID)
		}
	}
	if s.Brokers[broker] != nil && changing {
		e := runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_BROKER_IN_USE, "a change of the controller group is not safe from a power cut yet, after which broker %d may be needed: ask again", broker)
		e.Kind = runnelv1.ErrorKind_ERROR_KIND_RETRIABLE
		return e
	}
	return nil
}

// overtakenLocked tells whether a command that is under way removes or drains the broker of a replica.
func (c *Controller) overtakenLocked(replicas []uint64) bool {
	ahead := c.pipeline.ahead
	return ahead != nil && slices.ContainsFunc(replicas, func(id uint64) bool {
		i := slices.IndexFunc(ahead.Controller, func(r placement.Replica) bool { return r.ID == id })
		if i < 0 {
			return true
		}
		b := ahead.Brokers[ahead.Controller[i].Broker]
		return b == nil || b.Draining
	})
}

// whereabouts gives the brokers of all replicas that the state or raft's configuration knows: as long as that has one whose broker was
// removed, what is sent to it has to arrive, or a majority may be missing.
func (c *Controller) whereabouts(s *placement.State) map[uint64]int32 {
	members := s.ControllerMembers()
	c.mu.Lock()
	defer c.mu.Unlock()
	conf := c.members.conf
	for _, id := range slices.Concat(conf.GetVoters(), conf.GetVotersOutgoing(), conf.GetLearners(), conf.GetLearnersNext()) {
		if _, known := members[id]; !known && c.members.where[id] != 0 {
			members[id] = c.members.where[id]
		}
	}
	c.members.where = members
	return maps.Clone(members)
}
