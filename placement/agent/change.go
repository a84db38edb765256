package agent

import (
	"context"
	"slices"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/runnel-io/runnel/partition/multiraft"
	"github.com/runnel-io/runnel/placement"
	"github.com/runnel-io/runnel/placement/ask"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// change has the leader of a group here take one step, after those that were asked for before.
func (a *Agent) change(ctx context.Context, q ask.ChangeRequest) error {
	ctx, cancel := a.cfg.Env.Within(ctx, changeWithin)
	defer cancel()
	if err := a.awaitRevision(ctx, q.Revision); err != nil {
		return err
	}
	v, ok := a.running.Load(q.Group)
	if !ok {
		e := runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_NOT_LEADER, "broker %d runs no replica of group %d; ask the leader", a.cfg.BrokerID, q.Group)
		if lead, term, ok := a.host.Leader(q.Group); ok && lead != a.cfg.BrokerID {
			e.LeaderId, e.LeaderTerm = lead, int64(term) //nolint:gosec // terms fit (RULES 12)
		}
		return e
	}
	r := v.(*live)
	select {
	case r.turn <- struct{}{}:
		a.cfg.Env.Resumed()
	case <-ctx.Done():
		a.cfg.Env.Resumed()
		return runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_UNAVAILABLE, "another step of %s/%d is still under way: ask again", r.topic, r.number)
	}
	s := a.latest.Load()
	p := partitionAt(s, r.replica)
	if err := allowed(p, q); err != nil { // by the state as of now, not as of when the turn was waited for
		<-r.turn
		return err
	}
	if q.Kind == ask.ChangeVoters {
		q.Remove = slices.Concat(q.Remove, strangersIn(r.raft.Status().Conf, s, p))
	}
	answer := make(chan error, 1)
	err := step(r.raft, q, func(err error) {
		answer <- err
		<-r.turn
	})
	if err != nil {
		<-r.turn
		return err
	}
	select {
	case err := <-answer:
		a.cfg.Env.Resumed()
		return err
	case <-ctx.Done():
		a.cfg.Env.Resumed()
		return runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_TIMEOUT, "%s of %s/%d has not taken effect yet: ask again", q.Kind, r.topic, r.number)
	}
}

// strangersIn lists the voters of a group that the state does not name. There are none, unless the command which finished their move was
// lost when the controller group was recovered by hand. They run, if they can, until they leave with the next change (aside.go).
func strangersIn(conf *raftpb.ConfState, s *placement.State, p *placement.Partition) (ids []uint64) {
	if _, ok := s.ControllerRecovered(); !ok {
		return nil
	}
	for _, id := range conf.GetVoters() {
		if _, known := p.Replica(id); !known {
			ids = append(ids, id)
		}
	}
	return ids
}

// step begins one, unless it answers with an error. done is called once, on the group's worker, and may be called at once.
func step(g *multiraft.Group, q ask.ChangeRequest, done func(error)) error {
	switch q.Kind {
	case ask.AddLearner:
		g.AddLearner(q.Replica, q.Broker, done)
	case ask.RemoveLearner:
		g.RemoveLearner(q.Replica, done)
	case ask.ChangeVoters:
		g.ChangeVoters(multiraft.VoterChange{Promote: q.Promote, Remove: q.Remove}, done)
	case ask.LeaveJoint:
		g.LeaveJoint(done)
	case ask.Transfer:
		g.Transfer(q.Replica, done)
	default:
		return runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, "no such step: %q", q.Kind)
	}
	return nil
}

// allowed tells why the newest state does not mean a step. A request may be of a controller that was deposed since and be late:
// a learner whose move was turned back must not be added again, nor may voters change that the committed state keeps.
func allowed(p *placement.Partition, q ask.ChangeRequest) error {
	if p == nil {
		return refuse(q, "the partition is gone")
	}
	m := p.Move
	switch q.Kind {
	case ask.AddLearner:
		switch {
		case m == nil || !slices.ContainsFunc(m.Adds, func(r placement.Replica) bool { return r.ID == q.Replica && r.Broker == q.Broker }):
			return refuse(q, "no move adds that replica there")
		case m.Cancelled || m.Phase == placement.PhaseProposed:
			return refuse(q, "its move is not that far, or on its way back")
		}
	case ask.RemoveLearner:
		if _, named := p.Replica(q.Replica); named && (m == nil || !m.Cancelled) {
			return refuse(q, "it belongs to the partition")
		}
	case ask.ChangeVoters:
		switch {
		case m == nil || m.Phase != placement.PhaseJoint:
			return refuse(q, "no move is that far")
		case !sameIDs(q.Promote, idsOf(m.Adds)) || !sameIDs(q.Remove, m.Removes):
			return refuse(q, "its move promotes and removes others")
		}
	}
	return nil
}

func refuse(q ask.ChangeRequest, why string) error {
	return runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_UNAVAILABLE, "%s of group %d (replica %d) is not what the newest state here means: %s", q.Kind, q.Group, q.Replica, why)
}

func idsOf(rs []placement.Replica) []uint64 {
	out := make([]uint64, len(rs))
	for i, r := range rs {
		out[i] = r.ID
	}
	return out
}

func sameIDs(a, b []uint64) bool {
	a, b = slices.Clone(a), slices.Clone(b)
	slices.Sort(a)
	slices.Sort(b)
	return slices.Equal(a, b)
}

// awaitRevision waits until the replicas here have taken up a state.
func (a *Agent) awaitRevision(ctx context.Context, revision uint64) error {
	for {
		a.mu.Lock()
		at, turned := a.compared, a.turned
		a.mu.Unlock()
		if at >= revision {
			return nil
		}
		select {
		case <-turned:
			a.cfg.Env.Resumed()
		case <-ctx.Done():
			a.cfg.Env.Resumed()
			return runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_UNAVAILABLE, "broker %d has taken up revision %d of the state, not %d yet: ask again", a.cfg.BrokerID, at, revision)
		}
	}
}
