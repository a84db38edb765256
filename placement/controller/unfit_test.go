package controller

import (
	"strings"
	"testing"
	"time"

	"github.com/runnel-io/runnel/placement"
	"github.com/runnel-io/runnel/placement/ask"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// joining is a loop with a move to brokers 4 and 5 in phase joint, whose group has not entered the joint configuration. peers tells what the
// leader sees of the replicas on them, away when there is none.
func joining(t *testing.T, away func(since time.Duration) bool, peers func(since time.Duration, broker int32) ask.Peer) *loop {
	s := population(t, 5, 1)
	r := s.Topics["t0"].Partitions[0].Replicas
	return inJoint(t, s, placement.ProposeMove{Topic: "t0", AddBrokers: []int32{4, 5}, Removes: []uint64{r[1].ID, r[2].ID}, Kind: placement.KindManual}, away, peers)
}

// inJoint is joining for any move; the partition's first replica leads it.
func inJoint(t *testing.T, s *placement.State, move placement.ProposeMove, away func(since time.Duration) bool, peers func(since time.Duration, broker int32) ask.Peer) *loop {
	p := &s.Topics["t0"].Partitions[0]
	commands := []placement.Command{move}
	for _, step := range [][2]placement.Phase{
		{placement.PhaseProposed, placement.PhaseInstalling}, {placement.PhaseInstalling, placement.PhaseLearner},
		{placement.PhaseLearner, placement.PhaseCaughtUp}, {placement.PhaseCaughtUp, placement.PhaseJoint},
	} {
		commands = append(commands, placement.AdvanceMove{TopicID: s.Topics["t0"].ID, Move: s.NextMove, From: step[0], To: step[1]})
	}
	for _, c := range commands {
		next, _, err := placement.Apply(s, c)
		if err != nil {
			t.Fatal(err)
		}
		s = next
	}
	l := newLoop(t, s, nil)
	began := l.now
	l.answer = func(broker int32, method string, body []byte) ([]byte, error) {
		if method != ask.MethodStatus {
			return nil, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_UNAVAILABLE, "not now")
		}
		resp := ask.StatusResponse{Boot: 1, Revision: l.state.Revision, Groups: map[uint64]ask.Group{}}
		if req, _ := ask.Decode[ask.StatusRequest](body); broker == p.Replicas[0].Broker && len(req.Groups) > 0 && !away(l.now.Sub(began)) {
			g := ask.Group{Replica: p.Replicas[0].ID, Term: 1, Peers: map[uint64]ask.Peer{}}
			for _, r := range p.Replicas {
				g.Voters, g.Peers[r.ID] = append(g.Voters, r.ID), ask.Peer{Active: true, CaughtUp: true}
			}
			for _, r := range s.Topics["t0"].Partitions[0].Move.Adds {
				g.Learners, g.Peers[r.ID] = append(g.Learners, r.ID), peers(l.now.Sub(began), r.Broker)
			}
			resp.Groups[p.Group] = g
		}
		return ask.Encode(resp), nil
	}
	return l
}

func (l *loop) phase() placement.Phase { return l.State().Topics["t0"].Partitions[0].Move.Phase }

// The new voters are unfit all the time, but not for the same reason: one is gone, and the other is not heard now and then. Nor does the
// partition have a leader all the time.
func TestMoveStepsBackFromNewVotersThatAreUnfitForChangingReasons(t *testing.T) {
	refusals := 0
	away := func(since time.Duration) bool { return since > 7*time.Second && since < 9*time.Second }
	l := joining(t, away, func(since time.Duration, broker int32) ask.Peer {
		here := broker == 4 && since%(5*time.Second) < 4*time.Second
		return ask.Peer{Active: here, CaughtUp: here}
	})
	l.silent[5] = true
	l.refuse = func(placement.Command) *runnelv1.Error {
		if refusals++; refusals == 1 { // it is not forgotten with the first try
			return runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_UNAVAILABLE, "no quorum")
		}
		return nil
	}
	l.run(14 * time.Second)
	if got := l.phase(); got != placement.PhaseJoint || refusals > 0 {
		t.Fatalf("after 14 s it is in phase %s", got)
	}
	l.run(3 * time.Second)
	if got := l.phase(); got != placement.PhaseCaughtUp || refusals != 2 {
		t.Fatalf("after 17 s it is in phase %s, %d commands:\n%s", got, refusals, l.log)
	}
}

// New voters that are fit in between begin anew.
func TestMoveDoesNotStepBackFromNewVotersThatAreFitInBetween(t *testing.T) {
	led := func(time.Duration) bool { return false }
	l := joining(t, led, func(since time.Duration, broker int32) ask.Peer {
		here := broker == 4 || since%(10*time.Second) > 8*time.Second
		return ask.Peer{Active: here, CaughtUp: here}
	})
	l.run(time.Minute)
	if got := l.phase(); got != placement.PhaseJoint || l.commands > 0 || l.changes == 0 {
		t.Fatalf("it is in phase %s after %d commands, the leader was asked %d times:\n%s", got, l.commands, l.changes, l.log)
	}
	if !strings.Contains(l.log.String(), "the leader does not hear the new replica") {
		t.Errorf("the log does not say what it waits for:\n%s", l.log)
	}
}

// A leader that leaves is to hand over, and nobody takes it: each heir has its turn, and they are asked ever less often, since it costs writes.
func TestMoveAsksAnotherHeirAndNotTooOften(t *testing.T) {
	s := population(t, 4, 1)
	r := s.Topics["t0"].Partitions[0].Replicas
	l := inJoint(t, s, placement.ProposeMove{Topic: "t0", AddBrokers: []int32{4}, Removes: []uint64{r[0].ID}, Kind: placement.KindManual},
		func(time.Duration) bool { return false }, func(time.Duration, int32) ask.Peer { return ask.Peer{Active: true, CaughtUp: true} })
	var asked []int32
	status := l.answer
	l.answer = func(broker int32, method string, body []byte) ([]byte, error) {
		if method == ask.MethodChange {
			req, err := ask.Decode[ask.ChangeRequest](body)
			if err != nil || req.Kind != ask.Transfer {
				t.Errorf("asked for %+v, %v", req, err)
			}
			asked = append(asked, req.Broker)
		}
		return status(broker, method, body)
	}
	l.run(time.Minute)
	for i, b := range asked {
		if b != r[1+i%2].Broker {
			t.Fatalf("asked %v to take over, want brokers %d and %d by turns", asked, r[1].Broker, r[2].Broker)
		}
	}
	if n := len(asked); n < 6 || n > 15 {
		t.Errorf("asked %d times in a minute", n)
	}
}

// A move that has asked in vain for a minute lets others go on, though each heir is refused in words of its own.
func TestMoveWhoseHeirsAreAllRefusedMakesRoomForOthers(t *testing.T) {
	s := population(t, 5, 2)
	r := s.Topics["t0"].Partitions[0].Replicas
	l := inJoint(t, s, placement.ProposeMove{Topic: "t0", AddBrokers: []int32{4}, Removes: []uint64{r[0].ID}, Kind: placement.KindManual},
		func(time.Duration) bool { return false }, func(time.Duration, int32) ask.Peer { return ask.Peer{Active: true, CaughtUp: true} })
	l.d.cfg.Parallel = 1
	next, _, err := placement.Apply(l.state, placement.ProposeMove{
		Topic: "t0", Partition: 1, AddBrokers: []int32{5}, Removes: []uint64{s.Topics["t0"].Partitions[1].Replicas[0].ID}, Kind: placement.KindManual,
	})
	if err != nil {
		t.Fatal(err)
	}
	l.state = next
	status := l.answer
	l.answer = func(broker int32, method string, body []byte) ([]byte, error) {
		if method == ask.MethodChange {
			req, err := ask.Decode[ask.ChangeRequest](body)
			if err != nil {
				t.Error(err)
			}
			return nil, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_UNAVAILABLE, "the leadership cannot go to replica %d now", req.Replica)
		}
		return status(broker, method, body)
	}
	second := func() placement.Phase { return l.State().Topics["t0"].Partitions[1].Move.Phase }
	l.run(30 * time.Second)
	if got := second(); got != placement.PhaseProposed {
		t.Fatalf("the other move is in phase %s at once, with room for one", got)
	}
	l.run(2 * time.Minute)
	if got := second(); got == placement.PhaseProposed {
		t.Errorf("the other move is still in phase %s:\n%s", got, l.log)
	}
	if n := strings.Count(l.log.String(), "is tried again"); n != 1 {
		t.Errorf("the log says %d times that the step is tried again:\n%s", n, l.log)
	}
}
