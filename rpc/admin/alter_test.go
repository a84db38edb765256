package admin

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/runnel-io/runnel/placement"
	"github.com/runnel-io/runnel/placement/controller"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// answerWith has the controller do as it is asked, and answer with the topic.
func (h *harness) answerWith(topic *placement.Topic) {
	h.ctrl.f = func(controller.Request) (controller.Response, error) {
		return controller.Response{Revision: 8, Topic: topic, Reasons: []string{"so"}}, nil
	}
}

func TestAlterTopicNamesTheSettingsThatChangeAndNoOther(t *testing.T) {
	for _, tc := range []struct {
		name   string
		set    map[string]string
		unset  []string
		reason runnelv1.ErrorReason
	}{
		{"set", map[string]string{"segment.ms": "9"}, nil, 0},
		{"replace", map[string]string{"retention.ms": "9"}, nil, 0},
		{"delete", nil, []string{"retention.ms"}, 0},
		{"delete what this version does not know", nil, []string{"of.another.version"}, 0},
		{"delete what is at its default", nil, []string{"segment.ms"}, 0},
		{"delete what there is not", nil, []string{"retention.m"}, runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_SETTING},
		{"set and delete", map[string]string{"segment.ms": "9"}, []string{"segment.ms"}, runnelv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := newHarness(t)
			newer := topicT(2)
			newer.Config = map[string]string{"retention.ms": "2", "of.another.version": "3"} // this broker believes 1
			h.ctrl.topics = map[string]*placement.Topic{"t": newer}
			h.answerWith(newer)
			r, err := h.s.AlterTopic(t.Context(), &runnelv1.AlterTopicRequest{Name: "t", SetConfig: tc.set, DeleteConfig: tc.unset})
			if tc.reason != 0 {
				wantReason(t, err, tc.reason, definite)
				if h.ctrl.last != nil {
					t.Errorf("asked the controller for %+v", h.ctrl.last)
				}
				return
			}
			if err != nil || r.GetId() != 5 || r.GetPartitions() != 2 || r.GetReplicationFactor() != 3 {
				t.Fatalf("%v %v", r, err)
			}
			if got, ok := h.ctrl.last.(controller.AlterTopicConfig); !ok || got.ID != 5 || !maps.Equal(got.Set, tc.set) || !slices.Equal(got.Unset, tc.unset) {
				t.Errorf("asked for %+v", h.ctrl.last)
			}
		})
	}
}

func TestAlterTopicChangesOneThingAtATime(t *testing.T) {
	for _, tc := range []struct {
		r    *runnelv1.AlterTopicRequest
		want string // what the controller is asked, or the refusal
	}{
		{&runnelv1.AlterTopicRequest{Name: "t", Partitions: 5}, "controller.AddPartitions{Topic:t ID:5 Partitions:5 By:}"},
		{&runnelv1.AlterTopicRequest{Name: "t", ReplicationFactor: 2}, "controller.SetReplicationFactor{Topic:t ID:5 RF:2 By:}"},
		{&runnelv1.AlterTopicRequest{Name: "t"}, "nothing of topic"},
		{&runnelv1.AlterTopicRequest{Name: "t", Partitions: 5, ReplicationFactor: 2}, "one at a time"},
		{&runnelv1.AlterTopicRequest{Name: "t", Partitions: 5, DeleteConfig: []string{"segment.ms"}}, "one at a time"},
		{&runnelv1.AlterTopicRequest{Name: "t", Partitions: -1}, "neither may be below 0"},
		{&runnelv1.AlterTopicRequest{Name: "no", Partitions: 5}, "does not exist"},
	} {
		h := newHarness(t)
		h.answerWith(topicT(2))
		_, err := h.s.AlterTopic(t.Context(), tc.r)
		got := fmt.Sprintf("%T%+v", h.ctrl.last, h.ctrl.last)
		if err != nil {
			if got = runnelv1.FromStatus(err).GetMessage(); h.ctrl.last != nil {
				t.Errorf("%v: refused and asked", tc.r)
			}
		}
		if !strings.Contains(got, tc.want) {
			t.Errorf("%v: %s, want %s", tc.r, got, tc.want)
		}
	}
}

// This broker believes that there is one replica of each partition; the controller knows of three.
func TestFewerReplicasThanTheControllerKnowsOfAreRefusedToWhoWantsNoFewer(t *testing.T) {
	for _, tc := range []struct {
		rf      int32
		noFewer bool
		want    string // the refusal
	}{
		{2, true, `topic "t" would have replication factor 2 instead of 3, and nobody has consented to fewer replicas: brokerctl topic alter --yes does`},
		{1, true, `topic "t" would have replication factor 1 instead of 3`},
		{3, true, ""},
		{4, true, ""},
		{2, false, ""},
	} {
		h := newHarness(t)
		old := topicT(2)
		for n := range old.Partitions {
			old.Partitions[n].Replicas = old.Partitions[n].Replicas[:1]
		}
		old.RF = 1
		h.cluster.st = stateWith(8, old)
		h.ctrl.topics = map[string]*placement.Topic{"t": topicT(2)}
		h.answerWith(topicT(2))
		_, err := h.s.AlterTopic(t.Context(), &runnelv1.AlterTopicRequest{Name: "t", ReplicationFactor: tc.rf, NoFewerReplicas: tc.noFewer})
		if tc.want == "" {
			if got, ok := h.ctrl.last.(controller.SetReplicationFactor); err != nil || !ok || got.RF != int(tc.rf) {
				t.Errorf("%+v: asked for %+v, %v", tc, h.ctrl.last, err)
			}
			continue
		}
		wantReason(t, err, runnelv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, definite)
		if got := runnelv1.FromStatus(err).GetMessage(); !strings.Contains(got, tc.want) || h.ctrl.last != nil {
			t.Errorf("%+v: asked for %+v, %s", tc, h.ctrl.last, got)
		}
	}
}

func TestMorePartitionsAreAnsweredWhenTheyHaveLeadersOrTheTimeIsOver(t *testing.T) {
	for _, late := range []bool{false, true} {
		h := newHarness(t)
		three := topicT(3)
		h.cluster.st = stateWith(8, three)
		h.answerWith(three)
		done := make(chan error, 1)
		go func() {
			r, err := h.s.AlterTopic(t.Context(), &runnelv1.AlterTopicRequest{Name: "t", Partitions: 3})
			if err == nil && (r.GetPartitions() != 3 || len(r.GetReasons()) != 1) {
				err = fmt.Errorf("%v", r)
			}
			done <- err
		}()
		<-h.cluster.asked // for the revision, which it has
		<-h.cluster.asked // for the leader of partition 2
		select {
		case err := <-done:
			t.Fatalf("answered %v without a leader of partition 2", err)
		default:
		}
		if late {
			h.clock.fire()
		} else {
			h.cluster.set(func() { h.cluster.leaders[12] = 3 })
		}
		if err := <-done; err != nil {
			t.Errorf("late %v: %v", late, err)
		}
	}
}
