package admin

import (
	"fmt"
	"strings"
	"testing"

	"github.com/runnel-io/runnel/placement"
	"github.com/runnel-io/runnel/placement/controller"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// moving is a move of topic t's partition from the brokers 1 to 3 to 1, 2 and 4.
func moving(n int32, phase placement.Phase) controller.MoveProgress {
	return controller.MoveProgress{
		Topic: "t", TopicID: 5, Partition: n, From: []int32{1, 2, 3}, To: []int32{1, 2, 4}, Done: 30, Total: 100, Waiting: "for a slot",
		Move: placement.Move{
			ID: 70 + uint64(n), Phase: phase, Kind: placement.KindDrain, Reason: "broker 3 is being drained",
			Adds: []placement.Replica{{ID: 900 + uint64(n), Broker: 4, Learner: true}},
		},
	}
}

func TestMovePartitionAsksTheControllerAndTellsFromWhere(t *testing.T) {
	h := newHarness(t)
	m := moving(1, placement.PhaseProposed).Move
	h.ctrl.f = func(controller.Request) (controller.Response, error) {
		return controller.Response{Revision: 8, Move: &m}, nil
	}
	r, err := h.s.MovePartition(t.Context(), &runnelv1.MovePartitionRequest{Topic: "t", Partition: 1, Brokers: []int32{4, 1, 2}, Reason: "why not"})
	if err != nil {
		t.Fatal(err)
	}
	if got := r.GetMove(); got.GetId() != 71 || got.GetPhase() != "proposed" || fmt.Sprint(got.GetFrom(), got.GetTo()) != "[1 2 3] [4 1 2]" {
		t.Errorf("%v", got)
	}
	if got := fmt.Sprintf("%+v", h.ctrl.last); got != "{Topic:t ID:0 Partition:1 Brokers:[4 1 2] Reason:why not}" {
		t.Errorf("asked for %s", got)
	}
	h.ctrl.f = func(controller.Request) (controller.Response, error) { return controller.Response{Revision: 8}, nil }
	if r, err := h.s.MovePartition(t.Context(), &runnelv1.MovePartitionRequest{Topic: "t", Brokers: []int32{1, 2, 3}}); err != nil || r.GetMove() != nil {
		t.Errorf("%v %v: nothing moves", r, err)
	}
}

func TestNonsenseIsRefusedWithoutTheController(t *testing.T) {
	h := newHarness(t)
	invalid, unknown := runnelv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_PARTITION
	for _, tc := range []struct {
		name   string
		do     func() error
		reason runnelv1.ErrorReason
	}{
		{"no broker", func() error { return h.move(t, 0) }, invalid},
		{"broker 0", func() error { return h.move(t, 0, 1, 0) }, invalid},
		{"a broker twice", func() error { return h.move(t, 0, 1, 2, 1) }, invalid},
		{"no such partition", func() error { return h.move(t, 2, 1) }, unknown},
		{"partition -1", func() error { return h.move(t, -1, 1) }, unknown},
		{"transfer to -1", func() error {
			_, err := h.s.TransferLeadership(t.Context(), &runnelv1.TransferLeadershipRequest{Topic: "t", To: -1})
			return err
		}, invalid},
		{"drain 0", func() error {
			_, err := h.s.DrainBroker(t.Context(), &runnelv1.DrainBrokerRequest{})
			return err
		}, invalid},
		{"undrain -1", func() error {
			_, err := h.s.UndrainBroker(t.Context(), &runnelv1.UndrainBrokerRequest{Broker: -1})
			return err
		}, invalid},
		{"remove 0", func() error {
			_, err := h.s.RemoveBroker(t.Context(), &runnelv1.RemoveBrokerRequest{})
			return err
		}, invalid},
	} {
		wantReason(t, tc.do(), tc.reason, definite)
		if h.ctrl.last != nil {
			t.Fatalf("%s: the controller was asked for %+v", tc.name, h.ctrl.last)
		}
	}
}

func (h *harness) move(t *testing.T, n int32, brokers ...int32) error {
	_, err := h.s.MovePartition(t.Context(), &runnelv1.MovePartitionRequest{Topic: "t", Partition: n, Brokers: brokers})
	return err
}

func TestAPartitionAddedJustNowCanBeMoved(t *testing.T) {
	h := newHarness(t)
	h.ctrl.topics = map[string]*placement.Topic{"t": topicT(3)} // this broker knows of two
	h.ctrl.f = func(controller.Request) (controller.Response, error) { return controller.Response{Revision: 8}, nil }
	if err := h.move(t, 2, 1); err != nil {
		t.Error(err)
	}
}

func TestOrdersReachTheController(t *testing.T) {
	h := newHarness(t)
	h.ctrl.f = func(controller.Request) (controller.Response, error) { return controller.Response{Revision: 8}, nil }
	for _, tc := range []struct {
		do   func() error
		want string
	}{
		{func() error {
			_, err := h.s.CancelMove(t.Context(), &runnelv1.CancelMoveRequest{Topic: "t", Partition: 1})
			return err
		}, "controller.CancelMove{Topic:t ID:0 Partition:1 Move:0}"},
		{func() error {
			_, err := h.s.CancelMove(t.Context(), &runnelv1.CancelMoveRequest{Topic: "t", Partition: 1, Move: 77})
			return err
		}, "controller.CancelMove{Topic:t ID:0 Partition:1 Move:77}"},
		{func() error {
			_, err := h.s.DrainBroker(t.Context(), &runnelv1.DrainBrokerRequest{Broker: 3})
			return err
		}, "controller.SetDraining{Broker:3 Draining:true}"},
		{func() error {
			_, err := h.s.UndrainBroker(t.Context(), &runnelv1.UndrainBrokerRequest{Broker: 3})
			return err
		}, "controller.SetDraining{Broker:3 Draining:false}"},
		{func() error {
			_, err := h.s.RemoveBroker(t.Context(), &runnelv1.RemoveBrokerRequest{Broker: 3})
			return err
		}, "controller.RemoveBroker{Broker:3}"},
	} {
		if err := tc.do(); err != nil {
			t.Error(err)
		}
		if got := fmt.Sprintf("%T%+v", h.ctrl.last, h.ctrl.last); got != tc.want {
			t.Errorf("asked for %s, want %s", got, tc.want)
		}
	}
}

func TestTransferLeadershipAnswersWhenThisBrokerKnowsTheNewLeader(t *testing.T) {
	h := newHarness(t)
	h.ctrl.f = func(controller.Request) (controller.Response, error) { return controller.Response{Revision: 8}, nil }
	done := make(chan error, 1)
	go func() {
		r, err := h.s.TransferLeadership(t.Context(), &runnelv1.TransferLeadershipRequest{Topic: "t", Partition: 1}) // led by 2, 1 is preferred
		if err == nil && r.GetLeader() != 1 {
			err = fmt.Errorf("%v", r)
		}
		done <- err
	}()
	<-h.cluster.asked // for the revision
	<-h.cluster.asked // for the leader
	select {
	case err := <-done:
		t.Fatalf("answered %v while broker 2 leads", err)
	default:
	}
	h.cluster.set(func() { h.cluster.leaders[11] = 1 })
	if err := <-done; err != nil {
		t.Error(err)
	}
	if got := fmt.Sprintf("%+v", h.ctrl.last); got != "{Topic:t ID:0 Partition:1 To:1}" {
		t.Errorf("asked for %s", got)
	}
}

func TestListMovesTellsHowFarTheyAre(t *testing.T) {
	h := newHarness(t)
	other := moving(0, placement.PhaseJoint)
	other.Topic = "u"
	h.ctrl.overview = &controller.OverviewAnswer{Moves: []controller.MoveProgress{moving(0, placement.PhaseCaughtUp), moving(1, placement.PhaseInstalling), other}}
	r, err := h.s.ListMoves(t.Context(), &runnelv1.ListMovesRequest{Topic: "t"})
	if err != nil || len(r.GetMoves()) != 2 {
		t.Fatalf("%v %v", r, err)
	}
	m := r.GetMoves()[1]
	if got := fmt.Sprintf("%d %s %s %d %d %s", m.GetPartition(), m.GetPhase(), m.GetKind(), m.GetBytesDone(), m.GetBytesTotal(), m.GetWaiting()); got != "1 installing drain 30 100 for a slot" {
		t.Errorf("%s", got)
	}
	_, err = h.s.ListMoves(t.Context(), &runnelv1.ListMovesRequest{Topic: "no"})
	wantReason(t, err, runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_TOPIC, definite)
	h.ctrl.overview.Moves = make([]controller.MoveProgress, maxListed+7)
	if r, err := h.s.ListMoves(t.Context(), &runnelv1.ListMovesRequest{}); err != nil || len(r.GetMoves()) != maxListed || r.GetMore() != 7 {
		t.Errorf("%d moves and %d more, %v", len(r.GetMoves()), r.GetMore(), err)
	}
}

func TestStatusAndDescriptionShowMoves(t *testing.T) {
	h := newHarness(t)
	p := &h.cluster.st.Topics["t"].Partitions[1]
	p.Move = &placement.Move{ID: 9, Phase: placement.PhaseLearner, Kind: placement.KindManual, Order: []uint64{200, 111, 112}, Adds: []placement.Replica{{ID: 200, Broker: 4}}, Removes: []uint64{113}}
	d, err := h.s.DescribeTopic(t.Context(), &runnelv1.DescribeTopicRequest{Name: "t"})
	if err != nil {
		t.Fatal(err)
	}
	if m := d.GetPartitions()[1].GetMove(); m.GetPhase() != "learner" || fmt.Sprint(m.GetFrom(), m.GetTo()) != "[1 2 3] [4 1 2]" || d.GetPartitions()[0].GetMove() != nil {
		t.Errorf("%v", m)
	}
	h.ctrl.overview.Moves = []controller.MoveProgress{moving(1, placement.PhaseLearner)}
	st, err := h.s.ClusterStatus(t.Context(), &runnelv1.ClusterStatusRequest{})
	if err != nil || len(st.GetMoves()) != 1 || st.GetMoves()[0].GetWaiting() != "for a slot" || st.GetPlacementUnknown() != "" {
		t.Errorf("%v %v", st, err)
	}
	// Without a controller the rest is told all the same.
	h.ctrl.overview = nil
	st, err = h.s.ClusterStatus(t.Context(), &runnelv1.ClusterStatusRequest{})
	if err != nil || len(st.GetMoves()) != 1 || st.GetMoves()[0].GetId() != 9 || !strings.Contains(st.GetPlacementUnknown(), "no controller") || len(st.GetBrokers()) != 3 {
		t.Errorf("%v %v", st, err)
	}
}
