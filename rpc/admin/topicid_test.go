package admin

import (
	"context"
	"fmt"
	"testing"

	"github.com/runnel-io/runnel/placement"
	"github.com/runnel-io/runnel/placement/controller"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// changesOf are the calls that change topic t, as it has the id.
func (h *harness) changesOf(t *testing.T, id uint64) map[string]func() error {
	return map[string]func() error{
		fmt.Sprintf("controller.DeleteTopic{Name:t ID:%d}", id): func() error {
			_, err := h.s.DeleteTopic(t.Context(), &runnelv1.DeleteTopicRequest{Name: "t", TopicId: id})
			return err
		},
		fmt.Sprintf("controller.AddPartitions{Topic:t ID:%d Partitions:5 By:}", id): func() error {
			_, err := h.s.AlterTopic(t.Context(), &runnelv1.AlterTopicRequest{Name: "t", Partitions: 5, TopicId: id})
			return err
		},
		fmt.Sprintf("controller.SetReplicationFactor{Topic:t ID:%d RF:2 By:}", id): func() error {
			_, err := h.s.AlterTopic(t.Context(), &runnelv1.AlterTopicRequest{Name: "t", ReplicationFactor: 2, TopicId: id})
			return err
		},
		fmt.Sprintf("controller.AlterTopicConfig{Name:t ID:%d Set:map[] Unset:[segment.ms] By:}", id): func() error {
			_, err := h.s.AlterTopic(t.Context(), &runnelv1.AlterTopicRequest{Name: "t", DeleteConfig: []string{"segment.ms"}, TopicId: id})
			return err
		},
		fmt.Sprintf("controller.MovePartition{Topic:t ID:%d Partition:1 Brokers:[1] Reason:}", id): func() error {
			_, err := h.s.MovePartition(t.Context(), &runnelv1.MovePartitionRequest{Topic: "t", Partition: 1, Brokers: []int32{1}, TopicId: id})
			return err
		},
	}
}

// gone is what the controller answers of a topic that has another id.
var gone = runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_TOPIC, "no longer with this id")

// onlyWith has the controller know topic t with an id, and this broker with the one that it was given before, 5.
func (h *harness) onlyWith(id uint64) {
	now := topicT(2)
	now.ID = id
	h.ctrl.topics = map[string]*placement.Topic{"t": now}
	h.ctrl.f = func(r controller.Request) (controller.Response, error) {
		if d, ok := r.(controller.DeleteTopic); ok && d.ID != 0 && d.ID != id {
			return controller.Response{}, gone
		}
		return controller.Response{Revision: 8, Topic: now}, nil
	}
}

func TestAChangeIsMadeToTheTopicThatItNamesTheIDOf(t *testing.T) {
	h := newHarness(t)
	h.onlyWith(6) // this broker has not heard of it yet
	for want, change := range h.changesOf(t, 6) {
		if err := change(); err != nil {
			t.Errorf("%s: %v", want, err)
		}
		if got := fmt.Sprintf("%T%+v", h.ctrl.last, h.ctrl.last); got != want {
			t.Errorf("asked for %s, want %s", got, want)
		}
	}
}

func TestAChangeOfATopicThatWasMadeAnewIsRefused(t *testing.T) {
	h := newHarness(t)
	h.onlyWith(6)
	for name, change := range h.changesOf(t, 4) {
		err := change()
		t.Log(name)
		wantReason(t, err, runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_TOPIC, definite)
	}
}

func TestTheNewestDescriptionIsTheControllersAndAsksNobodyElse(t *testing.T) {
	h := newHarness(t)
	h.onlyWith(6)
	p := &h.ctrl.topics["t"].Partitions[1]
	p.Move = &placement.Move{ID: 9, Phase: placement.PhaseLearner, Order: []uint64{111, 112, 113}}
	newest := &runnelv1.DescribeTopicRequest{Name: "t", Newest: true}
	d, err := h.s.DescribeTopic(t.Context(), newest)
	if err != nil {
		t.Fatal(err)
	}
	p0, p1 := d.GetPartitions()[0], d.GetPartitions()[1]
	if d.GetId() != 6 || len(d.GetPartitions()) != 2 || fmt.Sprint(p0.GetReplicas()) != "[1 2 3]" || p0.GetMove() != nil || p1.GetMove().GetId() != 9 {
		t.Errorf("%v", d)
	}
	if p1.GetPartition() != 1 || p0.GetLeader() != -1 || p0.GetHighWatermark() != -1 || p0.GetReason() != "" || len(h.caller.calls) != 0 {
		t.Errorf("%v, brokers asked: %v", p0, h.caller.calls)
	}
	h.ctrl.wait = func(context.Context) error {
		return runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_TIMEOUT, "no leader")
	}
	_, err = h.s.DescribeTopic(t.Context(), newest) // though this broker knows one
	wantReason(t, err, runnelv1.ErrorReason_ERROR_REASON_UNAVAILABLE, runnelv1.ErrorKind_ERROR_KIND_RETRIABLE)
	h.ctrl.wait, h.ctrl.topics = nil, nil
	_, err = h.s.DescribeTopic(t.Context(), newest)
	wantReason(t, err, runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_TOPIC, definite)
}
