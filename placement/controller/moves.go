package controller

import (
	"fmt"
	"slices"
	"time"

	"github.com/runnel-io/runnel/placement"
	"github.com/runnel-io/runnel/placement/ask"
)

// stepBackAfter is how long new voters may be unfit in phase joint before the move steps back.
const stepBackAfter = 15 * time.Second

// action is what a move needs next: exactly one of its fields is set, or none if there is nothing to do but look again.
type action struct {
	// command is to be committed.
	command placement.Command
	// change is to be asked of the partition's leader.
	change *ask.ChangeRequest
	// cancel says why the move can never be finished: it is to be turned back.
	cancel string
	// wait says what the move waits for, for people. It holds nothing that changes while nothing happens, such as a count of
	// bytes, so that a new text is news.
	wait string
	// turn says that it waits for its turn on the broker that it goes to, which others have.
	turn bool
	// unfit says that the leader finds the new voters of a move in phase joint unfit.
	unfit bool
}

// sight is what was seen of a partition that moves, since its last step ended.
type sight struct {
	// lead is the broker whose replica leads in session, and group what it says; 0 and nil if none is known.
	lead  int32
	group *ask.Group
	// leadRevision is that of the state of the leader's broker when it said so.
	leadRevision uint64
	// detached holds the new replicas that a leader answered to be no learners since the move was cancelled.
	detached map[uint64]bool
	// installs holds the new replicas that their brokers told of.
	installs map[uint64]ask.Install
	// revision tells which revision of the state a broker's agent has taken up, as far as known.
	revision func(broker int32) uint64
	// unfit is for how long no leader has found the new voters fit, for whatever reasons.
	unfit time.Duration
	// handovers is how many times the leadership was to leave a leader that goes, and did not.
	handovers int
	// alive tells whether a broker is heard.
	alive func(broker int32) bool
	// quarantined holds the replicas that can never serve again, with the reason.
	quarantined map[uint64]string
}

// moving is a partition with a move, as nextAction sees it.
type moving struct {
	topicID uint64
	number  int32
	p       *placement.Partition
	v       sight
}

// nextAction tells what a move needs next. It is a pure function of the committed state and of what was seen after the move's
// last step had ended, and so it is the same for every leader of the controller group: whoever leads goes on. Phases
// installing and joint are committed before anything is done for them, the others after it was done (placement.Move); what is asked
// of a partition's leader may be asked again.
func nextAction(topicID uint64, number int32, p *placement.Partition, v sight) action {
	g := moving{topicID: topicID, number: number, p: p, v: v}
	m := p.Move
	// Whatever it is that brought the group there, and whatever the move's phase: there is no way but forward.
	if v.group != nil && len(v.group.Outgoing) > 0 {
		return g.ask(ask.ChangeRequest{Kind: ask.LeaveJoint})
	}
	if a, ok := g.removeGhost(); ok {
		return a
	}
	if m.Cancelled {
		return g.undo()
	}
	if m.Cancellable() {
		for _, r := range m.Adds {
			if why, bad := v.quarantined[r.ID]; bad {
				return action{cancel: fmt.Sprintf("the new replica %d on broker %d is quarantined: %s", r.ID, r.Broker, why)}
			}
		}
	}
	switch m.Phase {
	case placement.PhaseProposed:
		if m.Next() == placement.PhaseJoint { // nothing to install
			return g.enterJoint()
		}
		return g.advance()
	case placement.PhaseInstalling:
		return g.addLearners()
	case placement.PhaseLearner:
		if a, ok := g.awaitLearners(); !ok {
			return a
		}
		return g.advance()
	case placement.PhaseCaughtUp:
		return g.enterJoint()
	case placement.PhaseJoint:
		return g.changeVoters()
	case placement.PhaseLeft:
		return action{command: placement.FinishMove{TopicID: topicID, Partition: number, Move: m.ID}}
	}
	return action{wait: fmt.Sprintf("its phase %q is unknown to this broker: upgrade it", m.Phase)}
}

func (g *moving) advance() action { return g.advanceTo(g.p.Move.Next()) }

func (g *moving) advanceTo(to placement.Phase) action {
	m := g.p.Move
	return action{command: placement.AdvanceMove{TopicID: g.topicID, Partition: g.number, Move: m.ID, From: m.Phase, To: to}}
}

// entered tells whether the group entered the joint configuration of this move. It has left it, or nextAction asks for that first.
func (g *moving) entered() bool {
	m, c := g.p.Move, g.v.group
	return c != nil && !slices.ContainsFunc(m.Adds, func(r placement.Replica) bool { return !slices.Contains(c.Voters, r.ID) }) &&
		!slices.ContainsFunc(m.Removes, func(id uint64) bool { return slices.Contains(c.Voters, id) })
}

func (g *moving) ask(c ask.ChangeRequest) action {
	c.Group, c.Revision = g.p.Group, g.p.Move.Revision
	return action{change: &c}
}

// removeGhost removes a learner that the state knows nothing of: the answer to a cancelled AddLearner got lost, and it took
// effect late.
func (g *moving) removeGhost() (action, bool) {
	if g.v.group == nil {
		return action{}, false
	}
	for _, id := range g.v.group.Learners {
		if _, known := g.p.Replica(id); !known {
			return g.ask(ask.ChangeRequest{Kind: ask.RemoveLearner, Replica: id}), true
		}
	}
	return action{}, false
}

// undo takes a cancelled move's new replicas out of the group, and ends it when they are out and no change is under way: one into the joint
// configuration may be, if the move stepped back. The leader is asked to remove even those
// that it does not show: an AddLearner of an earlier controller may just be under way there, and one that comes after
// this is refused, since the leader's broker knows by then that the move was cancelled.
func (g *moving) undo() action {
	m := g.p.Move
	if g.v.group == nil {
		return g.noLeader()
	}
	if g.entered() { // it stepped back from joint, and was cancelled, while the group entered: now there is no way but forward
		if m.BeforeJoint() {
			return action{command: placement.AdvanceMove{
				TopicID: g.topicID, Partition: g.number, Move: m.ID, From: m.Phase, To: placement.PhaseJoint, Entered: true,
			}}
		}
		return action{wait: fmt.Sprintf("new replicas vote although the move was cancelled when %s, which must not be: report this", m.Phase)}
	}
	for _, r := range m.Adds {
		if !g.v.detached[r.ID] || slices.Contains(g.v.group.Learners, r.ID) || slices.Contains(g.v.group.LearnersNext, r.ID) {
			return g.ask(ask.ChangeRequest{Kind: ask.RemoveLearner, Replica: r.ID})
		}
	}
	if g.v.group.Changing || g.v.leadRevision < m.Revision {
		return action{wait: "the leader has not applied all changes of the configuration yet"}
	}
	return action{command: placement.EndCancelled{TopicID: g.topicID, Partition: g.number, Move: m.ID}}
}

// addLearners makes each new replica a learner as soon as it is installed, whatever the others are at: the leader keeps the log from where
// its copy ends for about a minute only.
func (g *moving) addLearners() action {
	waits, all := action{}, true
	for _, r := range g.p.Move.Adds {
		if a, ok := g.installed(r); !ok {
			if all {
				waits, all = a, false
			}
			continue
		}
		if g.v.group == nil {
			return g.noLeader()
		}
		if g.isMember(r.ID) {
			if g.v.group.Peers[r.ID].Behind { // before more is copied for this move
				return lacks(r)
			}
			continue
		}
		for _, v := range g.p.Replicas { // each may lead soon, and must know then where the new ones are
			if g.v.alive(v.Broker) && g.v.revision(v.Broker) < g.p.Move.Revision {
				return action{wait: fmt.Sprintf("broker %d has not taken up the state of this move", v.Broker)}
			}
		}
		return g.ask(ask.ChangeRequest{Kind: ask.AddLearner, Replica: r.ID, Broker: r.Broker})
	}
	if !all {
		return waits
	}
	return g.advance()
}

// installed tells whether a new replica is installed and runs, or what to do until it is.
func (g *moving) installed(r placement.Replica) (action, bool) {
	in, known := g.v.installs[r.ID]
	switch {
	case in.State == ask.InstallDone:
		return action{}, true
	case !g.v.alive(r.Broker):
		return action{wait: fmt.Sprintf("broker %d, to which it goes, is silent", r.Broker)}, false
	case !known && g.v.revision(r.Broker) < g.p.Move.Revision:
		return action{wait: fmt.Sprintf("broker %d has not taken up the state of this move", r.Broker)}, false
	case !known:
		return action{wait: fmt.Sprintf("broker %d has not begun to install replica %d", r.Broker, r.ID)}, false
	case in.Err != "":
		return action{wait: fmt.Sprintf("broker %d tries again to install replica %d: %s", r.Broker, r.ID, in.Err)}, false
	case in.State == ask.InstallWaiting:
		return action{wait: fmt.Sprintf("replica %d on broker %d waits for its turn or for a source", r.ID, r.Broker), turn: true}, false
	}
	return action{}, false // it is being received
}

func lacks(r placement.Replica) action {
	return action{cancel: fmt.Sprintf("the new replica %d on broker %d lacks entries that are no longer in the log: it is installed anew", r.ID, r.Broker)}
}

func (g *moving) isMember(id uint64) bool {
	return slices.Contains(g.v.group.Learners, id) || slices.Contains(g.v.group.Voters, id)
}

func (g *moving) addMissing() (action, bool) {
	for _, r := range g.p.Move.Adds {
		if !g.isMember(r.ID) {
			return g.ask(ask.ChangeRequest{Kind: ask.AddLearner, Replica: r.ID, Broker: r.Broker}), true
		}
	}
	return action{}, false
}

// awaitLearners tells whether every new replica has caught up, or what to do until they have.
func (g *moving) awaitLearners() (action, bool) {
	if g.v.group == nil {
		return g.noLeader(), false
	}
	if a, missing := g.addMissing(); missing {
		return a, false
	}
	for _, r := range g.p.Move.Adds {
		if r.ID == g.v.group.Replica {
			continue
		}
		peer := g.v.group.Peers[r.ID]
		switch {
		case peer.Behind:
			return lacks(r), false
		case !g.v.alive(r.Broker):
			return action{wait: fmt.Sprintf("broker %d, to which it goes, is silent", r.Broker)}, false
		case !peer.Active:
			return action{wait: fmt.Sprintf("the leader does not hear the new replica %d on broker %d", r.ID, r.Broker)}, false
		case !peer.CaughtUp:
			return action{wait: fmt.Sprintf("the new replica %d on broker %d catches up", r.ID, r.Broker)}, false
		}
	}
	return action{}, true
}

// enterJoint commits to the new voters, once nothing is known that could hold them up: from joint there is hardly a way back.
func (g *moving) enterJoint() action {
	if g.entered() { // it stepped back too early
		return g.advance()
	}
	if a, ok := g.fit(); !ok {
		return a
	}
	return g.advance()
}

// fit tells whether the new voters could take over now, or what to do until they can.
func (g *moving) fit() (action, bool) {
	if a, ok := g.awaitLearners(); !ok {
		return a, false
	}
	after := g.p.Desired()
	heard := 0
	for _, r := range after {
		if r.ID == g.v.group.Replica || g.v.group.Peers[r.ID].Active && !g.isQuarantined(r.ID) {
			heard++
		}
	}
	if heard <= len(after)/2 {
		return action{wait: fmt.Sprintf("the leader hears %d of the %d replicas that will vote, which is no majority", heard, len(after))}, false
	}
	return action{}, true
}

// changeVoters enters the joint configuration and leaves it. That it was left is committed, and with it that the data of the old half may be
// deleted, only once the leader says that no change is under way: until then what it has applied may be known to it alone, and the new
// voters would need the old ones again without it, or after a power cut. A majority of them hold a durable commit of the
// leave by then (multiraft.Status.Changing).
func (g *moving) changeVoters() action {
	if g.v.group == nil {
		return g.noLeader()
	}
	m := g.p.Move
	if g.entered() {
		if g.v.group.Changing {
			return action{wait: "the new voters do not all know yet that they decide alone"}
		}
		return g.advance()
	}
	if a, ok := g.fit(); !ok {
		return g.stepBack(a)
	}
	if slices.Contains(m.Removes, g.v.group.Replica) {
		if heir, ok := g.heir(); ok {
			return g.ask(ask.ChangeRequest{Kind: ask.Transfer, Replica: heir.ID, Broker: heir.Broker})
		}
	}
	req := ask.ChangeRequest{Kind: ask.ChangeVoters, Remove: m.Removes}
	for _, r := range m.Adds {
		if why, bad := g.v.quarantined[r.ID]; bad {
			return g.stepBack(action{cancel: fmt.Sprintf("the new replica %d on broker %d is quarantined: %s", r.ID, r.Broker, why)})
		}
		req.Promote = append(req.Promote, r.ID)
	}
	return g.ask(req)
}

// heir is the voter to which a leader that leaves hands over: of those that stay and can lead now, the most preferred, or the next where that
// was in vain. A group of which none stays enters the joint configuration under the old leader.
func (g *moving) heir() (placement.Replica, bool) {
	fit := slices.DeleteFunc(slices.Clone(g.p.Move.Order), func(id uint64) bool {
		peer := g.v.group.Peers[id]
		return !slices.Contains(g.v.group.Voters, id) || !peer.Active || !peer.CaughtUp || g.isQuarantined(id)
	})
	if len(fit) == 0 {
		return placement.Replica{}, false
	}
	return g.p.Replica(fit[g.v.handovers%len(fit)])
}

// isQuarantined tells whether a replica can never serve again. To a leader with nothing to send it seems to be there: its broker is, and it
// has all that there is.
func (g *moving) isQuarantined(id uint64) bool {
	_, bad := g.v.quarantined[id]
	return bad
}

// stepBack takes a move out of joint whose group did not enter the joint configuration and cannot, as the leader tells: what made the new
// voters fit is over since that was committed. It can go on from the phase before, or be cancelled there. The leader's broker
// must know of nothing that is under way; should the group enter all the same, the move goes forward again (enterJoint, undo).
func (g *moving) stepBack(why action) action {
	if why.command != nil || why.change != nil {
		return why
	}
	text := why.wait + why.cancel
	if why.cancel == "" && g.v.unfit < stepBackAfter || g.v.group.Changing || g.v.leadRevision < g.p.Move.Revision {
		return action{wait: text, unfit: true}
	}
	a := g.advanceTo(g.p.Move.Back())
	a.unfit = true // until it is committed
	return a
}

// noLeader says why nothing can be asked of the partition.
func (g *moving) noLeader() action {
	var silent []int32
	for _, r := range g.p.Replicas {
		if !g.v.alive(r.Broker) {
			silent = append(silent, r.Broker)
		}
	}
	if n := len(g.p.Replicas); len(silent)*2 >= n {
		return action{wait: fmt.Sprintf("the partition has no leader: of its %d replicas those on the silent brokers %v are missed", n, silent)}
	}
	return action{wait: "the partition has no leader in session"}
}
