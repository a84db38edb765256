package controller

import (
	"fmt"
	"slices"
	"testing"

	"github.com/runnel-io/runnel/placement"
	"github.com/runnel-io/runnel/placement/ask"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// partitionOf reads a partition from the newest state.
func partitionOf(n *fakeNode, topic string, number int32) *placement.Partition {
	return &n.c.State().Topics[topic].Partitions[number]
}

func brokersOf(p *placement.Partition) []int32 {
	var out []int32
	for _, r := range p.Replicas {
		out = append(out, r.Broker)
	}
	return out
}

func submit(t *testing.T, n *fakeNode, cmd placement.Command) {
	t.Helper()
	if err := n.c.submit(t.Context(), cmd); err != nil {
		t.Fatal(err)
	}
}

// journey is a topic of one partition and a move of its first replica, which leads, to the broker that has none.
type journey struct {
	g     *fakeGroup
	nodes []*fakeNode
	a     *fakeAgents
	group uint64
	old   placement.Replica // the one that leaves
	to    int32
	next  uint64 // the id that the new replica will have
}

func journeyOf(t *testing.T, more func(*Config)) *journey {
	g, nodes, a := driven(t, 4, more)
	do(t, nodes[0].c, CreateTopic{Name: "t", Partitions: 1, RF: 3})
	p := partitionOf(nodes[0], "t", 0)
	j := &journey{g: g, nodes: nodes, a: a, group: p.Group, old: p.Replicas[0], to: 10, next: nodes[0].c.State().NextReplica}
	for _, r := range p.Replicas {
		j.to -= r.Broker
	}
	return j
}

func (j *journey) begin(t *testing.T) {
	submit(t, j.nodes[0], placement.ProposeMove{Topic: "t", AddBrokers: []int32{j.to}, Removes: []uint64{j.old.ID}, Kind: placement.KindManual})
}

func (j *journey) partition() *placement.Partition { return partitionOf(j.nodes[3], "t", 0) }

// arrived waits for the end and checks it.
func (j *journey) arrived(t *testing.T) {
	t.Helper()
	j.g.await(func() bool { p := j.partition(); return p.Move == nil && p.Replicas[0].Broker == j.to })
	want := slices.Sorted(slices.Values(brokersOf(j.partition())))
	if got := j.a.voting(j.group); !slices.Equal(got, want) {
		t.Errorf("brokers %v vote, and the state says %v", got, want)
	}
	s := j.nodes[3].c.State()
	if s.Tombstones[j.old.ID] == nil || len(s.Tombstones) != 1 {
		t.Errorf("tombstones %v, want one for replica %d", s.Tombstones, j.old.ID)
	}
}

// turnedBack waits for the end of a cancelled move and checks that nothing is left of it.
func (j *journey) turnedBack(t *testing.T, tombstones int) {
	t.Helper()
	j.g.await(func() bool { return j.partition().Move == nil })
	p := j.partition()
	if p.Replicas[0].ID != j.old.ID || len(p.Replicas) != 3 {
		t.Errorf("it ended in %+v", p.Replicas)
	}
	j.a.mu.Lock()
	defer j.a.mu.Unlock()
	if g := j.a.groups[j.group]; g != nil && (len(g.learners) > 0 || len(g.voters) != 3 || len(g.outgoing) > 0) {
		t.Errorf("the group was left as %+v", g)
	}
	if n := len(j.nodes[3].c.State().Tombstones); n != tombstones {
		t.Errorf("%d tombstones, want %d", n, tombstones)
	}
}

func TestProposedMoveIsDrivenToItsEnd(t *testing.T) {
	j := journeyOf(t, nil)
	j.begin(t)
	j.arrived(t)
	j.a.mu.Lock()
	defer j.a.mu.Unlock()
	// Each step once: what was seen before a step ended is not taken for news after it.
	if want := []string{"t/0 add_learner", "t/0 transfer", "t/0 change_voters", "t/0 leave_joint"}; !slices.Equal(j.a.steps, want) {
		t.Errorf("its group took the steps %q, want %q", j.a.steps, want)
	}
}

// hold keeps a move in a phase, and returns what lets it go.
func (j *journey) hold(phase placement.Phase) (release func()) {
	refuse := func(kind ask.ChangeKind) func() {
		j.a.set(func() {
			j.a.refuse = func(_ int32, req ask.ChangeRequest) error {
				if req.Kind == kind {
					return runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_UNAVAILABLE, "held by the test")
				}
				return nil
			}
		})
		return func() { j.a.set(func() { j.a.refuse = nil }) }
	}
	switch phase {
	case placement.PhaseInstalling:
		j.a.set(func() { j.a.installs[j.next] = ask.Install{State: ask.InstallReceiving, Done: 30, Total: 100} })
		return func() { j.a.set(func() { clear(j.a.installs) }) }
	case placement.PhaseLearner:
		j.a.set(func() { j.a.lag[j.next] = ask.Peer{Active: true} })
		return func() { j.a.set(func() { clear(j.a.lag) }) }
	case placement.PhaseJoint:
		return refuse(ask.LeaveJoint)
	}
	panic("no way to hold a move in " + string(phase))
}

func TestNextControllerGoesOnInEveryPhase(t *testing.T) {
	for _, phase := range []placement.Phase{placement.PhaseInstalling, placement.PhaseLearner, placement.PhaseJoint} {
		t.Run(string(phase), func(t *testing.T) {
			j := journeyOf(t, nil)
			release := j.hold(phase)
			j.begin(t)
			j.g.await(func() bool { m := j.partition().Move; return m != nil && m.Phase == phase })
			j.g.lead(2, false)
			release()
			j.arrived(t)
		})
	}
}

// The leadership is lost with a step's command in flight, at each step; the next leader commits the command, or never saw it.
func TestStepInFlightSurvivesALossOfTheController(t *testing.T) {
	for _, phase := range []placement.Phase{placement.PhaseProposed, placement.PhaseInstalling, placement.PhaseLearner, placement.PhaseCaughtUp, placement.PhaseJoint, placement.PhaseLeft} {
		for _, committed := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/committed=%v", phase, committed), func(t *testing.T) {
				j := journeyOf(t, nil)
				once := false
				j.nodes[0].c.OnChange(func(s *placement.State) { // on the worker
					if m := s.Topics["t"].Partitions[0].Move; m != nil && m.Phase == phase && !once {
						once, j.g.hold = true, true
					}
				})
				j.begin(t)
				j.g.await(func() bool { return len(j.g.held) > 0 })
				j.g.lead(2, committed)
				j.arrived(t)
			})
		}
	}
}

// An answer that is lost, with the controller or without, is asked for again: each step may be done twice.
func TestLostAnswersAreAskedForAgain(t *testing.T) {
	for _, kind := range []ask.ChangeKind{ask.AddLearner, ask.ChangeVoters, ask.LeaveJoint} {
		for _, failover := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/failover=%v", kind, failover), func(t *testing.T) {
				j := journeyOf(t, nil)
				lost := 0
				j.a.after = func(_ int32, req ask.ChangeRequest) error {
					if req.Kind != kind || lost > 0 {
						return nil
					}
					lost++
					if failover {
						j.g.lead(3, false)
					}
					return runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_TIMEOUT, "the answer got lost")
				}
				j.begin(t)
				j.arrived(t)
				if lost == 0 {
					t.Error("no answer was lost")
				}
			})
		}
	}
}

func TestMoveIsCancelledInEveryPhaseThatAllowsIt(t *testing.T) {
	for _, phase := range []placement.Phase{placement.PhaseInstalling, placement.PhaseLearner} {
		for _, failover := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/failover=%v", phase, failover), func(t *testing.T) {
				j := journeyOf(t, nil)
				release := j.hold(phase)
				j.begin(t)
				j.g.await(func() bool { m := j.partition().Move; return m != nil && m.Phase == phase })
				if failover { // and the next leader has to find out what the other has done
					j.g.lead(2, false)
				}
				do(t, j.nodes[2].c, CancelMove{Topic: "t"})
				j.turnedBack(t, 1)
				release()
			})
		}
	}
	t.Run("joint", func(t *testing.T) {
		j := journeyOf(t, nil)
		release := j.hold(placement.PhaseJoint)
		j.begin(t)
		j.g.await(func() bool { m := j.partition().Move; return m != nil && m.Phase == placement.PhaseJoint })
		refused(t, j.nodes[1], CancelMove{Topic: "t"}, runnelv1.ErrorReason_ERROR_REASON_MOVE_TOO_FAR)
		release()
		j.arrived(t)
	})
}

// A move that waits for its turn has nothing to undo.
func TestWaitingMoveIsDroppedAtOnce(t *testing.T) {
	j := journeyOf(t, func(c *Config) { c.PerBroker = 1; c.Parallel = 1 })
	do(t, j.nodes[0].c, CreateTopic{Name: "other", Partitions: 1, RF: 3})
	j.next = j.nodes[0].c.State().NextReplica
	release := j.hold(placement.PhaseInstalling)
	j.begin(t)
	j.g.await(func() bool { m := j.partition().Move; return m != nil && m.Phase == placement.PhaseInstalling })
	p := partitionOf(j.nodes[0], "other", 0)
	free := 10 - p.Replicas[0].Broker - p.Replicas[1].Broker - p.Replicas[2].Broker
	r := do(t, j.nodes[0].c, MovePartition{Topic: "other", Brokers: []int32{free, p.Replicas[1].Broker, p.Replicas[2].Broker}})
	eventually(t, func() bool { return waitingFor(t, j.nodes[0], r.Move.ID) != "" })
	if got := waitingFor(t, j.nodes[0], r.Move.ID); got != "1 moves are under way, as many as may be at a time" {
		t.Errorf("it waits for %q", got)
	}
	do(t, j.nodes[0].c, CancelMove{Topic: "other"})
	if m := partitionOf(j.nodes[0], "other", 0).Move; m != nil {
		t.Errorf("it is there still: %+v", m)
	}
	release()
	j.arrived(t)
}

// waitingFor tells what the overview says that a move waits for.
func waitingFor(t *testing.T, n *fakeNode, move uint64) string {
	t.Helper()
	for _, m := range do(t, n.c, Overview{}).Overview.Moves {
		if m.Move.ID == move {
			return m.Waiting
		}
	}
	return ""
}

func TestOverviewTellsHowFarAMoveIs(t *testing.T) {
	j := journeyOf(t, nil)
	release := j.hold(placement.PhaseInstalling)
	j.a.set(func() { j.a.bytes[j.group] = 4_000 })
	j.begin(t)
	var m MoveProgress
	eventually(t, func() bool {
		o := do(t, j.nodes[3].c, Overview{}).Overview
		if len(o.Moves) == 1 {
			m = o.Moves[0]
		}
		return m.Done == 30
	})
	if m.Topic != "t" || m.Total != 100 || m.Waiting != "" || !slices.Contains(m.From, j.old.Broker) || m.To[0] != j.to {
		t.Errorf("it shows %+v", m)
	}
	j.a.set(func() {
		j.a.installs[j.next] = ask.Install{State: ask.InstallWaiting, Err: "disk full", Done: 30, Total: 100}
	})
	want := fmt.Sprintf("broker %d tries again to install replica %d: disk full", j.to, j.next)
	eventually(t, func() bool { return waitingFor(t, j.nodes[3], m.Move.ID) == want })
	release()
	j.arrived(t)
	o := do(t, j.nodes[3].c, Overview{}).Overview
	if len(o.Moves) != 0 || len(o.Spread.Brokers) != 4 || o.ReplaceAfterMS != defaultReplaceAfter.Milliseconds() {
		t.Errorf("at rest it shows %+v", o)
	}
}

// The new replica dies just when the move is committed to it, and never comes back: the group never enters the joint
// configuration, so the move steps back and can be cancelled.
func TestTargetThatDiesAtTheLastMomentDoesNotHoldTheMove(t *testing.T) {
	j := journeyOf(t, nil)
	j.a.refuse = func(_ int32, req ask.ChangeRequest) error {
		if req.Kind == ask.ChangeVoters {
			j.a.lag[j.next] = ask.Peer{Active: true, Behind: true}
			return runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_UNAVAILABLE, "it has not caught up")
		}
		return nil
	}
	j.begin(t)
	j.turnedBack(t, 1)
}

func TestStopEndsTheLoopAndItsCalls(t *testing.T) {
	j := journeyOf(t, nil)
	j.hold(placement.PhaseLearner)
	j.begin(t)
	j.g.await(func() bool { m := j.partition().Move; return m != nil && m.Phase == placement.PhaseLearner })
	j.nodes[0].c.Stop()
	if j.nodes[0].c.driving() != nil {
		t.Error("it drives still")
	}
	j.nodes[0].c.Stop()
	// What was asked of it is answered all the same.
	do(t, j.nodes[0].c, Overview{})
	j.g.lead(2, false)
	j.g.lead(1, false)
	j.g.await(func() bool { return j.nodes[0].started })
	if j.nodes[0].c.driving() != nil {
		t.Error("a new session began a loop after Stop")
	}
}
