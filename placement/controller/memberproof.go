package controller

import (
	"slices"
	"time"

	"github.com/runnel-io/runnel/placement"
)

// A group of two voters or fewer commits nothing once one of them cannot write, and what is heard of a voter is its broker: that lives on
// when the disk under the replica has failed. If the group entered a joint configuration with such a voter in the new half, it could
// neither leave it nor go back. So before a change that leaves so few voters, an entry is proposed, and each of them must have it.

// needsProof is the most voters of which each has to show that it writes.
const needsProof = 2

// proofFor is how long it may take all of them from the proposal on. What took longer, by one that was silent meanwhile, shows nothing
// of the others now.
const proofFor = 5 * time.Second

// proof is the newest entry that was proposed to see who writes.
type proof struct {
	pending *proposal
	began   time.Time
	index   uint64 // 0 until it is applied
}

// proven tells what is known of a proof: its index, 0 if there is none yet, and whether it is too old to show anything.
func (c *Controller) proven(now time.Time) (index uint64, old bool) {
	p := &c.members.proof // of the members task alone
	if p.pending != nil {
		select {
		case o := <-p.pending.done:
			p.pending, p.index = nil, o.index
		default:
		}
	}
	return p.index, now.Sub(p.began) > proofFor
}

// prove proposes an entry that changes nothing, unless one is on its way.
func (c *Controller) prove(now time.Time, self uint64) {
	if c.members.proof.pending != nil {
		return
	}
	c.mu.Lock()
	ahead, version, pending := c.pipeline.ahead, c.pipeline.version, c.pipeline.pending()
	c.mu.Unlock()
	if ahead == nil || pending >= maxPending {
		return
	}
	cmd := placement.SetControllerReplica{Replica: self}
	if i := slices.IndexFunc(ahead.Controller, func(r placement.Replica) bool { return r.ID == self }); i >= 0 {
		cmd.Learner = ahead.Controller[i].Learner // as it is known
	}
	q, err := c.propose(cmd, version, ahead)
	if err != nil {
		c.log.Error("an entry to see which replicas of the controller group write could not be proposed", "error", err)
	}
	if q != nil { // else what was planned overtook it: the next look tries again
		c.members.proof = proof{pending: q, began: now}
	}
}

// shown tells whether each of so few voters has shown that it writes. If not, step is what to do: to propose an entry, or to wait.
func (v *memberView) shown(voters []uint64) (step stepKind, ok bool) {
	others := without(voters, v.self)
	if len(voters) > needsProof || len(others) == 0 {
		return stepNone, true
	}
	all := !slices.ContainsFunc(others, func(id uint64) bool { return v.peers[id].Match < v.proof })
	switch {
	case v.proof == 0 || all && v.proofOld:
		return stepProve, false
	case !all:
		return stepWait, false
	}
	return stepNone, true
}

func without(ids []uint64, gone ...uint64) []uint64 {
	return slices.DeleteFunc(slices.Clone(ids), func(id uint64) bool { return slices.Contains(gone, id) })
}
