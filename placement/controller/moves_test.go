package controller

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/runnel-io/runnel/placement"
	"github.com/runnel-io/runnel/placement/ask"
)

// brief writes an action in a line.
func brief(a action) string {
	switch {
	case a.change != nil:
		return fmt.Sprintf("ask %s %d %v %v", a.change.Kind, a.change.Replica, a.change.Promote, a.change.Remove)
	case a.cancel != "":
		return "cancel: " + a.cancel
	case a.wait != "":
		return "wait: " + a.wait
	}
	switch c := a.command.(type) {
	case placement.AdvanceMove:
		if c.Entered {
			return fmt.Sprintf("commit %s->%s, entered", c.From, c.To)
		}
		return fmt.Sprintf("commit %s->%s", c.From, c.To)
	case nil:
		return "look again"
	default:
		return fmt.Sprintf("commit %T", c)
	}
}

// replicaMove is the move of a partition on brokers 1 to 3 whose replica 3 is replaced by replica 4 on broker 4.
func replicaMove(phase placement.Phase) *placement.Partition {
	return &placement.Partition{Group: 7, Replicas: []placement.Replica{{ID: 1, Broker: 1}, {ID: 2, Broker: 2}, {ID: 3, Broker: 3}}, Move: &placement.Move{
		ID: 9, Phase: phase, Adds: []placement.Replica{{ID: 4, Broker: 4, Learner: true}}, Removes: []uint64{3}, Order: []uint64{1, 2, 4}, Revision: 20,
	}}
}

// scene is what is seen of that partition; a table row changes it.
type scene struct {
	lead                       uint64 // replica, on the broker of the same number; 0: none
	voters, outgoing, learners []uint64
	peers                      map[uint64]ask.Peer
	install                    *ask.Install
	silent                     []int32
	behindState                int32 // broker that has not taken up the state
	leadBehind                 bool
	quarantined                bool
	poisoned                   uint64 // another replica that is quarantined
	detached                   bool
	changing                   bool
	unfit                      time.Duration
}

func sceneOf() *scene {
	ok := ask.Peer{Active: true, CaughtUp: true}
	return &scene{lead: 1, voters: []uint64{1, 2, 3}, peers: map[uint64]ask.Peer{1: ok, 2: ok, 3: ok, 4: ok}}
}

func (c *scene) sight() sight {
	v := sight{
		unfit: c.unfit, installs: map[uint64]ask.Install{}, quarantined: map[uint64]string{}, detached: map[uint64]bool{4: c.detached},
		alive: func(b int32) bool {
			for _, s := range c.silent {
				if s == b {
					return false
				}
			}
			return true
		},
		revision: func(b int32) uint64 {
			if b == c.behindState {
				return 19
			}
			return 20
		},
	}
	if c.install != nil {
		v.installs[4] = *c.install
	}
	if c.quarantined {
		v.quarantined[4] = "poisoned"
	}
	if c.poisoned != 0 {
		v.quarantined[c.poisoned] = "poisoned"
	}
	if c.lead != 0 {
		v.lead, v.leadRevision = int32(c.lead), 20 //nolint:gosec // small
		if c.leadBehind {
			v.leadRevision = 19
		}
		v.group = &ask.Group{Replica: c.lead, Term: 3, Voters: c.voters, Outgoing: c.outgoing, Learners: c.learners, Peers: c.peers, Changing: c.changing}
	}
	return v
}

func TestNextActionOfEveryPhase(t *testing.T) {
	done := &ask.Install{State: ask.InstallDone}
	installed := func(c *scene) { c.install = done }
	learning := func(c *scene) { c.learners = []uint64{4} }
	entered := func(c *scene) { c.voters, c.outgoing = []uint64{1, 2, 4}, []uint64{1, 2, 3} }
	left := func(c *scene) { c.voters = []uint64{1, 2, 4} }
	peer := func(p ask.Peer) func(*scene) { return func(c *scene) { c.peers[4] = p } }
	silent := func(bs ...int32) func(*scene) { return func(c *scene) { c.silent = bs } }
	noLeader := func(c *scene) { c.lead = 0 }
	long := func(c *scene) { c.unfit = time.Minute }
	bad := func(c *scene) { c.quarantined = true }
	ghost := func(c *scene) { c.learners = append(c.learners, 77) }
	changing := func(c *scene) { c.changing = true }
	shrunk := func(c *scene) { c.voters = []uint64{1, 2} }
	shrinking := func(c *scene) { c.voters, c.outgoing = []uint64{1, 2}, []uint64{1, 2, 3} }
	cancelled := func(p *placement.Partition) { p.Move.Cancelled = true }
	shrink := func(p *placement.Partition) { p.Move.Adds, p.Move.Order = nil, []uint64{1, 2} }
	shrinkCancelled := func(p *placement.Partition) { shrink(p); cancelled(p) }
	for _, c := range []struct {
		name  string
		phase placement.Phase
		move  func(*placement.Partition)
		see   []func(*scene)
		want  string // a prefix
	}{
		{"it begins whatever is seen", placement.PhaseProposed, nil, []func(*scene){noLeader, silent(4)}, "commit proposed->installing"},
		{"a removal needs no copy", placement.PhaseProposed, shrink, nil, "commit proposed->joint"},
		{"a removal needs a leader", placement.PhaseProposed, shrink, []func(*scene){noLeader}, "wait: the partition has no leader"},
		{"a removal needs a majority of those who stay", placement.PhaseProposed, shrink, []func(*scene){func(c *scene) { c.peers[2] = ask.Peer{} }}, "wait: the leader hears 1 of the 2"},

		{"the target knows nothing of it yet", placement.PhaseInstalling, nil, []func(*scene){func(c *scene) { c.behindState = 4 }}, "wait: broker 4 has not taken up"},
		{"the target has not begun", placement.PhaseInstalling, nil, nil, "wait: broker 4 has not begun"},
		{"the target has other work", placement.PhaseInstalling, nil, []func(*scene){func(c *scene) { c.install = &ask.Install{State: ask.InstallWaiting} }}, "wait: replica 4 on broker 4 waits for its turn"},
		{"the copy is under way", placement.PhaseInstalling, nil, []func(*scene){func(c *scene) { c.install = &ask.Install{State: ask.InstallReceiving, Done: 3, Total: 9} }}, "look again"},
		{"the copy failed", placement.PhaseInstalling, nil, []func(*scene){func(c *scene) { c.install = &ask.Install{State: ask.InstallWaiting, Err: "disk full"} }}, "wait: broker 4 tries again to install replica 4: disk full"},
		{"the target is silent", placement.PhaseInstalling, nil, []func(*scene){silent(4)}, "wait: broker 4, to which it goes, is silent"},
		{"the new replica is quarantined", placement.PhaseInstalling, nil, []func(*scene){bad}, "cancel: the new replica 4 on broker 4 is quarantined: poisoned"},
		{"installed, and no leader", placement.PhaseInstalling, nil, []func(*scene){installed, noLeader}, "wait: the partition has no leader"},
		{"installed, and the majority is gone", placement.PhaseInstalling, nil, []func(*scene){installed, noLeader, silent(1, 2)}, "wait: the partition has no leader: of its 3 replicas those on the silent brokers [1 2] are missed"},
		{"installed, and a voter would not know the new one", placement.PhaseInstalling, nil, []func(*scene){installed, func(c *scene) { c.behindState = 2 }}, "wait: broker 2 has not taken up"},
		{"a dead voter is not waited for", placement.PhaseInstalling, nil, []func(*scene){installed, silent(3), func(c *scene) { c.behindState = 3 }}, "ask add_learner 4"},
		{"installed", placement.PhaseInstalling, nil, []func(*scene){installed}, "ask add_learner 4"},
		{"it is a learner", placement.PhaseInstalling, nil, []func(*scene){installed, learning}, "commit installing->learner"},
		{"a learner nobody knows goes first", placement.PhaseInstalling, nil, []func(*scene){installed, learning, ghost}, "ask remove_learner 77"},

		{"the learner catches up", placement.PhaseLearner, nil, []func(*scene){learning, peer(ask.Peer{Active: true})}, "wait: the new replica 4 on broker 4 catches up"},
		{"the leader does not hear the learner", placement.PhaseLearner, nil, []func(*scene){learning, peer(ask.Peer{CaughtUp: true})}, "wait: the leader does not hear"},
		{"the learner's broker is silent", placement.PhaseLearner, nil, []func(*scene){learning, peer(ask.Peer{}), silent(4)}, "wait: broker 4, to which it goes, is silent"},
		{"the learner is behind the log", placement.PhaseLearner, nil, []func(*scene){learning, peer(ask.Peer{Active: true, Behind: true})}, "cancel: the new replica 4 on broker 4 lacks entries"},
		{"the learner is quarantined", placement.PhaseLearner, nil, []func(*scene){learning, bad}, "cancel: the new replica 4 on broker 4 is quarantined"},
		{"no leader for the learner", placement.PhaseLearner, nil, []func(*scene){noLeader}, "wait: the partition has no leader"},
		{"the learner is not in the configuration", placement.PhaseLearner, nil, nil, "ask add_learner 4"},
		{"the learner has caught up", placement.PhaseLearner, nil, []func(*scene){learning}, "commit learner->caught_up"},

		{"it commits to the new voters", placement.PhaseCaughtUp, nil, []func(*scene){learning}, "commit caught_up->joint"},
		{"it fell behind again", placement.PhaseCaughtUp, nil, []func(*scene){learning, peer(ask.Peer{Active: true})}, "wait: the new replica 4 on broker 4 catches up"},
		{"it fell behind the log", placement.PhaseCaughtUp, nil, []func(*scene){learning, peer(ask.Peer{Behind: true})}, "cancel:"},
		{"it was quarantined at last", placement.PhaseCaughtUp, nil, []func(*scene){learning, bad}, "cancel:"},
		{"the new voters would have no majority", placement.PhaseCaughtUp, func(p *placement.Partition) { p.Replicas = p.Replicas[:2]; p.Move.Removes = nil },
			[]func(*scene){learning, func(c *scene) { c.lead = 9; c.peers[1], c.peers[2] = ask.Peer{}, ask.Peer{} }}, "wait: the leader hears 1 of the 3"},
		{"no leader before the joint configuration", placement.PhaseCaughtUp, nil, []func(*scene){noLeader}, "wait: the partition has no leader"},

		{"the voters change", placement.PhaseJoint, nil, []func(*scene){learning}, "ask change_voters 0 [4] [3]"},
		{"the leader leaves, and hands over first", placement.PhaseJoint, nil, []func(*scene){learning, func(c *scene) { c.lead = 3 }}, "ask transfer 1"},
		{"the leader leaves, and the first heir is not there", placement.PhaseJoint, nil, []func(*scene){learning, func(c *scene) { c.lead, c.peers[1] = 3, ask.Peer{} }}, "ask transfer 2"},
		{"the leader leaves, and the first heir is quarantined", placement.PhaseJoint, nil, []func(*scene){learning, func(c *scene) { c.lead, c.poisoned = 3, 1 }}, "ask transfer 2"},
		{"of the new voters one is quarantined and one silent", placement.PhaseCaughtUp, nil,
			[]func(*scene){learning, func(c *scene) { c.lead, c.poisoned, c.peers[2] = 3, 1, ask.Peer{} }}, "wait: the leader hears 1 of the 3"},
		{"the leader leaves, and others are there but behind", placement.PhaseJoint, nil, []func(*scene){learning, func(c *scene) { c.lead, c.peers[1], c.peers[2] = 3, ask.Peer{Active: true}, ask.Peer{Active: true} }}, "ask change_voters"},
		{"the voters change back to fewer", placement.PhaseJoint, shrink, nil, "ask change_voters 0 [] [3]"},
		{"the joint configuration is left", placement.PhaseJoint, nil, []func(*scene){entered}, "ask leave_joint 0"},
		{"the joint configuration was left", placement.PhaseJoint, nil, []func(*scene){left}, "commit joint->left"},
		{"it was left, and the leader alone may know", placement.PhaseJoint, nil, []func(*scene){left, changing}, "wait: the new voters do not all know"},
		{"no leader in joint", placement.PhaseJoint, nil, []func(*scene){noLeader}, "wait: the partition has no leader"},
		{"quarantine in joint does not turn it back", placement.PhaseJoint, nil, []func(*scene){entered, bad}, "ask leave_joint 0"},
		{"the target falls silent before the group enters", placement.PhaseJoint, nil, []func(*scene){learning, silent(4), peer(ask.Peer{})}, "wait: broker 4, to which it goes, is silent"},
		{"the target stays silent before the group enters", placement.PhaseJoint, nil, []func(*scene){learning, silent(4), peer(ask.Peer{}), long}, "commit joint->caught_up"},
		{"a change is under way and may be this one", placement.PhaseJoint, nil, []func(*scene){learning, silent(4), peer(ask.Peer{}), long, func(c *scene) { c.changing = true }}, "wait:"},
		{"the leader's broker may have been asked by another", placement.PhaseJoint, nil, []func(*scene){learning, silent(4), peer(ask.Peer{}), long, func(c *scene) { c.leadBehind = true }}, "wait:"},
		{"the learner falls behind the log before the group enters", placement.PhaseJoint, nil, []func(*scene){learning, peer(ask.Peer{Active: true, Behind: true})}, "commit joint->caught_up"},
		{"the learner is quarantined before the group enters", placement.PhaseJoint, nil, []func(*scene){learning, bad}, "commit joint->caught_up"},
		{"the target dies after the group entered", placement.PhaseJoint, nil, []func(*scene){entered, silent(4), peer(ask.Peer{}), long}, "ask leave_joint 0"},
		{"the target dies after the group left", placement.PhaseJoint, nil, []func(*scene){left, silent(4), peer(ask.Peer{}), long}, "commit joint->left"},
		{"those who stay die before a removal", placement.PhaseJoint, shrink, []func(*scene){long, func(c *scene) { c.peers[2] = ask.Peer{} }}, "commit joint->proposed"},
		{"a removal is under way", placement.PhaseJoint, shrink, []func(*scene){long, changing, func(c *scene) { c.peers[2] = ask.Peer{} }}, "wait: the leader hears"},
		{"it stepped back, and the group entered", placement.PhaseCaughtUp, nil, []func(*scene){entered, silent(4), peer(ask.Peer{})}, "ask leave_joint 0"},
		{"it stepped back, and the group had entered and left", placement.PhaseCaughtUp, nil, []func(*scene){left, silent(4), peer(ask.Peer{})}, "commit caught_up->joint"},
		{"it stepped back and was cancelled, and the group entered", placement.PhaseCaughtUp, cancelled, []func(*scene){entered, silent(4), peer(ask.Peer{})}, "ask leave_joint 0"},
		{"it stepped back and was cancelled, and the group had entered and left", placement.PhaseCaughtUp, cancelled, []func(*scene){left, silent(4), peer(ask.Peer{})}, "commit caught_up->joint, entered"},
		{"a removal stepped back, and the group entered", placement.PhaseProposed, shrink, []func(*scene){shrinking}, "ask leave_joint 0"},
		{"a removal stepped back, and the group had entered and left", placement.PhaseProposed, shrink, []func(*scene){shrunk}, "commit proposed->joint"},
		{"a removal was cancelled, and may be under way", placement.PhaseProposed, shrinkCancelled, []func(*scene){changing}, "wait: the leader has not applied"},
		{"a removal was cancelled, and the leader's broker does not know", placement.PhaseProposed, shrinkCancelled, []func(*scene){func(c *scene) { c.leadBehind = true }}, "wait: the leader has not applied"},
		{"a removal was cancelled", placement.PhaseProposed, shrinkCancelled, nil, "commit placement.EndCancelled"},
		{"a removal was cancelled, and there is no leader", placement.PhaseProposed, shrinkCancelled, []func(*scene){noLeader}, "wait: the partition has no leader"},
		{"a removal was cancelled, and the group entered", placement.PhaseProposed, shrinkCancelled, []func(*scene){shrinking}, "ask leave_joint 0"},
		{"a removal was cancelled, and the group had entered and left", placement.PhaseProposed, shrinkCancelled, []func(*scene){shrunk}, "commit proposed->joint, entered"},

		{"it is finished without a leader", placement.PhaseLeft, nil, []func(*scene){noLeader}, "commit placement.FinishMove"},

		{"cancelled while installing, and a learner may be on its way", placement.PhaseInstalling, cancelled, nil, "ask remove_learner 4"},
		{"cancelled while installing, and no learner", placement.PhaseInstalling, cancelled, []func(*scene){func(c *scene) { c.detached = true }}, "commit placement.EndCancelled"},
		{"cancelled, and it became one late", placement.PhaseInstalling, cancelled, []func(*scene){learning, func(c *scene) { c.detached = true }}, "ask remove_learner 4"},
		{"cancelled, and a change is not applied", placement.PhaseLearner, cancelled, []func(*scene){func(c *scene) { c.detached, c.changing = true, true }}, "wait: the leader has not applied"},
		{"cancelled, and the leader's broker does not know it", placement.PhaseLearner, cancelled, []func(*scene){func(c *scene) { c.detached, c.leadBehind = true, true }}, "wait: the leader has not applied"},
		{"cancelled as a learner", placement.PhaseLearner, cancelled, []func(*scene){learning}, "ask remove_learner 4"},
		{"cancelled when caught up, target dead", placement.PhaseCaughtUp, cancelled, []func(*scene){learning, silent(4)}, "ask remove_learner 4"},
		{"cancelled, and no leader", placement.PhaseLearner, cancelled, []func(*scene){noLeader, silent(4)}, "wait: the partition has no leader"},
		{"cancelled and quarantined", placement.PhaseLearner, cancelled, []func(*scene){learning, bad}, "ask remove_learner 4"},

		{"a phase of a later version", "sideways", nil, nil, "wait: its phase \"sideways\" is unknown"},
	} {
		p := replicaMove(c.phase)
		if c.move != nil {
			c.move(p)
		}
		s := sceneOf()
		for _, f := range c.see {
			f(s)
		}
		if got := brief(nextAction(1, 0, p, s.sight())); !strings.HasPrefix(got, c.want) {
			t.Errorf("%s (%s): got %q, want %q", c.name, c.phase, got, c.want)
		}
	}
}

func TestStepsNameTheRevisionThatTheLeaderMustKnow(t *testing.T) {
	p := replicaMove(placement.PhaseInstalling)
	s := sceneOf()
	s.install = &ask.Install{State: ask.InstallDone}
	a := nextAction(1, 0, p, s.sight())
	if a.change == nil || a.change.Revision != 20 || a.change.Group != 7 || a.change.Broker != 4 {
		t.Errorf("asked %+v", a.change)
	}
}

// RULES 8: the leader keeps the log behind a copy for a short while only, so one of several new replicas does not wait for the others before
// it becomes a learner.
func TestEachNewReplicaLearnsAsSoonAsItIsInstalled(t *testing.T) {
	p := replicaMove(placement.PhaseInstalling)
	p.Move.Adds = append(p.Move.Adds, placement.Replica{ID: 5, Broker: 5, Learner: true})
	s := sceneOf()
	v := s.sight()
	see := func(four, five ask.InstallState, learners ...uint64) string {
		v.installs = map[uint64]ask.Install{4: {State: four}, 5: {State: five}}
		v.group.Learners = learners
		return brief(nextAction(1, 0, p, v))
	}
	const done, waits, comes = ask.InstallDone, ask.InstallWaiting, ask.InstallReceiving
	for _, c := range []struct{ got, want string }{
		{see(waits, comes), "wait: replica 4 on broker 4 waits for its turn or for a source"},
		{see(comes, done), "ask add_learner 5 [] []"},
		{see(comes, done, 5), "look again"},
		{see(done, waits), "ask add_learner 4 [] []"},
		{see(done, waits, 4), "wait: replica 5 on broker 5 waits for its turn or for a source"},
		{see(done, done, 4), "ask add_learner 5 [] []"},
		{see(done, done, 4, 5), "commit installing->learner"},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
	s.peers[4] = ask.Peer{Active: true, Behind: true}
	if got := see(done, comes, 4); !strings.HasPrefix(got, "cancel: the new replica 4 on broker 4 lacks entries") {
		t.Errorf("one fell behind while the other is copied: %q", got)
	}
}

// A partition of one replica moves too: its leader is among those who leave.
func TestOnlyReplicaMoves(t *testing.T) {
	p := &placement.Partition{Group: 7, Replicas: []placement.Replica{{ID: 1, Broker: 1}}, Move: &placement.Move{
		ID: 9, Phase: placement.PhaseCaughtUp, Adds: []placement.Replica{{ID: 4, Broker: 4, Learner: true}}, Removes: []uint64{1}, Order: []uint64{4},
	}}
	s := sceneOf()
	s.voters, s.learners = []uint64{1}, []uint64{4}
	if got := brief(nextAction(1, 0, p, s.sight())); got != "commit caught_up->joint" {
		t.Error(got)
	}
	p.Move.Phase = placement.PhaseJoint
	if got := brief(nextAction(1, 0, p, s.sight())); got != "ask change_voters 0 [4] [1]" {
		t.Error(got)
	}
	s.lead, s.voters, s.learners = 4, []uint64{4}, nil
	if got := brief(nextAction(1, 0, p, s.sight())); got != "commit joint->left" {
		t.Error(got)
	}
}
