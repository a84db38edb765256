package placement

// MayDecide tells whether the replicas that are there may be enough for the group to decide by itself, whichever configuration it is in by
// all that the State says. As long as they may, nothing is given up by hand: what a majority acknowledges would be lost with it.
//
// In phase joint, and in the one before it once the move stepped back, the group may be in the old configuration still, in the joint one or
// in the new one, so a majority of either half may be enough. A group that is in the joint one and lacks the other half has no
// leader, and that shows by and by. In phase left it has the new voters alone, for good.
func (p *Partition) MayDecide(there func(Replica) bool) bool {
	m := p.Move
	if m == nil || m.Phase != PhaseJoint && m.Phase != PhaseLeft && !m.SteppedBack {
		return majority(p.Replicas, there)
	}
	forward := *m
	forward.Cancelled = false
	after := Partition{Replicas: p.Replicas, Move: &forward}
	return majority(after.Desired(), there) || m.Phase != PhaseLeft && majority(p.Replicas, there)
}

func majority(rs []Replica, there func(Replica) bool) bool {
	n := 0
	for _, r := range rs {
		if there(r) {
			n++
		}
	}
	return n > len(rs)/2
}
