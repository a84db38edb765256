package controller

import (
	"fmt"
	"slices"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/runnel-io/runnel/partition/multiraft"
)

// The fake group's configuration, with the steps of multiraft.Group.

func (g *fakeGroup) hears(broker int32) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return !g.silent[broker]
}

func (g *fakeGroup) setSilent(broker int32, silent bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.silent[broker] = silent
}

// replicaOf is the controller replica that the leader's state gives a broker.
func (g *fakeGroup) replicaOf(broker int32) (id uint64) {
	g.job(func() {
		id = 1
		if l := g.nodes[g.leader]; l != nil && l.c.State().Brokers[broker] != nil {
			id = l.c.State().Brokers[broker].ControllerReplica
		}
	})
	return id
}

func (g *fakeGroup) conf() *raftpb.ConfState {
	return &raftpb.ConfState{Voters: slices.Clone(g.voters), Learners: slices.Clone(g.learn), VotersOutgoing: slices.Clone(g.old)}
}

// changed commits a configuration.
func (n *fakeNode) changed() {
	n.g.entries = append(n.g.entries, fakeEntry{term: n.g.term, conf: n.g.conf()})
	n.g.publish()
	n.catchUp()
}

// change runs a step on the leader.
func (n *fakeNode) change(done func(error), step func() error) {
	n.g.jobs <- func() {
		if n.g.leader != n.broker {
			done(fmt.Errorf("not the leader"))
			return
		}
		err := step()
		if err == nil {
			n.changed()
		}
		done(err)
	}
}

func (n *fakeNode) AddLearner(id uint64, broker int32, done func(error)) {
	n.change(done, func() error {
		g := n.g
		if slices.Contains(slices.Concat(g.voters, g.learn, g.old), id) {
			g.t.Errorf("replica %d is added again", id)
		}
		if n.c.State().ControllerMembers()[id] != broker {
			g.t.Errorf("replica %d is added on broker %d, the state says %v", id, broker, n.c.State().Controller)
		}
		g.learn = append(g.learn, id)
		return nil
	})
}

func (n *fakeNode) RemoveLearner(id uint64, done func(error)) {
	n.change(done, func() error {
		if !slices.Contains(n.g.learn, id) {
			return fmt.Errorf("replica %d is no learner", id)
		}
		n.g.learn = without(n.g.learn, id)
		return nil
	})
}

func (n *fakeNode) ChangeVoters(c multiraft.VoterChange, done func(error)) {
	n.change(done, func() error {
		g := n.g
		if len(g.old) > 0 {
			return fmt.Errorf("in another joint configuration")
		}
		for _, id := range c.Promote {
			if !slices.Contains(g.learn, id) || g.behind[id] || g.lacking[id] {
				g.t.Errorf("replica %d is promoted, of learners %v", id, g.learn)
			}
		}
		gone := slices.Concat(c.Demote, c.Remove)
		if len(without(gone, g.voters...)) > 0 {
			g.t.Errorf("%v leave, of voters %v", gone, g.voters)
		}
		if slices.Contains(gone, n.replica) {
			if stay := without(g.voters, gone...); len(stay) > 0 {
				to := n.c.State().ControllerMembers()[stay[0]]
				g.jobs <- func() { g.leadNow(to, true) }
				return fmt.Errorf("the leadership moves first")
			}
		}
		g.old = g.voters
		g.voters = append(without(g.voters, gone...), c.Promote...)
		g.learn = append(without(g.learn, c.Promote...), c.Demote...)
		g.largest = max(g.largest, len(g.voters))
		return nil
	})
}

func (n *fakeNode) LeaveJoint(done func(error)) {
	n.change(done, func() error { n.g.old = nil; return nil })
}
