package placement

import (
	"slices"
	"testing"
)

// The partition is on brokers 1, 2 and 3, and its move replaces 2 and 3 by 4 and 5.
func TestMajorityThatMayDecide(t *testing.T) {
	p := Partition{Replicas: []Replica{{ID: 11, Broker: 1}, {ID: 12, Broker: 2}, {ID: 13, Broker: 3}}}
	move := Move{
		Adds:    []Replica{{ID: 14, Broker: 4, Learner: true}, {ID: 15, Broker: 5, Learner: true}},
		Removes: []uint64{12, 13}, Order: []uint64{11, 14, 15},
	}
	none, old, both, now := []int32{1}, []int32{2, 3}, []int32{1, 2, 4}, []int32{4, 5}
	for _, c := range []struct {
		phase                   Phase
		steppedBack, cancelled  bool
		none, old, both, newest bool
	}{
		{phase: "", old: true, both: true},
		{phase: PhaseProposed, old: true, both: true},
		{phase: PhaseInstalling, old: true, both: true},
		{phase: PhaseLearner, old: true, both: true},
		{phase: PhaseLearner, cancelled: true, old: true, both: true},
		{phase: PhaseCaughtUp, old: true, both: true},
		{phase: PhaseCaughtUp, steppedBack: true, old: true, both: true, newest: true},
		{phase: PhaseCaughtUp, steppedBack: true, cancelled: true, old: true, both: true, newest: true},
		{phase: PhaseJoint, old: true, both: true, newest: true},
		{phase: PhaseLeft, both: true, newest: true},
	} {
		q := p
		if c.phase != "" {
			m := move
			m.Phase, m.SteppedBack, m.Cancelled = c.phase, c.steppedBack, c.cancelled
			q.Move = &m
		}
		for _, x := range []struct {
			there []int32
			want  bool
		}{{none, c.none}, {old, c.old}, {both, c.both}, {now, c.newest}} {
			if got := q.MayDecide(func(r Replica) bool { return slices.Contains(x.there, r.Broker) }); got != x.want {
				t.Errorf("phase %q, stepped back %t, cancelled %t, brokers %v there: %t, want %t", c.phase, c.steppedBack, c.cancelled, x.there, got, x.want)
			}
		}
	}
}
