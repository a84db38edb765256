package controller

import (
	"cmp"
	"fmt"
	"slices"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/runnel-io/runnel/partition/multiraft"
	"github.com/runnel-io/runnel/placement"
)

// maxVoters of the controller group: more only slow it down. The other brokers are learners.
const maxVoters = 5

// wantVoters is how many of so many brokers vote. An even number bears the loss of no more than the odd one below it, and waits for one
// more; with two, each is one whose failure stops the group. Only a cluster of two has no better.
func wantVoters(brokers int) int {
	if brokers <= 2 {
		return brokers
	}
	return min((brokers-1)|1, maxVoters)
}

// memberView is what the leader goes by.
type memberView struct {
	state *placement.State
	conf  *raftpb.ConfState
	self  uint64 // the leader's replica
	peers map[uint64]multiraft.PeerStatus
	// heard tells whether a broker is heard now, lost whether it is silent for so long that it is replaced.
	heard, lost func(broker int32) bool
	// proof is the index of an entry that shows who writes, 0 if there is none; proofOld says that it is too old.
	proof    uint64
	proofOld bool
}

// membershipStep is the next thing to do to the controller group.
type membershipStep struct {
	kind    stepKind
	replica uint64 // of stepAddLearner, stepRemoveLearner and stepReplace
	broker  int32  // that it is on, 0 if the state knows none
	voters  multiraft.VoterChange
	reason  string // of stepVoters, for people
}

type stepKind int

const (
	stepNone          stepKind = iota // the group is as it should be
	stepWait                          // something comes by itself: a learner catches up, a replica is installed
	stepLeaveJoint                    // the group is in a joint configuration
	stepVoters                        // voters come and go
	stepRemoveLearner                 // a learner that the state does not know any more
	stepReplace                       // a replica that can never catch up gets a successor
	stepAddLearner                    // a replica that runs is not in the group
	stepProve                         // it is to be seen which replicas write
)

// String names the kind.
func (k stepKind) String() string {
	return [...]string{"none", "wait", "leave joint", "voters", "remove learner", "replace", "add learner", "prove"}[k]
}

// nextStep compares the state's replicas of the controller group with raft's configuration. It is pure.
//
// Up to maxVoters brokers vote, the oldest first, and an odd number of them (wantVoters): two come at a time. A voter gives its place to a
// learner when its broker drains or is lost, or when the state does not know it any more: its broker was removed, or it was given up
// (ReplaceControllerReplica). If there is no learner to come for it, it leaves alone, unless it is lost and the group would survive no
// loss without it: it may come back. No step leaves the group without a majority of voters that are heard.
func nextStep(v memberView) membershipStep {
	switch {
	case v.conf == nil:
		return membershipStep{kind: stepWait}
	case len(v.conf.GetVotersOutgoing()) > 0:
		return membershipStep{kind: stepLeaveJoint}
	}
	voters := v.voterStep()
	if voters.kind == stepVoters || voters.kind == stepProve {
		return voters
	}
	for _, id := range v.conf.GetLearners() {
		if _, known := v.replica(id); !known {
			return membershipStep{kind: stepRemoveLearner, replica: id}
		}
	}
	for _, r := range v.state.Controller {
		if v.peers[r.ID].Behind && v.heard(r.Broker) { // a broker that is not heard could not install another
			return membershipStep{kind: stepReplace, replica: r.ID, broker: r.Broker}
		}
	}
	for _, r := range v.state.Controller {
		// A broker is heard once its replica is installed (RULES 19): before, it has no part in the heartbeats. And a replica
		// that replaces another is in the state only then.
		if !v.votes(r.ID) && !slices.Contains(v.conf.GetLearners(), r.ID) && v.heard(r.Broker) {
			return membershipStep{kind: stepAddLearner, replica: r.ID, broker: r.Broker}
		}
	}
	return voters
}

// unrecorded is a command that tells the state what role a replica has, nil if it knows.
func (v *memberView) unrecorded() placement.Command {
	if v.conf == nil || len(v.conf.GetVotersOutgoing()) > 0 {
		return nil
	}
	for _, r := range v.state.Controller {
		if r.Learner == v.votes(r.ID) {
			return placement.SetControllerReplica{Replica: r.ID, Learner: !r.Learner}
		}
	}
	return nil
}

func (v *memberView) votes(id uint64) bool { return slices.Contains(v.conf.GetVoters(), id) }

func (v *memberView) replica(id uint64) (placement.Replica, bool) {
	i := slices.IndexFunc(v.state.Controller, func(r placement.Replica) bool { return r.ID == id })
	if i < 0 {
		return placement.Replica{}, false
	}
	return v.state.Controller[i], true
}

// stays tells whether a broker's replica may vote.
func (v *memberView) stays(broker int32) bool {
	b := v.state.Brokers[broker]
	return b != nil && !b.Draining && !v.lost(broker)
}

// fit tells whether a replica can do its part as a voter now.
func (v *memberView) fit(id uint64) bool {
	if id == v.self {
		return true
	}
	r, known := v.replica(id)
	p := v.peers[id]
	return known && v.heard(r.Broker) && p.RecentActive && !p.Behind
}

// fitVoters counts those of ids that are fit.
func (v *memberView) fitVoters(ids []uint64) (n int) {
	for _, id := range ids {
		if v.fit(id) {
			n++
		}
	}
	return n
}

// spare is how many of so many voters may be lost yet, fit of them being there.
func spare(voters, fit int) int { return fit - (voters/2 + 1) }

// voterStep is the next change of the voters. It answers stepWait if one is wanted and not possible yet.
func (v *memberView) voterStep() membershipStep {
	voters := v.conf.GetVoters()
	if spare(len(voters), v.fitVoters(voters)) < 0 {
		return membershipStep{kind: stepWait} // nothing would be committed
	}
	var out []leaver
	for _, id := range voters {
		if r, known := v.replica(id); !known || !v.stays(r.Broker) {
			out = append(out, v.leaver(id, r, known))
		}
	}
	// The leader last: it hands over, and the next leader begins anew.
	slices.SortStableFunc(out, func(a, b leaver) int {
		return cmp.Or(cmp.Compare(a.why, b.why), boolCompare(a.id == v.self, b.id == v.self))
	})
	in, coming := v.successors()
	if len(out) > 0 {
		if len(in) > 0 {
			c := out[0].change()
			c.Promote = in[:1]
			return v.change(c, fmt.Sprintf("replica %d votes in place of %s", in[0], out[0]))
		}
		return v.shrink(out, coming)
	}
	return v.toOdd(in, coming)
}

// toOdd has as many voters come, or one leave, that an odd number votes; in are the learners that can.
func (v *memberView) toOdd(in []uint64, coming bool) membershipStep {
	n := len(v.conf.GetVoters())
	want := wantVoters(n + len(in))
	switch {
	case coming && n < maxVoters && (want <= n || want%2 == 0): // an even number would rest only until the next one comes
		return membershipStep{kind: stepWait}
	case want > n:
		in = in[:min(want-n, 1+n%2)]
		return v.change(multiraft.VoterChange{Promote: in}, fmt.Sprintf("replicas %v have caught up and there is room for voters", in))
	case want < n && n > 2:
		id := v.leastUseful()
		return v.change(multiraft.VoterChange{Demote: []uint64{id}}, fmt.Sprintf("without replica %d as many losses are survived, and fewer votes needed", id))
	}
	return membershipStep{}
}

// leastUseful is the voter to go where one too many votes: one that is not there, else the newest, and never the leader.
func (v *memberView) leastUseful() (id uint64) {
	for _, other := range v.conf.GetVoters() {
		if other == v.self {
			continue
		}
		if id == 0 || v.fit(id) && !v.fit(other) || v.fit(id) == v.fit(other) && other > id {
			id = other
		}
	}
	return id
}

// shrink is the change by which voters leave and none comes.
func (v *memberView) shrink(out []leaver, coming bool) membershipStep {
	voters := v.conf.GetVoters()
	var useless multiraft.VoterChange // those that take no part any more
	for _, l := range out {
		if !v.fit(l.id) {
			useless = join(useless, l.change())
		}
	}
	if n := len(useless.Demote) + len(useless.Remove); n > 0 {
		fit := v.fitVoters(voters)
		// Two voters without the lost third would survive a loss no more than three with it, and the third may come back.
		after, before := spare(len(voters)-n, fit), spare(len(voters), fit)
		if after > before || !coming && after >= max(1, before) {
			return v.change(useless, fmt.Sprintf("without voters that are gone the group survives the loss of %d more", after))
		}
	}
	if coming {
		return membershipStep{kind: stepWait}
	}
	if len(out) == len(voters) {
		return membershipStep{kind: stepWait} // somebody has to vote
	}
	for _, l := range out {
		if l.why == leaverLost {
			continue
		}
		why := fmt.Sprintf("%s leaves and there is nobody to vote in its place", l)
		if step := v.change(l.change(), why); step.kind != stepWait {
			return step
		}
		// Those that are lost may keep it: without them the rest is a majority.
		if v.fit(l.id) {
			if step := v.change(join(useless, l.change()), why+", and those that are gone leave with it"); step.kind != stepWait {
				return step
			}
		}
	}
	return membershipStep{kind: stepWait}
}

// change is a step to other voters, unless too few of them would be fit or have shown that they write.
func (v *memberView) change(c multiraft.VoterChange, why string) membershipStep {
	after := slices.DeleteFunc(slices.Concat(v.conf.GetVoters(), c.Promote), func(id uint64) bool {
		return slices.Contains(c.Demote, id) || slices.Contains(c.Remove, id)
	})
	if spare(len(after), v.fitVoters(after)) < 0 {
		return membershipStep{kind: stepWait}
	}
	if step, ok := v.shown(after); !ok {
		return membershipStep{kind: step}
	}
	return membershipStep{kind: stepVoters, voters: c, reason: why}
}

// successors are the learners that can vote, in the order in which they shall: caught up, and each in the rack that has the fewest voters by
// then, the oldest of such. coming tells whether there will be one, or another one, by itself.
func (v *memberView) successors() (in []uint64, coming bool) {
	racks := map[string]int{}
	for _, id := range v.conf.GetVoters() {
		if r, known := v.replica(id); known && v.state.Brokers[r.Broker] != nil {
			racks[v.state.Brokers[r.Broker].Rack]++
		}
	}
	var ready []placement.Replica
	for _, r := range v.state.Controller {
		if v.votes(r.ID) || !v.stays(r.Broker) {
			continue
		}
		if !slices.Contains(v.conf.GetLearners(), r.ID) || !v.heard(r.Broker) || !v.peers[r.ID].CaughtUp {
			coming = true
			continue
		}
		ready = append(ready, r)
	}
	for _, b := range v.state.Brokers {
		if _, known := v.replica(b.ControllerReplica); !known && v.stays(b.ID) {
			coming = true // its new replica is being installed
		}
	}
	rack := func(r placement.Replica) string { return v.state.Brokers[r.Broker].Rack }
	for len(ready) > 0 {
		best := 0
		for i, r := range ready {
			if racks[rack(r)] < racks[rack(ready[best])] {
				best = i
			}
		}
		racks[rack(ready[best])]++
		in = append(in, ready[best].ID)
		ready = slices.Delete(ready, best, best+1)
	}
	return in, coming
}

// leaver is a voter that shall not vote any more.
type leaver struct {
	id     uint64
	broker int32
	why    leaverReason
}

type leaverReason int

// In the order in which they go.
const (
	leaverUnknown  leaverReason = iota // the state does not know it
	leaverLost                         // its broker is silent for too long
	leaverDraining                     // its broker shall be emptied
)

func (v *memberView) leaver(id uint64, r placement.Replica, known bool) leaver {
	l := leaver{id: id, broker: r.Broker}
	b := v.state.Brokers[r.Broker]
	switch {
	case !known || b == nil:
		l.why = leaverUnknown
	case b.Draining: // also if it is lost: then it is not waited for
		l.why = leaverDraining
	default:
		l.why = leaverLost
	}
	return l
}

// change is how it leaves: who is a member still goes on as a learner.
func (l leaver) change() multiraft.VoterChange {
	if l.why == leaverUnknown {
		return multiraft.VoterChange{Remove: []uint64{l.id}}
	}
	return multiraft.VoterChange{Demote: []uint64{l.id}}
}

// String names it for people.
func (l leaver) String() string {
	why := [...]string{"which was given up", "whose broker is not heard any more", "whose broker is being drained"}[l.why]
	if l.broker == 0 {
		return fmt.Sprintf("replica %d, %s", l.id, why)
	}
	return fmt.Sprintf("replica %d on broker %d, %s", l.id, l.broker, why)
}

func join(a, b multiraft.VoterChange) multiraft.VoterChange {
	return multiraft.VoterChange{
		Promote: slices.Concat(a.Promote, b.Promote), Demote: slices.Concat(a.Demote, b.Demote), Remove: slices.Concat(a.Remove, b.Remove),
	}
}

func boolCompare(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}
