package controller

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/runnel-io/runnel/placement"
	"github.com/runnel-io/runnel/placement/ask"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// fakeAgents stands for the agents of all brokers and for the raft groups of all partitions. It keeps the rules of a real group
// and fails the test when a step would break one.
type fakeAgents struct {
	t     *testing.T
	first atomic.Pointer[Controller] // whose state the agents have

	mu       sync.Mutex
	silent   map[int32]bool
	unheard  map[int32]bool // by the controller; the others hear them
	groups   map[uint64]*fakeRaft
	installs map[uint64]ask.Install // by replica; absent: done as soon as it is asked for
	lag      map[uint64]ask.Peer    // replicas that look like this to the leader; absent: caught up
	bad      map[int32]map[uint64]string
	boots    map[int32]uint64
	bytes    map[uint64]int64
	stuck    map[uint64]bool // groups that elect nobody, whoever is alive
	// refuse tells why a change is not done; nil: it is.
	refuse func(broker int32, req ask.ChangeRequest) error
	// after is called when a change was done, without the lock; an error is answered instead of the good news.
	after func(broker int32, req ask.ChangeRequest) error
	steps []string // what was done, in order
	polls map[int32]int
}

type fakeRaft struct {
	leader                     uint64 // replica; 0: none
	term                       uint64
	voters, outgoing, learners []uint64
	where                      map[uint64]int32
}

func newFakeAgents(t *testing.T) *fakeAgents {
	return &fakeAgents{
		t: t, silent: map[int32]bool{}, unheard: map[int32]bool{}, groups: map[uint64]*fakeRaft{}, installs: map[uint64]ask.Install{}, lag: map[uint64]ask.Peer{},
		bad: map[int32]map[uint64]string{}, boots: map[int32]uint64{}, bytes: map[uint64]int64{}, polls: map[int32]int{}, stuck: map[uint64]bool{},
	}
}

// driven is a cluster whose controllers drive moves.
func driven(t *testing.T, n int, more func(*Config)) (*fakeGroup, []*fakeNode, *fakeAgents) {
	g := newFakeGroup(t)
	a := newFakeAgents(t)
	g.agents = a
	g.configure = func(c *Config) {
		c.Log = slog.New(slog.NewTextHandler(t.Output(), nil)).With("on", c.BrokerID)
		c.Alive = a.alive
		c.Leader = a.leaderOf
		if more != nil {
			more(c)
		}
	}
	_, nodes := clusterOf(t, g, n)
	return g, nodes, a
}

func (a *fakeAgents) state() *placement.State { return a.first.Load().State() }

func (a *fakeAgents) alive(broker int32) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return !a.silent[broker] && !a.unheard[broker]
}

func (a *fakeAgents) set(f func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	f()
}

func (a *fakeAgents) leaderOf(group uint64) (int32, uint64, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	g := a.groupLocked(group)
	if g == nil || g.leader == 0 {
		return 0, 0, false
	}
	return g.where[g.leader], g.term, true
}

// groupLocked finds a group, which is made from the state when it is first seen, and elects.
func (a *fakeAgents) groupLocked(group uint64) *fakeRaft {
	p, _ := find(a.state(), group)
	if p == nil {
		return nil
	}
	g := a.groups[group]
	if g == nil {
		g = &fakeRaft{term: 1, where: map[uint64]int32{}, leader: p.Replicas[0].ID}
		for _, r := range p.Replicas {
			g.voters = append(g.voters, r.ID)
		}
		a.groups[group] = g
	}
	for _, r := range p.All() {
		g.where[r.ID] = r.Broker
	}
	up := func(id uint64) bool { return !a.silent[g.where[id]] }
	majority := func(ids []uint64) bool {
		n := 0
		for _, id := range ids {
			if up(id) {
				n++
			}
		}
		return n > len(ids)/2 || len(ids) == 0
	}
	if g.leader != 0 && (!up(g.leader) || !majority(g.voters) || !majority(g.outgoing)) {
		g.leader = 0
	}
	if a.stuck[group] {
		g.leader = 0
	} else if g.leader == 0 && majority(g.voters) && majority(g.outgoing) {
		for _, id := range slices.Concat(g.voters, g.outgoing) {
			if up(id) {
				g.leader = id
				g.term++
				break
			}
		}
	}
	return g
}

func find(s *placement.State, group uint64) (*placement.Partition, string) {
	for _, t := range s.Topics {
		for n := range t.Partitions {
			if t.Partitions[n].Group == group {
				return &t.Partitions[n], fmt.Sprintf("%s/%d", t.Name, n)
			}
		}
	}
	return nil, ""
}

func (a *fakeAgents) call(ctx context.Context, broker int32, method string, body []byte) ([]byte, error) {
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	answer, err := a.answer(broker, method, body)
	if err != nil || method != ask.MethodChange {
		return answer, err
	}
	a.mu.Lock()
	after := a.after
	a.mu.Unlock()
	if after != nil {
		req, _ := ask.Decode[ask.ChangeRequest](body)
		err = after(broker, req)
	}
	return answer, err
}

func (a *fakeAgents) answer(broker int32, method string, body []byte) ([]byte, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.silent[broker] || a.unheard[broker] {
		return nil, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_UNAVAILABLE, "broker %d does not answer", broker)
	}
	switch method {
	case ask.MethodStatus:
		req, err := ask.Decode[ask.StatusRequest](body)
		if err != nil {
			return nil, err
		}
		return ask.Encode(a.statusLocked(broker, req)), nil
	case ask.MethodChange:
		req, err := ask.Decode[ask.ChangeRequest](body)
		if err != nil {
			return nil, err
		}
		return nil, a.changeLocked(broker, req)
	}
	return nil, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, "no such method")
}

func (a *fakeAgents) statusLocked(broker int32, req ask.StatusRequest) ask.StatusResponse {
	a.polls[broker]++
	resp := ask.StatusResponse{
		Boot: a.boots[broker] + 1, Revision: a.state().Revision, Quarantined: maps.Clone(a.bad[broker]),
		Installs: map[uint64]ask.Install{}, Groups: map[uint64]ask.Group{}, Leaders: map[uint64]int32{},
	}
	for _, id := range req.Installs {
		in, held := a.installs[id]
		if !held {
			in = ask.Install{State: ask.InstallDone, Done: 100, Total: 100}
		}
		resp.Installs[id] = in
	}
	for _, id := range req.Groups {
		g := a.groupLocked(id)
		if g == nil || g.leader == 0 {
			continue
		}
		if g.where[g.leader] != broker {
			resp.Leaders[id] = g.where[g.leader]
			continue
		}
		out := ask.Group{Replica: g.leader, Term: g.term, Voters: slices.Clone(g.voters), Outgoing: slices.Clone(g.outgoing),
			Learners: slices.Clone(g.learners), Peers: map[uint64]ask.Peer{}}
		for _, r := range slices.Concat(g.voters, g.outgoing, g.learners) {
			if r == g.leader {
				continue
			}
			out.Peers[r] = a.peerLocked(g, r)
		}
		resp.Groups[id] = out
	}
	if req.Sizes {
		resp.Bytes = maps.Clone(a.bytes)
	}
	for _, g := range a.groups {
		for _, r := range g.voters {
			if p := a.lag[r]; p.Behind && g.leader != r && g.where[g.leader] == broker {
				resp.Behind = map[uint64]string{r: "it lacks what is no longer in the log"}
			}
		}
	}
	return resp
}

func (a *fakeAgents) peerLocked(g *fakeRaft, r uint64) ask.Peer {
	if p, held := a.lag[r]; held {
		return p
	}
	if a.silent[g.where[r]] {
		return ask.Peer{}
	}
	return ask.Peer{Active: true, CaughtUp: true}
}

func notLeading(broker int32) error {
	return runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_NOT_LEADER, "broker %d does not lead it", broker)
}

func (a *fakeAgents) changeLocked(broker int32, req ask.ChangeRequest) error {
	g := a.groupLocked(req.Group)
	if g == nil || g.leader == 0 || g.where[g.leader] != broker {
		return notLeading(broker)
	}
	if a.refuse != nil {
		if err := a.refuse(broker, req); err != nil {
			return err
		}
	}
	p, name := find(a.state(), req.Group)
	step := fmt.Sprintf("%s %s", name, req.Kind)
	defer func() { a.steps = append(a.steps, step) }()
	retry := func(why string) error {
		step += " refused"
		return runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_UNAVAILABLE, "%s", why)
	}
	switch req.Kind {
	case ask.AddLearner:
		if r, ok := p.Replica(req.Replica); !ok || !r.Learner || p.Move.Cancelled || p.Move.Phase == placement.PhaseProposed || r.Broker != req.Broker {
			a.t.Errorf("%s: replica %d is added, and its move is %+v", name, req.Replica, p.Move)
		}
		if in, held := a.installs[req.Replica]; held && in.State != ask.InstallDone {
			a.t.Errorf("%s: replica %d is added and not installed", name, req.Replica)
		}
		if !slices.Contains(g.learners, req.Replica) {
			g.learners = append(g.learners, req.Replica)
		}
	case ask.RemoveLearner:
		g.learners = slices.DeleteFunc(g.learners, func(id uint64) bool { return id == req.Replica })
		if slices.Contains(g.voters, req.Replica) {
			return retry("it votes")
		}
	case ask.ChangeVoters:
		if p.Move == nil || p.Move.Phase != placement.PhaseJoint {
			a.t.Errorf("%s: its voters change, and its move is %+v", name, p.Move)
		}
		if slices.Contains(req.Remove, g.leader) {
			if i := slices.IndexFunc(g.voters, func(id uint64) bool {
				return id != g.leader && !slices.Contains(req.Remove, id) && !a.silent[g.where[id]]
			}); i >= 0 {
				g.leader = g.voters[i]
				g.term++
				return retry("the leadership moves first")
			}
		}
		for _, id := range req.Promote {
			if !slices.Contains(g.learners, id) || !a.peerLocked(g, id).CaughtUp {
				return retry(fmt.Sprintf("replica %d has not caught up", id))
			}
		}
		g.outgoing = g.voters
		g.voters = slices.DeleteFunc(append(slices.Clone(g.voters), req.Promote...), func(id uint64) bool { return slices.Contains(req.Remove, id) })
		g.learners = slices.DeleteFunc(g.learners, func(id uint64) bool { return slices.Contains(req.Promote, id) })
	case ask.LeaveJoint:
		g.outgoing = nil
		if !slices.Contains(g.voters, g.leader) {
			g.leader = 0
			a.groupLocked(req.Group)
		}
	case ask.Transfer:
		if !slices.Contains(g.voters, req.Replica) || a.silent[g.where[req.Replica]] {
			return retry("it cannot lead")
		}
		g.leader = req.Replica
		g.term++
	}
	return nil
}

// voting tells on which brokers a partition's voters are, rising.
func (a *fakeAgents) voting(group uint64) []int32 {
	a.mu.Lock()
	defer a.mu.Unlock()
	g := a.groups[group]
	var out []int32
	for _, id := range g.voters {
		out = append(out, g.where[id])
	}
	slices.Sort(out)
	return out
}
