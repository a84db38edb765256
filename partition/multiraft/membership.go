package multiraft

import (
	"errors"
	"slices"
	"time"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"go.etcd.io/raft/v3/tracker"

	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// The steps by which a replica takes another's place (RULES 20): AddLearner, ChangeVoters, LeaveJoint; RemoveLearner on the way back.
// Each is one configuration change on the leader in session. Each may be asked for again: where it has taken effect already
// the answer is nil. done is called as ProposeConf does.

// maxLearnerLag is how many entries a learner may lack and still count as caught up.
const maxLearnerLag = 64

// VoterChange is a change of the voters that takes effect as a whole.
type VoterChange struct {
	Promote []uint64 // learners that become voters
	Demote  []uint64 // voters that become learners
	Remove  []uint64 // voters or learners that leave
}

// AddLearner makes a replica that is installed on a broker a learner. It gets from raft what was added since it was
// installed. The other replicas learn of its broker by SetMembers, before one of them leads. If what was added
// is no longer in the log, it can never catch up: PeerStatus.Behind tells, and it has to be replaced.
func (g *Group) AddLearner(replica uint64, broker int32, done func(error)) {
	g.change(done, func() (*raftpb.ConfChangeV2, error) {
		if slices.Contains(voters(g.conf), replica) {
			return nil, nil
		}
		g.members.put(replica, broker) // before raft sends it anything
		if slices.Contains(g.conf.GetLearners(), replica) {
			return nil, nil
		}
		return oneChange(raftpb.ConfChangeAddLearnerNode, replica), nil
	})
}

// RemoveLearner takes a learner out. It refuses a voter. That there is none is said only after a majority has confirmed that this replica
// leads, and while no change is under way that may bring it: whoever asked may delete its data.
func (g *Group) RemoveLearner(replica uint64, done func(error)) {
	g.removeLearner(replica, false, done)
}

// confirmed tells that a majority did so since it was asked for.
func (g *Group) removeLearner(replica uint64, confirmed bool, done func(error)) {
	g.change(done, func() (*raftpb.ConfChangeV2, error) {
		if slices.Contains(voters(g.conf), replica) {
			return nil, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, "replica %d of %s is a voter, not a learner", replica, g.name)
		}
		if g.confChange != nil {
			return nil, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_UNAVAILABLE, "another membership change of %s is under way; try again", g.name)
		}
		switch {
		case slices.Contains(g.conf.GetLearners(), replica):
			return oneChange(raftpb.ConfChangeRemoveNode, replica), nil
		case confirmed:
			return nil, nil
		}
		g.reads.waiting = append(g.reads.waiting, func(_ uint64, err error) {
			if err != nil {
				done(err)
				return
			}
			g.removeLearner(replica, true, done)
		})
		return nil, errLater
	})
}

// ChangeVoters enters a joint configuration, which lasts until LeaveJoint. It refuses, as retriable, to promote a learner that has not caught
// up; to go where no majority of the voters to be is heard and near the log's end, since nothing would be committed there; and to take the
// leader's own vote while a voter that stays is ready to lead: then it hands the leadership over, to be asked there. If none is,
// as in a group of one voter, the leader goes on into the joint configuration, and LeaveJoint hands over to a new voter.
func (g *Group) ChangeVoters(c VoterChange, done func(error)) {
	g.change(done, func() (*raftpb.ConfChangeV2, error) {
		if c.tookEffect(g.conf) {
			return nil, nil
		}
		if len(g.conf.GetVotersOutgoing()) > 0 {
			return nil, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_UNAVAILABLE, "%s is in another joint configuration; leave it first", g.name)
		}
		for _, id := range c.Promote {
			if !slices.Contains(voters(g.conf), id) && !g.fit(id) {
				return nil, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_UNAVAILABLE, "replica %d of %s has not caught up; promote it later", id, g.name)
			}
		}
		if next := c.voters(g.conf); !majority(next, g.fit) {
			return nil, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_UNAVAILABLE,
				"of the voters that %s would have, %v, no majority is alive and near the end of the log; change them later", g.name, next)
		}
		if c.takes(g.replica) {
			stays := func(id uint64) bool { return !c.takes(id) && !g.inVain(id) }
			if g.transfer != nil || g.successorOf(stays) != 0 {
				return nil, g.handOverFirst(stays)
			}
		}
		cc := &raftpb.ConfChangeV2{Transition: raftpb.ConfChangeTransitionJointExplicit.Enum()}
		add := func(typ raftpb.ConfChangeType, ids []uint64) {
			for _, id := range ids {
				cc.Changes = append(cc.Changes, &raftpb.ConfChangeSingle{Type: typ.Enum(), NodeId: new(id)})
			}
		}
		add(raftpb.ConfChangeAddNode, c.Promote)
		add(raftpb.ConfChangeAddLearnerNode, c.Demote)
		add(raftpb.ConfChangeRemoveNode, c.Remove)
		return cc, nil
	})
}

// LeaveJoint ends a joint configuration. It answers when that is applied, before it is settled: Status.Changing tells. A leader that has no vote in what comes hands the leadership over first.
func (g *Group) LeaveJoint(done func(error)) {
	g.change(done, func() (*raftpb.ConfChangeV2, error) {
		if len(g.conf.GetVotersOutgoing()) == 0 {
			return nil, nil
		}
		if !slices.Contains(g.conf.GetVoters(), g.replica) {
			return nil, g.handOverFirst(func(id uint64) bool { return slices.Contains(g.conf.GetVoters(), id) && !g.inVain(id) })
		}
		return &raftpb.ConfChangeV2{}, nil
	})
}

// errLater is the plan's word that it calls done itself.
var errLater = errors.New("answered later")

// change runs one step on the worker. plan gives the change, or nil for none that is needed.
func (g *Group) change(done func(error), plan func() (*raftpb.ConfChangeV2, error)) {
	g.in.control(func() {
		if g.rn == nil || !g.session {
			done(g.notLeader())
			return
		}
		cc, err := plan()
		if err == nil && cc != nil {
			if err = g.proposeConf(cc, done); err == nil {
				return // done when it is applied
			}
		}
		if !errors.Is(err, errLater) {
			done(err)
		}
	})
	g.task.Wake()
}

func oneChange(typ raftpb.ConfChangeType, replica uint64) *raftpb.ConfChangeV2 {
	return &raftpb.ConfChangeV2{Changes: []*raftpb.ConfChangeSingle{{Type: typ.Enum(), NodeId: new(replica)}}}
}

// tookEffect tells whether a configuration is what the change leads to, joint or left.
func (c *VoterChange) tookEffect(cs *raftpb.ConfState) bool {
	in := func(ids, set []uint64) bool {
		return !slices.ContainsFunc(ids, func(id uint64) bool { return !slices.Contains(set, id) })
	}
	learners := slices.Concat(cs.GetLearners(), cs.GetLearnersNext())
	gone := !slices.ContainsFunc(c.Remove, func(id uint64) bool {
		return slices.Contains(cs.GetVoters(), id) || slices.Contains(learners, id)
	})
	return gone && in(c.Promote, cs.GetVoters()) && in(c.Demote, learners)
}

// takes tells whether the change takes a replica's vote.
func (c *VoterChange) takes(replica uint64) bool {
	return slices.Contains(c.Demote, replica) || slices.Contains(c.Remove, replica)
}

// voters are those that a configuration will have after the change, rising.
func (c *VoterChange) voters(cs *raftpb.ConfState) []uint64 {
	ids := slices.DeleteFunc(slices.Concat(cs.GetVoters(), c.Promote), c.takes)
	slices.Sort(ids)
	return slices.Compact(ids)
}

// vainFor is for how long a replica that did not take over is not asked to again for the sake of a change.
const vainFor = 10 * time.Second

// vain is the replica that did not take over last when a change asked it to.
type vain struct {
	replica uint64
	since   time.Time
}

// inVain tells whether the replica was asked to lead just now, and did not. It may be quarantined: to a leader with nothing to send such a
// replica seems to be there, since its broker is and it has all that there is. Others come first then, or the change goes on without.
func (g *Group) inVain(replica uint64) bool {
	return replica == g.vain.replica && g.env.Now().Sub(g.vain.since) < vainFor
}

// handOverFirst begins to give the leadership to a voter that stays, and says to ask again.
func (g *Group) handOverFirst(stays func(replica uint64) bool) error {
	if g.transfer == nil {
		if to := g.successorOf(stays); to != 0 {
			g.startTransfer(to, transferAfter, func(ok bool) {
				if !ok {
					g.vain = vain{to, g.env.Now()}
				}
			})
		}
	}
	return runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_UNAVAILABLE,
		"replica %d leads %s and loses its vote by this change: the leadership moves first; ask the new leader", g.replica, g.name)
}

// fit tells whether a replica can do its part as a voter: this one, or another that is heard and has caught up.
func (g *Group) fit(replica uint64) bool {
	return replica == g.replica || g.live.alive(g.members.broker(replica)) && g.caughtUp(replica)
}

// caughtUp tells whether a peer has what a voter should have: no more than a little behind, or all that was committed a moment ago,
// and in any case the last change of the configuration.
func (g *Group) caughtUp(replica uint64) (ok bool) {
	g.rn.WithProgress(func(id uint64, _ raft.ProgressType, p tracker.Progress) {
		if id == replica {
			ok = g.caughtUpAt(&p, g.peersCommit)
		}
	})
	return ok
}

func (g *Group) caughtUpAt(p *tracker.Progress, floor uint64) bool {
	return p.State == tracker.StateReplicate && p.RecentActive && p.Match >= g.confIndex &&
		(p.Match+maxLearnerLag >= g.last || p.Match >= floor && floor > 0)
}
