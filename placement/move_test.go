package placement

import (
	"reflect"
	"slices"
	"strings"
	"testing"
)

// moving is a cluster of four brokers with topic t, one partition on brokers 1, 2, 3, and a proposed move of the
// replica on 3 to 4.
func moving(t *testing.T) (*State, uint64) {
	s := founded(t, 4)
	s, r := mustApply(t, s, CreateTopic{Name: "t", Brokers: [][]int32{{1, 2, 3}}})
	last := r.Topic.Partitions[0].Replicas[2].ID
	s, m := mustApply(t, s, ProposeMove{Topic: "t", TopicID: r.Topic.ID, AddBrokers: []int32{4}, Removes: []uint64{last}, OrderBrokers: []int32{4, 1, 2}, Kind: KindManual})
	return s, m.Moves[0]
}

func part(s *State) *Partition { return &s.Topics["t"].Partitions[0] }

// advance takes the move to a phase.
func advance(t *testing.T, s *State, to Phase) *State {
	for part(s).Move.Phase != to {
		m := part(s).Move
		before := *m
		s, _ = mustApply(t, s, AdvanceMove{TopicID: s.Topics["t"].ID, Move: m.ID, From: m.Phase, To: m.Next()})
		if !reflect.DeepEqual(*m, before) || part(s).Move.Revision != s.Revision {
			t.Fatalf("the step changed its input to %+v, or has another revision than %d: %+v", m, s.Revision, part(s).Move)
		}
	}
	return s
}

func TestMoveGoesThroughItsPhasesAndReplacesTheReplica(t *testing.T) {
	s, id := moving(t)
	topic := s.Topics["t"].ID
	leaves := part(s).Replicas[2]
	founders, still := part(s).Founding()
	if len(founders) != 3 || !still {
		t.Fatalf("before the move the group was born with %v, still=%v", founders, still)
	}
	if s.Replicas != 4 {
		t.Fatalf("%d replicas are counted while one moves, want 4", s.Replicas)
	}
	_, _, err := Apply(s, FinishMove{TopicID: topic, Move: id})
	wantCode(t, err, CodeMovePhase)
	_, _, err = Apply(s, AdvanceMove{TopicID: topic, Move: id, From: PhaseProposed, To: PhaseLearner})
	wantCode(t, err, CodeMovePhase)
	s = advance(t, s, PhaseLeft)
	same, r := mustApply(t, s, AdvanceMove{TopicID: topic, Move: id, From: PhaseJoint, To: PhaseLeft})
	if same != s || r.Changed {
		t.Fatal("the repeated step changed something")
	}
	s, _ = mustApply(t, s, FinishMove{TopicID: topic, Move: id})
	p := part(s)
	if p.Move != nil || len(p.Replicas) != 3 || p.Replicas[0].Broker != 4 || p.Replicas[0].Learner || s.Replicas != 3 {
		t.Fatalf("the move ended in %+v", p)
	}
	if ids, still := p.Founding(); still || !slices.Equal(ids, founders) {
		t.Fatalf("the group was born with %v and is said to be born with %v, still=%v", founders, ids, still)
	}
	if d := s.Tombstones[leaves.ID]; len(s.Tombstones) != 1 || d.Broker != 3 || d.Group != p.Group {
		t.Fatalf("the replica that left has the tombstone %+v", d)
	}
	_, _, err = Apply(s, FinishMove{TopicID: topic, Move: id})
	wantCode(t, err, CodeUnknownMove)
}

func TestCancelledMoveLeavesOnlyATombstone(t *testing.T) {
	for _, at := range []Phase{PhaseProposed, PhaseInstalling, PhaseLearner, PhaseCaughtUp} {
		s, id := moving(t)
		topic := s.Topics["t"].ID
		before := part(s).Replicas
		joins := part(s).Move.Adds[0]
		s = advance(t, s, at)
		s, _ = mustApply(t, s, CancelMove{TopicID: topic, Move: id})
		if at == PhaseProposed {
			if part(s).Move != nil || len(s.Tombstones) != 0 || s.Replicas != 3 {
				t.Fatalf("a move that nobody had begun left %+v", part(s))
			}
			continue
		}
		if at != PhaseCaughtUp {
			_, _, err := Apply(s, AdvanceMove{TopicID: topic, Move: id, From: at, To: PhaseJoint})
			wantCode(t, err, CodeMovePhase)
		}
		s, _ = mustApply(t, s, EndCancelled{TopicID: topic, Move: id})
		if part(s).Move != nil || !reflect.DeepEqual(part(s).Replicas, before) || s.Replicas != 3 {
			t.Fatalf("cancelled when %s, it left %+v", at, part(s))
		}
		if d := s.Tombstones[joins.ID]; len(s.Tombstones) != 1 || d.Broker != 4 {
			t.Fatalf("cancelled when %s, it left tombstone %+v", at, d)
		}
	}
	for _, at := range []Phase{PhaseJoint, PhaseLeft} {
		s, id := moving(t)
		_, _, err := Apply(advance(t, s, at), CancelMove{TopicID: s.Topics["t"].ID, Move: id})
		wantCode(t, err, CodeMovePhase)
	}
}

// Joint is an intent. A move whose group never entered steps back; if the group is found to have entered after all, the move goes
// forward again, cancelled or not.
func TestMoveStepsBackFromJointAndForwardAgain(t *testing.T) {
	for _, cancel := range []bool{false, true} {
		s, id := moving(t)
		topic := s.Topics["t"].ID
		s = advance(t, s, PhaseJoint)
		_, _, err := Apply(s, AdvanceMove{TopicID: topic, Move: id, From: PhaseJoint, To: PhaseLearner})
		wantCode(t, err, CodeMovePhase)
		s, _ = mustApply(t, s, AdvanceMove{TopicID: topic, Move: id, From: PhaseJoint, To: part(s).Move.Back()})
		if m := part(s).Move; m.Phase != PhaseCaughtUp || m.Revision != s.Revision {
			t.Fatalf("it stepped back to %+v", m)
		}
		if cancel {
			s, _ = mustApply(t, s, CancelMove{TopicID: topic, Move: id})
			// A step that was on its way when somebody cancelled the move.
			_, _, err := Apply(s, AdvanceMove{TopicID: topic, Move: id, From: PhaseCaughtUp, To: PhaseJoint})
			wantCode(t, err, CodeMovePhase)
		}
		forward, _ := mustApply(t, s, AdvanceMove{TopicID: topic, Move: id, From: PhaseCaughtUp, To: PhaseJoint, Entered: cancel})
		if m := part(forward).Move; m.Phase != PhaseJoint || m.Cancelled {
			t.Fatalf("its group had entered, and the move is %+v", m)
		}
	}
	for _, at := range []Phase{PhaseInstalling, PhaseLearner} {
		s, id := moving(t)
		topic := s.Topics["t"].ID
		s, _ = mustApply(t, advance(t, s, at), CancelMove{TopicID: topic, Move: id})
		for _, to := range []Phase{PhaseLearner, PhaseCaughtUp, PhaseJoint} {
			for _, entered := range []bool{false, true} {
				_, _, err := Apply(s, AdvanceMove{TopicID: topic, Move: id, From: at, To: to, Entered: entered})
				wantCode(t, err, CodeMovePhase)
			}
		}
	}
}

// A removal has nothing to install, but its group may have been asked to enter: once it stepped back it is cancelled no more without the
// group's word.
func TestCancelledRemovalThatSteppedBackWaitsForItsGroup(t *testing.T) {
	s := founded(t, 3)
	s, r := mustApply(t, s, CreateTopic{Name: "t", Brokers: [][]int32{{1, 2, 3}}})
	s, _ = mustApply(t, s, SetReplicationFactor{Topic: "t", RF: 2})
	before := part(s).Replicas
	s, _ = mustApply(t, s, ProposeMove{Topic: "t", Removes: []uint64{before[1].ID}, Kind: KindReplicationFactor})
	topic, id := r.Topic.ID, part(s).Move.ID
	if at, _ := mustApply(t, s, CancelMove{TopicID: topic, Move: id}); part(at).Move != nil {
		t.Fatalf("nothing was asked of the group, and the move is %+v", part(at).Move)
	}
	s = advance(t, s, PhaseJoint)
	s, _ = mustApply(t, s, AdvanceMove{TopicID: topic, Move: id, From: PhaseJoint, To: PhaseProposed})
	if m := part(s).Move; !m.SteppedBack || m.Cancelled {
		t.Fatalf("it stepped back to %+v", m)
	}
	s, _ = mustApply(t, s, CancelMove{TopicID: topic, Move: id})
	if m := part(s).Move; m == nil || !m.Cancelled || m.Phase != PhaseProposed || m.Revision != s.Revision {
		t.Fatalf("cancelled it is %+v", m)
	}
	_, _, err := Apply(s, AdvanceMove{TopicID: topic, Move: id, From: PhaseProposed, To: PhaseJoint})
	wantCode(t, err, CodeMovePhase)
	forward, _ := mustApply(t, s, AdvanceMove{TopicID: topic, Move: id, From: PhaseProposed, To: PhaseJoint, Entered: true})
	if m := part(forward).Move; m.Cancelled || m.Phase != PhaseJoint {
		t.Fatalf("its group had entered, and the move is %+v", m)
	}
	s, _ = mustApply(t, s, EndCancelled{TopicID: topic, Move: id})
	if part(s).Move != nil || !reflect.DeepEqual(part(s).Replicas, before) || s.Replicas != 3 || len(s.Tombstones) != 0 {
		t.Fatalf("it left %+v", part(s))
	}
}

func TestMoveWithoutNewReplicasHasNothingToInstall(t *testing.T) {
	s := founded(t, 3)
	s, r := mustApply(t, s, CreateTopic{Name: "t", Brokers: [][]int32{{1, 2, 3}}})
	fewer := ProposeMove{Topic: "t", Removes: []uint64{r.Topic.Partitions[0].Replicas[1].ID}, Kind: KindReplicationFactor}
	_, _, err := Apply(s, fewer)
	wantCode(t, err, CodeInvalid) // the topic asks for three
	s, _ = mustApply(t, s, SetReplicationFactor{Topic: "t", RF: 2})
	s, _ = mustApply(t, s, fewer)
	if m := part(s).Move; m.Next() != PhaseJoint {
		t.Fatalf("after proposed comes %q", m.Next())
	}
	s = advance(t, s, PhaseLeft)
	s, _ = mustApply(t, s, FinishMove{TopicID: r.Topic.ID, Move: part(s).Move.ID})
	if len(part(s).Replicas) != 2 || s.Replicas != 2 || len(s.Tombstones) != 1 {
		t.Fatalf("it ended in %+v", part(s))
	}
}

// A quarantined replica may share its broker with its successor. One that serves may not, nor one whose broker is dead: that
// could serve again at any time.
func TestNoSecondReplicaOnABrokerUnlessTheFirstIsQuarantined(t *testing.T) {
	s := founded(t, 3)
	s, r := mustApply(t, s, CreateTopic{Name: "t", Brokers: [][]int32{{1, 2, 3}}})
	rs := r.Topic.Partitions[0].Replicas
	heal := ProposeMove{Topic: "t", AddBrokers: []int32{2}, Removes: []uint64{rs[1].ID}, OrderBrokers: []int32{1, 2, 3}, Kind: KindReplaceQuarantined}
	for _, kind := range kinds {
		bad := heal
		bad.Kind = kind
		if _, _, err := Apply(s, bad); kind != KindReplaceQuarantined {
			wantCode(t, err, CodeInvalid)
		}
	}
	bad := heal
	bad.Removes = []uint64{rs[0].ID}
	_, _, err := Apply(s, bad)
	wantCode(t, err, CodeInvalid)
	s, _ = mustApply(t, s, heal)
	same, _ := mustApply(t, s, heal)
	if same != s {
		t.Fatal("the repeated proposal made another move")
	}
	other := heal
	other.Kind = KindReplaceDead
	_, _, err = Apply(s, other)
	wantCode(t, err, CodeMoveUnderWay)
	_, _, err = Apply(s, SetPreferred{TopicID: r.Topic.ID, Order: []uint64{rs[1].ID, rs[0].ID, rs[2].ID}})
	wantCode(t, err, CodeMoveUnderWay)
}

func TestOneRefusedMoveRefusesItsBatch(t *testing.T) {
	s := founded(t, 4)
	s, r := mustApply(t, s, CreateTopic{Name: "t", Brokers: [][]int32{{1, 2}, {2, 3}}})
	good := ProposeMove{Topic: "t", AddBrokers: []int32{4}, Removes: []uint64{r.Topic.Partitions[0].Replicas[0].ID}, Kind: KindManual}
	bad := good
	bad.Partition = 1 // which does not have that replica
	next, _, err := Apply(s, ProposeMoves{Moves: []ProposeMove{good, bad}})
	wantCode(t, err, CodeOutdated)
	if next != s || part(s).Move != nil {
		t.Fatal("half of the batch was made")
	}
}

func TestBrokerIsRemovedOnlyWhenItHasNoPart(t *testing.T) {
	s, id := moving(t)
	topic := s.Topics["t"].ID
	refused := func(b int32, word string) {
		t.Helper()
		_, _, err := Apply(s, RemoveBroker{Broker: b})
		wantCode(t, err, CodeBrokerInUse)
		if !strings.Contains(err.Error(), word) {
			t.Fatalf("broker %d: %v", b, err)
		}
	}
	refused(3, "holds a replica")
	refused(4, "is to get")
	s = advance(t, s, PhaseLeft)
	s, _ = mustApply(t, s, FinishMove{TopicID: topic, Move: id})
	s, _ = mustApply(t, s, SetControllerReplica{Replica: s.Brokers[3].ControllerReplica})
	refused(3, "votes")
	s, _ = mustApply(t, s, SetControllerReplica{Replica: s.Brokers[3].ControllerReplica, Learner: true})
	s, _ = mustApply(t, s, RemoveBroker{Broker: 3})
	if s.Brokers[3] != nil || len(s.Controller) != 3 || len(s.Tombstones) != 0 {
		t.Fatalf("the broker left %+v and tombstones %v", s.Controller, s.Tombstones)
	}
	same, _ := mustApply(t, s, RemoveBroker{Broker: 3})
	if same != s {
		t.Fatal("removing it again changed something")
	}
	back := reg(3)
	back.ID = 3
	_, _, err := Apply(s, RegisterBroker{Broker: back})
	wantCode(t, err, CodeUnknownBroker)
	_, _, err = Apply(s, RemoveBroker{Broker: 9})
	wantCode(t, err, CodeUnknownBroker)
}

func TestDrainingSurvivesARestart(t *testing.T) {
	s := founded(t, 2)
	s, _ = mustApply(t, s, SetDraining{Broker: 2, Draining: true})
	again := reg(2)
	again.ID, again.ClientAddr = 2, "elsewhere:1"
	s, _ = mustApply(t, s, RegisterBroker{Broker: again})
	if !s.Brokers[2].Draining {
		t.Fatal("the drain was forgotten")
	}
	s, _ = mustApply(t, s, CreateTopic{Name: "t", Brokers: [][]int32{{1}}})
	_, _, err := Apply(s, ProposeMove{Topic: "t", AddBrokers: []int32{2}, Removes: []uint64{s.Topics["t"].Partitions[0].Replicas[0].ID}, Kind: KindManual})
	wantCode(t, err, CodeInvalid)
}

func TestAddPartitionsIsPlannedForANumber(t *testing.T) {
	s := founded(t, 3)
	s, _ = mustApply(t, s, CreateTopic{Name: "t", Brokers: [][]int32{{1, 2}}})
	add := AddPartitions{Topic: "t", From: 1, Brokers: [][]int32{{2, 3}, {3, 1}}}
	s, r := mustApply(t, s, add)
	if len(r.Topic.Partitions) != 3 || s.Replicas != 6 {
		t.Fatalf("%d partitions, %d replicas", len(r.Topic.Partitions), s.Replicas)
	}
	same, r := mustApply(t, s, add)
	if same != s || r.Topic != s.Topics["t"] {
		t.Fatal("the repeated request added more")
	}
	add.From = 2
	add.Brokers = append(add.Brokers, []int32{1, 3})
	_, _, err := Apply(s, add)
	wantCode(t, err, CodeOutdated)
	_, _, err = Apply(s, AddPartitions{Topic: "t", From: 3, Brokers: [][]int32{{1, 2, 3}}})
	wantCode(t, err, CodeOutdated)
}

func TestDeletedTopicTakesItsMoveAlong(t *testing.T) {
	s, _ := moving(t)
	s = advance(t, s, PhaseInstalling)
	s, _ = mustApply(t, s, DeleteTopic{Name: "t"})
	if len(s.Tombstones) != 4 || s.Replicas != 0 {
		t.Fatalf("%d tombstones and %d replicas", len(s.Tombstones), s.Replicas)
	}
}

// A state written before there were moves is read, and its first move has an id.
func TestStateWithoutMovesIsRead(t *testing.T) {
	s, err := Unmarshal([]byte(`{"format":1,"state":{"cluster_id":"c","revision":5,"next_broker":3,"next_topic":2,"next_group":3,"next_replica":6,"replicas":1,
		"brokers":{"1":{"id":1,"incarnation":"a","peer_addr":"x:1","controller_replica":1},"2":{"id":2,"incarnation":"b","peer_addr":"y:1","controller_replica":2}},
		"topics":{"t":{"name":"t","id":1,"partitions":[{"group":2,"replicas":[{"id":5,"broker":1}]}]}},"controller":[{"id":1,"broker":1},{"id":2,"broker":2}],"tombstones":{}}}`))
	if err != nil {
		t.Fatal(err)
	}
	if fresh := founded(t, 1); s.NextMove != fresh.NextMove {
		t.Fatalf("read from a checkpoint, the first move will be %d; folded from the log, %d", s.NextMove, fresh.NextMove)
	}
	s, r := mustApply(t, s, ProposeMove{Topic: "t", AddBrokers: []int32{2}, Removes: []uint64{5}, Kind: KindManual})
	if r.Moves[0] != 1 || s.NextMove != 2 {
		t.Fatalf("the first move is %d, the next %d", r.Moves[0], s.NextMove)
	}
	for m := range s.Moves() {
		if m.Topic.Name != "t" || m.Partition != 0 || m.Move.ID != 1 {
			t.Fatalf("moves hold %+v", m)
		}
	}
}
