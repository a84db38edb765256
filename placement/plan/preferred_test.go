package plan

import (
	"testing"

	"github.com/runnel-io/runnel/placement"
)

// A partition that got another preferred leader and then a move has its order from the move alone: its new replica has no id yet.
func TestOrderOfAPlannedMoveIsNotRecordedOnceMore(t *testing.T) {
	s := newSim(t, "", "", "", "")
	s.create("t", []int32{1, 2, 3})
	w := newWorld(s.v)
	p := &w.topics[0].parts[0]
	w.prefer(p, 1, "for the test")
	if !w.propose(p, 2, w.at(4), placement.KindBalance, "for the test") {
		t.Fatal("the move was not planned")
	}
	w.recordPreferred()
	if len(w.plan.Preferred) > 0 {
		t.Fatalf("the plan orders %+v beside the move %+v", w.plan.Preferred, w.plan.Moves)
	}
	s.adopt(w.plan)
	s.finish()
	if got := s.v.State.Topics["t"].Partitions[0].Replicas; got[0].Broker != 2 || got[2].Broker != 4 {
		t.Fatalf("it ended on %+v", got)
	}
}
