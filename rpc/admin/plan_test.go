package admin

import (
	"fmt"
	"slices"
	"testing"

	"github.com/runnel-io/runnel/placement"
	"github.com/runnel-io/runnel/placement/controller"
	"github.com/runnel-io/runnel/placement/plan"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

func TestPlanNamesBrokersInPlaceOfReplicas(t *testing.T) {
	h := newHarness(t)
	h.ctrl.overview = &controller.OverviewAnswer{
		Plan: plan.Plan{
			Moves: []placement.ProposeMove{
				{Topic: "t", Partition: 0, AddBrokers: []int32{4, 5}, Removes: []uint64{102}, Kind: placement.KindDrain, Reason: "r"},
				{Topic: "t", Partition: 1, AddBrokers: []int32{4}, Removes: []uint64{111}, OrderBrokers: []int32{3, 2, 4}},
				{Topic: "gone", Partition: 0},
				{Topic: "t", Partition: 7},
			},
			Cancels: []placement.CancelMove{{TopicID: 6, Partition: 0, Move: 1}, {TopicID: 5, Partition: 1, Move: 2}}, CancelReasons: []string{"a", "b"},
			Preferred: []placement.SetPreferred{{TopicID: 5, Partition: 0, Order: []uint64{103, 101, 102}}}, PreferredReasons: []string{"even"},
			Transfers: []plan.Transfer{{Topic: "t", Partition: 1, From: 2, To: 1, Reason: "preferred"}},
			Blocked:   []plan.Blocked{{Topic: "t", Partition: 1, Broker: 3, Reason: "no room"}}, BlockedMore: 4, Waiting: 6, Reasons: []string{"calm"},
		},
		Dead: map[int32]int64{3: 9000, 2: 100}, ReplaceAfterMS: 300_000, Quarantined: map[uint64]string{112: "bad disk"},
		Recoveries: []placement.Recovery{{Topic: "t", Partition: 1, Kept: 7, Lost: []uint64{8}, Note: "fire", Revision: 3}},
		Spread:     plan.SpreadStatus{Brokers: []plan.BrokerLoad{{Broker: 1, Replicas: 2, Bytes: 10}}, Replicas: 1, WorstTopic: "t"},
		Moves:      []controller.MoveProgress{moving(1, placement.PhaseJoint)},
	}
	r, err := h.s.Plan(t.Context(), &runnelv1.PlanRequest{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range r.GetMoves() {
		got = append(got, fmt.Sprint("move ", m.GetPartition(), m.GetFrom(), m.GetTo(), m.GetKind(), m.GetReason()))
	}
	for _, c := range r.GetCancels() {
		got = append(got, fmt.Sprint("cancel ", c.GetMove(), c.GetTopic(), c.GetReason()))
	}
	for _, o := range r.GetOrders() {
		got = append(got, fmt.Sprint("order ", o.GetFrom(), o.GetTo(), o.GetReason()))
	}
	for _, q := range r.GetQuarantined() {
		got = append(got, fmt.Sprint("quarantined ", q.GetTopic(), q.GetPartition(), q.GetBroker(), q.GetReason()))
	}
	for _, s := range r.GetSilent() {
		got = append(got, fmt.Sprint("silent ", s.GetBroker(), s.GetSilentMs(), s.GetReplacedAfterMs()))
	}
	want := []string{
		"move 0 [1 2 3] [1 4 3 5]drainr", "move 1 [1 2 3] [3 2 4]", "cancel 2tb", "order [1 2 3] [3 1 2]even", "quarantined t1 2bad disk",
		"silent 2 100 300000", "silent 3 9000 300000",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if r.GetRevision() != 8 || r.GetWaiting() != 6 || r.GetBlockedMore() != 4 || len(r.GetBlocked()) != 1 || len(r.GetTransfers()) != 1 ||
		len(r.GetUnderWay()) != 1 || len(r.GetRecoveries()) != 1 || r.GetSpread().GetReplicas() != 1 || len(r.GetReasons()) != 1 || r.GetMore() != 0 {
		t.Errorf("%v", r)
	}
}

func TestAPlanOfAnySizeFitsAnAnswer(t *testing.T) {
	h := newHarness(t)
	h.ctrl.overview.Plan.Transfers = make([]plan.Transfer, maxListed+5)
	h.ctrl.overview.Moves = make([]controller.MoveProgress, maxListed+2)
	r, err := h.s.Plan(t.Context(), &runnelv1.PlanRequest{})
	if err != nil || len(r.GetTransfers()) != maxListed || len(r.GetUnderWay()) != maxListed || r.GetMore() != 7 {
		t.Errorf("%d transfers, %d moves, %d more, %v", len(r.GetTransfers()), len(r.GetUnderWay()), r.GetMore(), err)
	}
}

func TestDescribeDrainTellsWhatIsLeftAndWhy(t *testing.T) {
	describe := func(h *harness, id int32) (*runnelv1.DrainDescription, error) {
		r, err := h.s.DescribeDrain(t.Context(), &runnelv1.DescribeDrainRequest{Broker: id})
		return r.GetDrain(), err
	}
	h := newHarness(t)
	away, elsewhere := moving(0, placement.PhaseInstalling), moving(1, placement.PhaseInstalling)
	elsewhere.From, elsewhere.Waiting = []int32{1, 2}, "other words"
	again := away
	again.Partition, again.Move.Adds = 1, make([]placement.Replica, 2)
	h.ctrl.overview = &controller.OverviewAnswer{
		Drains: []plan.DrainStatus{
			{Broker: 2, Draining: true},
			{Broker: 3, Draining: true, Replicas: 9, Moving: 2, Bytes: 500, Leaders: 4, Voter: true, Blocked: []plan.Blocked{{Topic: "t", Reason: "no room"}}, BlockedMore: 1},
		},
		Moves: []controller.MoveProgress{away, elsewhere, again},
	}
	d, err := describe(h, 3)
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(d.GetReplicas(), d.GetMoving(), d.GetBytes(), d.GetBytesMovingDone(), d.GetLeaders(), d.GetControllerVoter(), len(d.GetBlocked()), d.GetBlockedMore()); got != "9 2 500 45 4 true 1 1" {
		t.Error(got)
	}
	if got := fmt.Sprintf("%q", d.GetWaiting()); got != `["for a slot" "its other replicas wait for their turn: so many move at a time"]` {
		t.Error(got)
	}
	h.ctrl.overview.Drains[1] = plan.DrainStatus{Broker: 3, Draining: true, Voter: true}
	if d, err := describe(h, 3); err != nil || len(d.GetWaiting()) != 2 || d.GetWaiting()[1] != "it votes in the controller group until another broker has taken its place" {
		t.Errorf("%v %v", d, err)
	}
	// A broker that is not drained: what there would be to do.
	h.ctrl.overview.Drains = nil
	d, err = describe(h, 1)
	if err != nil || d.GetDraining() || d.GetReplicas() != 2 || d.GetLeaders() != 1 || len(d.GetBlocked()) != 2 {
		t.Errorf("%v %v", d, err)
	}
	_, err = describe(h, 8)
	wantReason(t, err, runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_BROKER, definite)
}
