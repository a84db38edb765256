package admin

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/runnel-io/runnel/partition"
	"github.com/runnel-io/runnel/placement"
	"github.com/runnel-io/runnel/placement/controller"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// recoverable is a cluster of five that has lost three replicas of t/0 (ids 101 to 105); the brokers 1 and 2 are left,
// and broker 2 has more.
func recoverable(t *testing.T) *harness {
	h := newHarness(t)
	p := &h.cluster.st.Topics["t"].Partitions[0]
	for b := int32(4); b <= 5; b++ {
		h.cluster.st.Brokers[b] = &placement.Broker{ID: b}
		p.Replicas = append(p.Replicas, placement.Replica{ID: 100 + uint64(b), Broker: b})
	}
	for b := int32(3); b <= 5; b++ {
		h.cluster.dead[b] = true
	}
	delete(h.cluster.leaders, 10)
	h.local["t/0"] = partition.Status{HW: 50, LogStart: 10, Bytes: 700}
	h.others[2]["t/0"] = partition.Status{HW: 60, LogStart: 20, Bytes: 800}
	h.ctrl.f = func(controller.Request) (controller.Response, error) { return controller.Response{Revision: 8}, nil }
	return h
}

func TestRule30RecoveryTellsWhatWouldBeLostAndChangesNothing(t *testing.T) {
	h := recoverable(t)
	r, err := h.s.RecoverPartition(t.Context(), &runnelv1.RecoverPartitionRequest{Topic: "t"})
	if err != nil {
		t.Fatal(err)
	}
	k := r.GetKept()
	if got := fmt.Sprint(k.GetReplica(), k.GetBroker(), k.GetLogStartOffset(), k.GetHighWatermark(), k.GetBytes(), r.GetRecovered()); got != "102 2 20 60 800 false" {
		t.Errorf("keeps %s", got)
	}
	var lost []string
	for _, d := range r.GetLost() {
		lost = append(lost, fmt.Sprintf("%d %v %d %s", d.GetReplica(), d.GetAlive(), d.GetHighWatermark(), d.GetTrouble()))
	}
	want := "101 true 50 ; 103 false -1 its broker is silent; 104 false -1 its broker is silent; 105 false -1 its broker is silent"
	if got := strings.Join(lost, "; "); got != want {
		t.Errorf("loses %s", got)
	}
	if r, err := h.s.RecoverPartition(t.Context(), &runnelv1.RecoverPartitionRequest{Topic: "t", Keep: 1}); err != nil || r.GetKept().GetReplica() != 101 {
		t.Errorf("%v %v", r, err)
	}
	if h.ctrl.last != nil {
		t.Errorf("asked the controller for %+v", h.ctrl.last)
	}
}

func TestRule30RecoveryIsRefusedWhereNothingIsLost(t *testing.T) {
	quorum, invalid := runnelv1.ErrorReason_ERROR_REASON_QUORUM_ALIVE, runnelv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT
	for _, tc := range []struct {
		name   string
		change func(h *harness)
		keep   int32
		reason runnelv1.ErrorReason
		words  string
	}{
		{"a majority", func(h *harness) { h.cluster.dead[3] = false }, 0, quorum, "on brokers 1, 2, 3"},
		{"a majority, of which one is starting", func(h *harness) {
			h.cluster.dead[3] = false
			h.others[3]["t/0"] = partition.Status{Quarantine: absent + "the replica of t/0 on broker 3 is starting: try again"}
		}, 0, quorum, "nothing is to be given up"},
		{"a majority, of which one does not answer", func(h *harness) {
			h.cluster.dead[3] = false
			f := h.caller.f
			h.caller.f = func(ctx context.Context, broker int32, body []byte) ([]byte, error) {
				if broker == 3 {
					return nil, errors.New("it is busy")
				}
				return f(ctx, broker, body)
			}
		}, 0, quorum, "nothing is to be given up"},
		{"keep a silent one", func(*harness) {}, 4, invalid, "cannot go on with what broker 4 has: the replica on broker 4: its broker is silent"},
		{"keep where there is none", func(*harness) {}, 9, invalid, "has no replica on broker 9: it is on brokers 1, 2, 3, 4, 5"},
		{"keep a new one", func(h *harness) {
			h.cluster.st.Brokers[6] = &placement.Broker{ID: 6}
			h.cluster.dead[6] = true
			h.cluster.st.Topics["t"].Partitions[0].Move = &placement.Move{Phase: placement.PhaseLearner, Adds: []placement.Replica{{ID: 200, Broker: 6, Learner: true}}}
		}, 6, invalid, "silent"},
		{"none to keep", func(h *harness) {
			h.cluster.dead[2] = true
			h.local["t/0"] = partition.Status{Quarantine: "bad disk"}
		}, 0, invalid, "no replica of t/0 can be kept: the replica on broker 1: is quarantined: bad disk"},
		{"the majority of the new configuration", func(h *harness) {
			// After the joint phase the brokers 1 and 2 and a dead one decide.
			h.cluster.st.Topics["t"].Partitions[0].Move = &placement.Move{Phase: placement.PhaseLeft, Order: []uint64{101, 102, 103}, Removes: []uint64{104, 105}}
		}, 0, quorum, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := recoverable(t)
			h.cluster.leaders[10] = 1
			tc.change(h)
			_, err := h.s.RecoverPartition(t.Context(), &runnelv1.RecoverPartitionRequest{Topic: "t", Keep: tc.keep})
			e := wantReason(t, err, tc.reason, runnelv1.KindOf(tc.reason))
			if !strings.Contains(e.GetMessage(), tc.words) {
				t.Errorf("message %q", e.GetMessage())
			}
		})
	}
	// A quarantined replica is none of a majority.
	h := recoverable(t)
	h.cluster.dead[3] = false
	h.others[3]["t/0"] = partition.Status{Quarantine: "bad disk"}
	if r, err := h.s.RecoverPartition(t.Context(), &runnelv1.RecoverPartitionRequest{Topic: "t"}); err != nil || r.GetKept().GetBroker() != 2 {
		t.Errorf("%v %v", r, err)
	}
}

// A majority is there and nobody leads: whether the partition is stuck the controller decides, which watches it.
func TestRule30StuckPartitionIsRecoveredIfTheControllerSaysSo(t *testing.T) {
	h := recoverable(t)
	h.cluster.dead[3] = false
	h.others[3]["t/0"] = partition.Status{HW: 55, LogStart: 10}
	if r, err := h.s.RecoverPartition(t.Context(), &runnelv1.RecoverPartitionRequest{Topic: "t"}); err != nil || r.GetKept().GetReplica() != 102 || r.GetRecovered() {
		t.Fatalf("%v %v", r, err)
	}
	if got := fmt.Sprintf("%+v", h.ctrl.last); got != "{Topic:t ID:5 Partition:0 Keep:2 Anew:false Lost:[] Note: Ask:true}" {
		t.Errorf("asked for %s", got)
	}
	h.ctrl.f = func(controller.Request) (controller.Response, error) {
		return controller.Response{}, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_QUORUM_ALIVE, "ask again")
	}
	_, err := h.s.RecoverPartition(t.Context(), &runnelv1.RecoverPartitionRequest{Topic: "t"})
	wantReason(t, err, runnelv1.ErrorReason_ERROR_REASON_QUORUM_ALIVE, definite)
	_, err = h.s.RecoverPartition(t.Context(), &runnelv1.RecoverPartitionRequest{Topic: "t", Anew: true})
	wantReason(t, err, runnelv1.ErrorReason_ERROR_REASON_QUORUM_ALIVE, definite)

	// The only replica loses nobody.
	h = recoverable(t)
	h.cluster.st.Topics["t"].Partitions[0].Replicas = []placement.Replica{{ID: 102, Broker: 2}}
	req := &runnelv1.RecoverPartitionRequest{Topic: "t", AcceptDataLoss: true, Keep: 2}
	if r, err := h.s.RecoverPartition(t.Context(), req); err != nil || !r.GetRecovered() || len(r.GetLost()) != 0 {
		t.Errorf("%v %v", r, err)
	}
}

func TestRule30RecoveryLosesOnlyWhatWasNamed(t *testing.T) {
	for _, tc := range []struct {
		name   string
		keep   int32
		lost   []uint64
		reason runnelv1.ErrorReason // 0: done
	}{
		{"as named", 2, []uint64{105, 101, 103, 104}, 0},
		{"one unnamed", 2, []uint64{101, 103, 104}, runnelv1.ErrorReason_ERROR_REASON_OUTDATED},
		{"another kept", 1, []uint64{101, 103, 104, 105}, runnelv1.ErrorReason_ERROR_REASON_OUTDATED},
		{"none kept", 0, []uint64{101, 103, 104, 105}, runnelv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT},
		{"none named", 2, nil, runnelv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := recoverable(t)
			req := &runnelv1.RecoverPartitionRequest{Topic: "t", AcceptDataLoss: true, Keep: tc.keep, Lost: tc.lost, Note: "fire"}
			r, err := h.s.RecoverPartition(t.Context(), req)
			if tc.reason != 0 {
				wantReason(t, err, tc.reason, definite)
				if h.ctrl.last != nil {
					t.Errorf("asked the controller for %+v", h.ctrl.last)
				}
				return
			}
			if err != nil || !r.GetRecovered() || r.GetKept().GetReplica() != 102 || len(r.GetLost()) != 4 {
				t.Fatalf("%v %v", r, err)
			}
			if got := fmt.Sprintf("%+v", h.ctrl.last); got != "{Topic:t ID:5 Partition:0 Keep:2 Anew:false Lost:[101 103 104 105] Note:fire Ask:false}" {
				t.Errorf("asked for %s", got)
			}
			// Asked again, it finds its own work.
			h.ctrl.last = nil
			st := h.cluster.st
			st.Topics["t"].Partitions[0].Replicas = []placement.Replica{{ID: 102, Broker: 2}}
			st.Recoveries = []placement.Recovery{{TopicID: 5, Partition: 0, Kept: 102, Lost: []uint64{101, 103, 104, 105}}}
			if r, err := h.s.RecoverPartition(t.Context(), req); err != nil || !r.GetRecovered() || h.ctrl.last != nil {
				t.Errorf("%v %v, asked for %+v", r, err, h.ctrl.last)
			}
		})
	}
}

// A partition that begins anew loses everything, so that is for when everything is lost already.
func TestRule30APartitionBeginsAnewOnlyWhenNothingIsLeft(t *testing.T) {
	h := recoverable(t)
	all := []uint64{101, 102, 103, 104, 105}
	ask := func(r *runnelv1.RecoverPartitionRequest) (*runnelv1.RecoverPartitionResponse, error) {
		r.Topic = "t"
		return h.s.RecoverPartition(t.Context(), r)
	}
	_, err := ask(&runnelv1.RecoverPartitionRequest{Anew: true})
	if e := wantReason(t, err, runnelv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, definite); !strings.Contains(e.GetMessage(), "has replicas left, on brokers 1, 2: keep one") {
		t.Errorf("message %q", e.GetMessage())
	}
	h.cluster.dead[2] = true
	h.local["t/0"] = partition.Status{Quarantine: "bad disk"}
	r, err := ask(&runnelv1.RecoverPartitionRequest{Anew: true})
	if err != nil || r.GetKept() != nil || len(r.GetLost()) != 5 || r.GetRecovered() {
		t.Fatalf("%v %v", r, err)
	}
	for _, bad := range []*runnelv1.RecoverPartitionRequest{
		{Anew: true, Keep: 1}, {Anew: true, AcceptDataLoss: true, Lost: all[1:]}, {Anew: true, AcceptDataLoss: true, Keep: 1, Lost: all}, {AcceptDataLoss: true, Lost: all},
	} {
		if _, err := ask(bad); err == nil || h.ctrl.last != nil {
			t.Errorf("%v: %v, asked for %+v", bad, err, h.ctrl.last)
		}
	}
	if r, err := ask(&runnelv1.RecoverPartitionRequest{Anew: true, AcceptDataLoss: true, Lost: all, Note: "fire"}); err != nil || !r.GetRecovered() {
		t.Errorf("%v %v", r, err)
	}
	if got := fmt.Sprintf("%+v", h.ctrl.last); got != "{Topic:t ID:5 Partition:0 Keep:0 Anew:true Lost:[101 102 103 104 105] Note:fire Ask:false}" {
		t.Errorf("asked for %s", got)
	}
}

func TestRule30AReplicaBeingInstalledIsNeverKept(t *testing.T) {
	h := recoverable(t)
	p := &h.cluster.st.Topics["t"].Partitions[0]
	p.Replicas = []placement.Replica{p.Replicas[0], p.Replicas[1], p.Replicas[3], p.Replicas[4]}
	p.Move = &placement.Move{Phase: placement.PhaseLearner, Adds: []placement.Replica{{ID: 200, Broker: 3, Learner: true}}}
	h.cluster.dead[3] = false
	h.others[3]["t/0"] = partition.Status{HW: 90}
	r, err := h.s.RecoverPartition(t.Context(), &runnelv1.RecoverPartitionRequest{Topic: "t"})
	if err != nil || r.GetKept().GetReplica() != 102 || len(r.GetLost()) != 4 {
		t.Fatalf("%v %v", r, err)
	}
	_, err = h.s.RecoverPartition(t.Context(), &runnelv1.RecoverPartitionRequest{Topic: "t", Keep: 3})
	if e := wantReason(t, err, runnelv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, definite); !strings.Contains(e.GetMessage(), "the replica on broker 3: is being installed") {
		t.Errorf("message %q", e.GetMessage())
	}
	p.Move.Phase = placement.PhaseJoint // it votes by now
	if r, err := h.s.RecoverPartition(t.Context(), &runnelv1.RecoverPartitionRequest{Topic: "t"}); err != nil || r.GetKept().GetReplica() != 200 {
		t.Errorf("%v %v", r, err)
	}
}

// In the joint phase the group may be in the old configuration still, or have left it: the majority of either half may decide, so only the
// controller can tell that it does not.
func TestRule30AMajorityOfEitherHalfMayDecideInTheJointPhase(t *testing.T) {
	for name, dead := range map[string][]int32{"the old half": {4, 5}, "the new half": {2, 3}, "neither": {2, 3, 4}} {
		t.Run(name, func(t *testing.T) {
			h := recoverable(t)
			p := &h.cluster.st.Topics["t"].Partitions[0]
			p.Replicas = p.Replicas[:3] // on 1, 2 and 3
			p.Move = &placement.Move{
				Phase: placement.PhaseJoint, Adds: []placement.Replica{{ID: 104, Broker: 4}, {ID: 105, Broker: 5}}, Removes: []uint64{101, 102}, Order: []uint64{103, 104, 105},
			}
			for id := int32(1); id <= 5; id++ {
				h.cluster.dead[id] = slices.Contains(dead, id)
			}
			h.caller.f = func(context.Context, int32, []byte) ([]byte, error) { return nil, errors.New("busy") }
			asked := false
			h.ctrl.f = func(r controller.Request) (controller.Response, error) {
				asked = r.(controller.RecoverPartition).Ask
				return controller.Response{}, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_QUORUM_ALIVE, "a majority is there")
			}
			_, err := h.s.RecoverPartition(t.Context(), &runnelv1.RecoverPartitionRequest{Topic: "t"})
			if name == "neither" {
				if err != nil || asked {
					t.Errorf("%v, and the controller was asked: %t", err, asked)
				}
				return
			}
			wantReason(t, err, runnelv1.ErrorReason_ERROR_REASON_QUORUM_ALIVE, definite)
			if !asked {
				t.Error("the controller was not asked whether the group is stuck")
			}
		})
	}
}

// Whoever asks again since the answer got lost is told that it was done.
func TestRule30ARepeatedQuestionAfterARecoveryTellsOfIt(t *testing.T) {
	h := recoverable(t)
	st := h.cluster.st
	st.Topics["t"].Partitions[0].Replicas = []placement.Replica{{ID: 102, Broker: 2}}
	st.Recoveries = []placement.Recovery{{TopicID: 5, Partition: 0, Kept: 102, Lost: []uint64{101, 103}, Revision: 7}, {TopicID: 5, Partition: 1, Revision: 9}}
	h.ctrl.f = func(controller.Request) (controller.Response, error) {
		return controller.Response{}, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_QUORUM_ALIVE, "a majority is there")
	}
	_, err := h.s.RecoverPartition(t.Context(), &runnelv1.RecoverPartitionRequest{Topic: "t"})
	e := wantReason(t, err, runnelv1.ErrorReason_ERROR_REASON_QUORUM_ALIVE, definite)
	if !strings.Contains(e.GetMessage(), "recovered by hand before, at revision 7, and the replicas [101 103] were given up") {
		t.Errorf("message %q", e.GetMessage())
	}
}
