package agent

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/runnel-io/runnel/partition/catchup"
	"github.com/runnel-io/runnel/partition/multiraft"
	"github.com/runnel-io/runnel/partition/raftlog"
	"github.com/runnel-io/runnel/placement/ask"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// changeWithin bounds the wait for one step of a membership change. The controller asks again.
const changeWithin = 10 * time.Second

// Serve answers what the controller's leader asks (placement/ask). Its errors are *runnelv1.Error.
func (a *Agent) Serve(ctx context.Context, method string, body []byte) ([]byte, error) {
	switch method {
	case ask.MethodStatus:
		r, err := ask.Decode[ask.StatusRequest](body)
		if err != nil {
			return nil, err
		}
		return ask.Encode(a.report(r)), nil
	case ask.MethodChange:
		r, err := ask.Decode[ask.ChangeRequest](body)
		if err != nil {
			return nil, err
		}
		return nil, a.change(ctx, r)
	}
	return nil, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, "no such method: %s", method)
}

// Source gives the replica of a group that others may be installed from, nil if there is none here: for catchup.Server.
func (a *Agent) Source(group uint64) catchup.Source {
	v, ok := a.running.Load(group)
	if !ok {
		return nil
	}
	if g := v.(*live).raft; g.Healthy() == nil {
		return g
	}
	return nil
}

// report tells how this broker's replicas are.
func (a *Agent) report(q ask.StatusRequest) ask.StatusResponse {
	out := ask.StatusResponse{
		Boot:        a.cfg.Boot,
		Quarantined: map[uint64]string{}, Installs: map[uint64]ask.Install{}, Groups: map[uint64]ask.Group{}, Leaders: map[uint64]int32{},
	}
	if a.cfg.DiskFull != nil && a.cfg.DiskFull() {
		out.Full = fmt.Sprintf("the disk of broker %d is nearly full", a.cfg.BrokerID)
	}
	a.mu.Lock()
	out.Revision = a.compared
	lacking := slices.Collect(maps.Keys(a.lacking))
	for id, r := range a.replicas {
		if why := r.lostLocked(); why != "" {
			out.Quarantined[id] = why
		}
	}
	for _, id := range q.Installs {
		if r := a.replicas[id]; r != nil && r.want == wantRun {
			out.Installs[id] = r.installLocked()
		}
	}
	a.mu.Unlock()
	behind := func(ids []uint64, why string) {
		for _, id := range ids {
			if out.Behind == nil {
				out.Behind = map[uint64]string{}
			}
			out.Behind[id] = fmt.Sprintf("%s its leader on broker %d", why, a.cfg.BrokerID)
		}
	}
	for _, l := range lacking {
		st := l.raft.Status()
		behind(lackingVoters(st), "it lacks what is no longer in the log of")
		behind(a.outsiders(l, st), "it was taken out of the group by a move that a recovery of the controller group lost, says")
	}
	for _, id := range q.Groups {
		if v, ok := a.running.Load(id); ok {
			r := v.(*live)
			changing := len(r.turn) > 0 // asked first: a configuration that is read later shows what has ended before
			if st := r.raft.Status(); st.Session {
				out.Groups[id] = groupOf(r, st, changing)
				continue
			}
		}
		if lead, _, ok := a.host.Leader(id); ok && lead != a.cfg.BrokerID {
			out.Leaders[id] = lead
		}
	}
	if q.Sizes {
		out.Bytes = map[uint64]int64{}
		a.running.Range(func(group, v any) bool {
			var n int64
			for _, s := range v.(*live).raft.Log().Segments() {
				n += s.Bytes
			}
			out.Bytes[group.(uint64)] = n
			return true
		})
	}
	return out
}

// lostLocked tells why a replica of the state can never serve again; "" if it can. It needs Agent.mu.
func (r *replica) lostLocked() string {
	switch {
	case r.want != wantRun:
		return ""
	case r.lost != "":
		return r.lost
	case r.live != nil:
		if err := r.live.raft.Healthy(); err != nil && raftlog.Lasting(err) {
			return err.Error()
		}
	}
	return ""
}

// installLocked tells how far a replica is that was to be installed; it needs Agent.mu.
func (r *replica) installLocked() ask.Install {
	why := r.fault
	if l := r.lostLocked(); l != "" {
		why = l
	}
	if why == "" && r.live != nil {
		if err := r.live.raft.Healthy(); err != nil { // Tick has it run again
			why = err.Error()
		}
	}
	switch {
	case why != "":
		return ask.Install{State: ask.InstallWaiting, Err: why}
	case r.live != nil:
		return ask.Install{State: ask.InstallDone}
	case r.install != nil:
		return r.install.stateLocked()
	}
	return ask.Install{State: ask.InstallWaiting}
}

// lackingVoters lists the voters of a group that can never catch up with its leader, which is here: they have to be replaced under
// new ids (RULES 19). A learner is the business of the move that adds it.
func lackingVoters(st multiraft.Status) (out []uint64) {
	if !st.Session {
		return nil
	}
	for id, p := range st.Peers {
		if p.Behind && (slices.Contains(st.Conf.GetVoters(), id) || slices.Contains(st.Conf.GetVotersOutgoing(), id)) {
			out = append(out, id)
		}
	}
	return out
}

// outsiders lists the partition's replicas that are no members of its group, whose leader is here. There are none but after a recovery of
// the controller group by hand, for the same reason as strangersIn: nobody sends them anything.
func (a *Agent) outsiders(l *live, st multiraft.Status) (out []uint64) {
	s := a.latest.Load()
	if _, ok := s.ControllerRecovered(); !ok || !st.Session {
		return nil
	}
	p := partitionAt(s, l.replica)
	if p == nil || p.Move != nil {
		return nil
	}
	members := slices.Concat(st.Conf.GetVoters(), st.Conf.GetVotersOutgoing(), st.Conf.GetLearners(), st.Conf.GetLearnersNext())
	for _, r := range p.Replicas {
		if !slices.Contains(members, r.ID) {
			out = append(out, r.ID)
		}
	}
	return out
}

// groupOf describes a group that this broker leads in session.
func groupOf(r *live, st multiraft.Status, changing bool) ask.Group {
	g := ask.Group{
		Replica: r.id, Term: st.Term, Changing: changing || st.Changing,
		Voters: st.Conf.GetVoters(), Outgoing: st.Conf.GetVotersOutgoing(),
		Learners: st.Conf.GetLearners(), LearnersNext: st.Conf.GetLearnersNext(),
		Peers: make(map[uint64]ask.Peer, len(st.Peers)),
	}
	for id, p := range st.Peers {
		g.Peers[id] = ask.Peer{Active: p.Active, CaughtUp: p.CaughtUp, Behind: p.Behind}
	}
	return g
}
