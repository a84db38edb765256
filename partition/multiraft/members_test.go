package multiraft

import (
	"maps"
	"testing"
)

// A state that lost a move names other replicas than the group has. Where those are is known no less for that.
func TestAVoterThatIsNotNamedAnyMoreIsStillReached(t *testing.T) {
	var s members
	s.set(map[uint64]int32{1: 1, 2: 2, 3: 3}, nil)
	s.learn(5, 50)
	s.set(map[uint64]int32{1: 10, 4: 4}, []uint64{1, 2, 5, 6})
	if want := map[uint64]int32{1: 10, 2: 2, 4: 4, 5: 50}; !maps.Equal(s.get(), want) {
		t.Errorf("%v, not %v", s.get(), want)
	}
}
