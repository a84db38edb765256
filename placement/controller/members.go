package controller

import (
	"slices"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/runnel-io/runnel/partition/env"
	"github.com/runnel-io/runnel/partition/multiraft"
	"github.com/runnel-io/runnel/placement"
)

const (
	// maxVoters of the controller group: more only slow it down. The other brokers are learners.
	maxVoters = 5
	// nearEnd is how many entries a learner may lack and still count as caught up.
	nearEnd = 64
	// membersRetry is how long the loop waits for a learner to catch up, or after a refused change, before it looks again.
	membersRetry = 100 * time.Millisecond
)

// members is the membership loop's state. task never blocks; the rest is guarded by Controller.mu.
type members struct {
	task  env.Task
	timer env.Timer
	// conf is raft's configuration as last applied; the group's Status can be older.
	conf *raftpb.ConfState
	// busy while a change is in flight.
	busy bool
	// changes counts the changes proposed, so that the answer to an abandoned one is known as such.
	changes uint64
}

// membershipStep is the next thing to do to the controller group.
type membershipStep struct {
	kind    stepKind
	replica uint64
	broker  int32
}

type stepKind int

const (
	stepNone       stepKind = iota // the group is as it should be
	stepWait                       // a learner that should become a voter has not caught up
	stepAddLearner                 // a registered broker's replica is not in the group
	stepPromote                    // a learner has caught up and there is room for a voter
	stepRecord                     // the state does not know yet that a replica votes
)

// nextStep compares the state's replicas of the controller group with raft's configuration. Replicas are taken in
// the order of their ids, so the oldest brokers vote.
func nextStep(s *placement.State, conf *raftpb.ConfState, st multiraft.Status) membershipStep {
	if conf == nil || len(conf.GetVotersOutgoing()) > 0 {
		return membershipStep{kind: stepWait}
	}
	voters, learners := conf.GetVoters(), conf.GetLearners()
	wait := false
	// Promotions first: a cluster of one voter and many learners survives nothing.
	for _, r := range s.Controller {
		if len(voters) >= maxVoters || !slices.Contains(learners, r.ID) {
			continue
		}
		if caughtUp(st, r.ID) {
			return membershipStep{kind: stepPromote, replica: r.ID, broker: r.Broker}
		}
		wait = true
	}
	for _, r := range s.Controller {
		if !slices.Contains(voters, r.ID) && !slices.Contains(learners, r.ID) {
			return membershipStep{kind: stepAddLearner, replica: r.ID, broker: r.Broker}
		}
	}
	for _, r := range s.Controller {
		if r.Learner == slices.Contains(voters, r.ID) {
			return membershipStep{kind: stepRecord, replica: r.ID, broker: r.Broker}
		}
	}
	if wait {
		return membershipStep{kind: stepWait}
	}
	return membershipStep{}
}

func caughtUp(st multiraft.Status, replica uint64) bool {
	p, ok := st.Peers[replica]
	return ok && p.RecentActive && p.State == "StateReplicate" && p.Match > 1 && p.Match+nearEnd >= st.Last
}

// stepMembers does the next step, on the leader only. It runs when a session starts, when the state's replicas or
// raft's configuration change, when a change was answered, and after membersRetry while something is awaited.
func (c *Controller) stepMembers() {
	c.mu.Lock()
	g, leads, busy, conf := c.group, c.pipeline.term != 0, c.members.busy, c.members.conf
	c.mu.Unlock()
	if g == nil || !leads || busy {
		return
	}
	s := c.State()
	step := nextStep(s, conf, g.Status())
	switch step.kind {
	case stepNone:
	case stepWait:
		c.lookAgain()
	case stepAddLearner:
		c.changeMembers(g, step, raftpb.ConfChangeType_ConfChangeAddLearnerNode)
	case stepPromote:
		c.changeMembers(g, step, raftpb.ConfChangeType_ConfChangeAddNode)
	case stepRecord:
		c.recordRole(s, step.replica)
	}
}

func (c *Controller) changeMembers(g group, step membershipStep, kind raftpb.ConfChangeType) {
	c.mu.Lock()
	c.members.busy = true
	c.members.changes++
	change := c.members.changes
	c.mu.Unlock()
	cc := raftpb.ConfChange{Type: &kind, NodeId: &step.replica}
	g.ProposeConf(cc.AsV2(), func(err error) {
		c.mu.Lock()
		if c.members.changes == change {
			c.members.busy = false
		}
		c.mu.Unlock()
		if err != nil {
			c.log.Warn("change of the controller group was not made and will be tried again",
				"change", kind.String(), "replica", step.replica, "broker", step.broker, "err", err)
			c.lookAgain()
			return
		}
		c.log.Info("controller group changed", "change", kind.String(), "replica", step.replica, "broker", step.broker)
		c.members.task.Wake()
	})
}

// recordRole proposes what the loop did; nobody waits for it, and a lost one is proposed again.
func (c *Controller) recordRole(s *placement.State, replica uint64) {
	c.mu.Lock()
	ahead, version, pending := c.pipeline.ahead, c.pipeline.version, c.pipeline.pending()
	c.mu.Unlock()
	if ahead != s || pending > 0 { // busy with requests: later
		c.lookAgain()
		return
	}
	i := slices.IndexFunc(s.Controller, func(r placement.Replica) bool { return r.ID == replica })
	cmd := placement.SetControllerReplica{Replica: replica, Learner: !s.Controller[i].Learner}
	next, _, err := placement.Apply(s, cmd)
	if err != nil {
		c.log.Error("role of a controller replica could not be recorded", "replica", replica, "err", err)
		return
	}
	if _, e := c.propose(cmd, version, next); e != nil {
		c.log.Error("role of a controller replica could not be recorded", "replica", replica, "err", e)
		return
	}
	c.lookAgain()
}

// lookAgain has the loop run after a while.
func (c *Controller) lookAgain() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped {
		return
	}
	if c.members.timer == nil {
		c.members.timer = c.cfg.Env.AfterFunc(membersRetry, c.members.task.Wake)
		return
	}
	c.members.timer.Reset(membersRetry)
}
