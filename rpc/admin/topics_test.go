package admin

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/runnel-io/runnel/partition"
	"github.com/runnel-io/runnel/placement"
	"github.com/runnel-io/runnel/placement/controller"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

func TestCreateTopicAnswersWhenEveryPartitionHasALeader(t *testing.T) {
	h := newHarness(t)
	ch := h.create(t.Context())
	h.cluster.set(func() { h.cluster.leaders = map[uint64]int32{10: 1} })
	<-h.cluster.asked
	h.cluster.set(func() { h.cluster.st = stateWith(8, topicT(2)) })
	<-h.cluster.asked
	select {
	case c := <-ch:
		t.Fatalf("answered %v without a leader of partition 1", c)
	default:
	}
	h.cluster.set(func() { h.cluster.leaders = map[uint64]int32{10: 1, 11: 3} })
	c := <-ch
	if c.err != nil || c.r.GetId() != 5 || c.r.GetPartitions() != 2 || c.r.GetReplicationFactor() != 3 {
		t.Fatalf("%v", c)
	}
	want := controller.CreateTopic{Name: "t", Config: map[string]string{"a": "b"}, RequestID: "r"}
	if got, ok := h.ctrl.last.(controller.CreateTopic); !ok || got.Name != want.Name || got.Partitions != 0 || got.RF != 0 || got.RequestID != want.RequestID || !maps.Equal(got.Config, want.Config) {
		t.Errorf("asked the controller for %+v", h.ctrl.last)
	}
}

func TestCreateTopicSaysWhichPartitionsHaveNoLeader(t *testing.T) {
	t.Run("after ten seconds", func(t *testing.T) {
		h := newHarness(t)
		ch := h.create(t.Context())
		h.cluster.set(func() { h.cluster.st, h.cluster.leaders = stateWith(8, topicT(2)), map[uint64]int32{10: 1} })
		h.clock.fire()
		e := wantReason(t, (<-ch).err, runnelv1.ErrorReason_ERROR_REASON_UNAVAILABLE, runnelv1.ErrorKind_ERROR_KIND_INDETERMINATE)
		want := `topic "t" was created, but 1 of 2 partitions has no leader yet: partition 1: no leader is known: an election should be under way; ` +
			`do not create it again, ask for its description`
		if e.GetMessage() != want {
			t.Errorf("message %q", e.GetMessage())
		}
	})
	t.Run("before the client's deadline", func(t *testing.T) {
		h := newHarness(t)
		h.cluster.dead[2], h.cluster.dead[3] = true, true
		within := func(d time.Duration) context.Context { return deadline{t.Context(), h.clock.Now().Add(d)} }
		ch := h.create(within(3 * time.Second))
		if h.waits != 2500*time.Millisecond {
			t.Errorf("waits for %v of three seconds", h.waits)
		}
		for left, want := range map[time.Duration]time.Duration{time.Second: 750 * time.Millisecond, time.Hour: changeWait} {
			if d := h.s.patience(within(left)); d != want {
				t.Errorf("waits for %v of %v", d, left)
			}
		}
		h.cluster.set(func() { h.cluster.st = stateWith(8, topicT(2)) })
		<-h.cluster.asked
		h.clock.fire()
		e := wantReason(t, (<-ch).err, runnelv1.ErrorReason_ERROR_REASON_UNAVAILABLE, runnelv1.ErrorKind_ERROR_KIND_INDETERMINATE)
		if !strings.Contains(e.GetMessage(), "2 of 2 partitions have no leader yet: partition 0: no quorum: the replicas on brokers 2 and 3 are silent") {
			t.Errorf("message %q", e.GetMessage())
		}
	})
	t.Run("without a controller", func(t *testing.T) {
		h := newHarness(t)
		h.ctrl.wait = func(ctx context.Context) error {
			h.clock.fire()
			<-ctx.Done()
			return fmt.Errorf("no controller answered: %w", context.Cause(ctx))
		}
		_, err := h.s.CreateTopic(t.Context(), &runnelv1.CreateTopicRequest{Name: "t"})
		e := wantReason(t, err, runnelv1.ErrorReason_ERROR_REASON_TIMEOUT, runnelv1.ErrorKind_ERROR_KIND_INDETERMINATE)
		if !strings.Contains(e.GetMessage(), "no controller answered: the time is over") {
			t.Errorf("message %q", e.GetMessage())
		}
	})
	t.Run("when the client's time is over", func(t *testing.T) {
		h := newHarness(t)
		ctx, cancel := context.WithCancel(t.Context())
		ch := h.create(ctx)
		cancel()
		wantReason(t, (<-ch).err, runnelv1.ErrorReason_ERROR_REASON_UNAVAILABLE, runnelv1.ErrorKind_ERROR_KIND_INDETERMINATE)
	})
	t.Run("deleted meanwhile", func(t *testing.T) {
		h := newHarness(t)
		ch := h.create(t.Context())
		h.cluster.set(func() { h.cluster.st = stateWith(9) })
		wantReason(t, (<-ch).err, runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_TOPIC, definite)
	})
}

func TestRefusalsOfTheControllerReachTheOperator(t *testing.T) {
	h := newHarness(t)
	exists := runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_TOPIC_EXISTS, "topic t exists")
	h.ctrl.f = func(controller.Request) (controller.Response, error) {
		return controller.Response{}, fmt.Errorf("do: %w", exists)
	}
	_, err := h.s.CreateTopic(t.Context(), &runnelv1.CreateTopicRequest{Name: "t"})
	wantReason(t, err, runnelv1.ErrorReason_ERROR_REASON_TOPIC_EXISTS, definite)
	_, err = h.s.DeleteTopic(t.Context(), &runnelv1.DeleteTopicRequest{Name: "t"})
	wantReason(t, err, runnelv1.ErrorReason_ERROR_REASON_TOPIC_EXISTS, definite)
	h.ctrl.last = nil
	_, err = h.s.CreateTopic(t.Context(), &runnelv1.CreateTopicRequest{Name: "t", Partitions: -1})
	wantReason(t, err, runnelv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, definite)
	_, err = h.s.CreateTopic(t.Context(), &runnelv1.CreateTopicRequest{Name: "t", RequestId: strings.Repeat("x", maxRequestID+1)})
	wantReason(t, err, runnelv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, definite)
	if h.ctrl.last != nil {
		t.Error("the controller was asked nonsense")
	}
}

func TestDeleteTopicWaitsForThisBrokersView(t *testing.T) {
	h := newHarness(t)
	h.ctrl.f = func(controller.Request) (controller.Response, error) { return controller.Response{Revision: 9}, nil }
	done := make(chan error, 1)
	go func() {
		_, err := h.s.DeleteTopic(t.Context(), &runnelv1.DeleteTopicRequest{Name: "t"})
		done <- err
	}()
	<-h.cluster.asked
	h.cluster.set(func() { h.cluster.st = stateWith(9) })
	if err := <-done; err != nil {
		t.Error(err)
	}
	// A view that lags does not make the deletion a failure.
	h.ctrl.f = func(controller.Request) (controller.Response, error) { return controller.Response{Revision: 99}, nil }
	for len(h.clock.timer) > 0 {
		<-h.clock.timer
	}
	go func() {
		_, err := h.s.DeleteTopic(t.Context(), &runnelv1.DeleteTopicRequest{Name: "t"})
		done <- err
	}()
	<-h.clock.timer
	h.clock.fire()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestDescribeTopicAsksEachBrokerOnce(t *testing.T) {
	h := newHarness(t)
	r, err := h.s.DescribeTopic(t.Context(), &runnelv1.DescribeTopicRequest{Name: "t"})
	if err != nil {
		t.Fatal(err)
	}
	p0, p1 := r.GetPartitions()[0], r.GetPartitions()[1]
	if p0.GetLeader() != 1 || p0.GetHighWatermark() != 50 || p0.GetLogStartOffset() != 10 || p0.GetReason() != "" || fmt.Sprint(p0.GetInSync()) != "[1 2 3]" {
		t.Errorf("partition 0: %v", p0)
	}
	if p1.GetLeader() != 2 || p1.GetTerm() != 4 || p1.GetHighWatermark() != 7 || fmt.Sprint(p1.GetInSync()) != "[1 2]" ||
		p1.GetReason() != "the replica on broker 3 is behind the leader" {
		t.Errorf("partition 1: %v", p1)
	}
	if len(h.caller.calls) != 2 || h.caller.calls[2] != 1 || h.caller.calls[3] != 1 {
		t.Errorf("calls %v", h.caller.calls)
	}
	_, err = h.s.DescribeTopic(t.Context(), &runnelv1.DescribeTopicRequest{Name: "no"})
	e := wantReason(t, err, runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_TOPIC, definite)
	if e.GetMessage() != `topic "no" does not exist: create it first` {
		t.Errorf("message %q", e.GetMessage())
	}
}

// A broker that lags does not say of a topic that was created that there is none.
func TestDescribeTopicBelievesTheControllerThatThereIsNoTopic(t *testing.T) {
	h := newHarness(t)
	late := *topicT(2)
	late.Name = "late"
	h.ctrl.topics = map[string]*placement.Topic{"late": &late}
	r, err := h.s.DescribeTopic(t.Context(), &runnelv1.DescribeTopicRequest{Name: "late"})
	if err != nil || r.GetName() != "late" || len(r.GetPartitions()) != len(late.Partitions) {
		t.Errorf("%v, %v", r, err)
	}
	h.ctrl.wait = func(ctx context.Context) error {
		h.clock.fire() // two seconds pass
		<-ctx.Done()
		return fmt.Errorf("no controller answered: %w", context.Cause(ctx))
	}
	_, err = h.s.DescribeTopic(t.Context(), &runnelv1.DescribeTopicRequest{Name: "late"})
	e := wantReason(t, err, runnelv1.ErrorReason_ERROR_REASON_UNAVAILABLE, retriable)
	if !strings.Contains(e.GetMessage(), `broker 1 has not heard of topic "late", and the controller, which would know, does not answer`) {
		t.Errorf("message %q", e.GetMessage())
	}
}

// The leader's word is of what its replicas have; whether they live, the brokers know.
func TestAReplicaOnASilentBrokerIsNotInSync(t *testing.T) {
	h := newHarness(t)
	h.cluster.dead[3] = true
	r, err := h.s.DescribeTopic(t.Context(), &runnelv1.DescribeTopicRequest{Name: "t"})
	if err != nil {
		t.Fatal(err)
	}
	if p := r.GetPartitions()[0]; fmt.Sprint(p.GetInSync()) != "[1 2]" || p.GetReason() != "broker 3 is silent" {
		t.Errorf("partition 0: %v", p)
	}
}

func TestALeaderThatDoesNotAnswerHidesNothingElse(t *testing.T) {
	h := newHarness(t)
	h.caller.f = func(ctx context.Context, _ int32, _ []byte) ([]byte, error) {
		h.clock.fire() // two seconds pass
		<-ctx.Done()
		return nil, context.Cause(ctx)
	}
	r, err := h.s.DescribeTopic(t.Context(), &runnelv1.DescribeTopicRequest{Name: "t"})
	if err != nil {
		t.Fatal(err)
	}
	if d := <-h.clock.timer; d != askWait {
		t.Errorf("waits %v", d)
	}
	p0, p1 := r.GetPartitions()[0], r.GetPartitions()[1]
	if p0.GetHighWatermark() != 50 {
		t.Errorf("partition 0: %v", p0)
	}
	if p1.GetHighWatermark() != -1 || p1.GetLogStartOffset() != -1 || !strings.HasPrefix(p1.GetReason(), "its leader, broker 2, does not tell") {
		t.Errorf("partition 1: %v", p1)
	}
}

func TestClusterStatusGivesReasons(t *testing.T) {
	for _, tc := range []struct {
		name       string
		change     func(h *harness)
		leaderless string // of partition 0
		under      string
	}{
		{"healthy", func(*harness) {}, "", ""},
		{"silent broker", func(h *harness) { h.cluster.dead[3] = true }, "", "broker 3 is silent"},
		{"no quorum", func(h *harness) {
			h.cluster.dead[2], h.cluster.dead[3] = true, true
			delete(h.cluster.leaders, 10)
		}, "no quorum: the replicas on brokers 2 and 3 are silent", ""},
		{"election", func(h *harness) { delete(h.cluster.leaders, 10) }, "no leader is known: an election should be under way", ""},
		{"election without one", func(h *harness) {
			delete(h.cluster.leaders, 10)
			h.cluster.dead[2] = true
		}, "no leader is known: an election should be under way among the other replicas; the replica on broker 2 is silent", ""},
		{"quarantined without a leader", func(h *harness) {
			delete(h.cluster.leaders, 10)
			h.cluster.dead[3] = true
			h.local["t/0"] = partition.Status{Quarantine: "entry 8: data checksum 1 is not 2"}
		}, "no quorum: the replica on broker 3 is silent; its replica on broker 1 is quarantined: entry 8: data checksum 1 is not 2", ""},
		{"quarantined at the last start", func(h *harness) {
			delete(h.cluster.leaders, 10)
			h.local["t/0"] = partition.Status{}
			h.others[2]["t/0"] = partition.Status{Quarantine: absent + "the replica of t/0 on broker 2 is quarantined (no space left)"}
		}, "no leader is known: an election should be under way among the other replicas; its replica on broker 2 is quarantined: no space left", ""},
		{"quarantined follower of an idle leader", func(h *harness) {
			h.others[3]["t/0"] = partition.Status{Quarantine: "too many open files"}
		}, "", "its replica on broker 3 is quarantined: too many open files"},
		{"starting follower", func(h *harness) {
			h.others[3]["t/0"] = partition.Status{Quarantine: absent + "the replica of t/0 on broker 3 is starting: try again"}
		}, "", "its replica on broker 3 is starting"},
		{"silent leader", func(h *harness) {
			h.cluster.leaders[10] = 2
			h.cluster.dead[2] = true
		}, "", "its leader, broker 2, is silent"},
		{"no answer without a leader", func(h *harness) {
			delete(h.cluster.leaders, 10)
			f := h.caller.f
			h.caller.f = func(ctx context.Context, broker int32, body []byte) ([]byte, error) {
				if broker == 3 {
					return nil, errors.New("it is busy")
				}
				return f(ctx, broker, body)
			}
		}, "no leader is known: an election should be under way; broker 3 does not tell how its replica is: it is busy", ""},
		{"stepped down", func(h *harness) { h.local["t/0"] = partition.Status{} }, "",
			"its leader, broker 1, does not tell who is in sync: the leadership is changing"},
		{"learner", func(h *harness) { h.cluster.st.Topics["t"].Partitions[0].Replicas[2].Learner = true }, "",
			"the replica on broker 3 is a learner that is catching up"},
		{"behind", func(h *harness) { h.local["t/0"] = partition.Status{Leader: true, InSync: []uint64{103}} }, "",
			"the replica on broker 2 is behind the leader"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := newHarness(t)
			tc.change(h)
			r, err := h.s.ClusterStatus(t.Context(), &runnelv1.ClusterStatusRequest{})
			if err != nil {
				t.Fatal(err)
			}
			if r.GetClusterId() != "c1" || r.GetControllerId() != 1 || r.GetTopics() != 1 || r.GetPartitions() != 2 || len(r.GetBrokers()) != 3 {
				t.Errorf("%v", r)
			}
			if got := of0(r.GetLeaderless()); got != tc.leaderless {
				t.Errorf("leaderless: %q, want %q", got, tc.leaderless)
			}
			if got := of0(r.GetUnderReplicated()); got != tc.under {
				t.Errorf("under-replicated: %q, want %q", got, tc.under)
			}
		})
	}
}

func of0(ps []*runnelv1.PartitionProblem) string {
	for _, p := range ps {
		if p.GetTopic() == "t" && p.GetPartition() == 0 {
			return p.GetReason()
		}
	}
	return ""
}

func TestListsComeFromTheLocalView(t *testing.T) {
	h := newHarness(t)
	h.cluster.dead[2] = true
	bs, err := h.s.ListBrokers(t.Context(), &runnelv1.ListBrokersRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"1 true 1 2 b1:1 b1:2", "2 false 1 2 b2:1 b2:2", "3 true 0 2 b3:1 b3:2"} {
		b := bs.GetBrokers()[i]
		if http := map[int32]string{1: "b1:3", 3: "b3:3"}[b.GetId()]; b.GetHttpAddress() != http { // gossip does not see broker 2
			t.Errorf("broker %d serves HTTP at %q, want %q", b.GetId(), b.GetHttpAddress(), http)
		}
		if got := fmt.Sprint(b.GetId(), b.GetAlive(), b.GetLeaders(), b.GetReplicas(), " ", b.GetAddress(), " ", b.GetPeerAddress()); got != want {
			t.Errorf("broker %q, want %q", got, want)
		}
	}
	ts, err := h.s.ListTopics(t.Context(), &runnelv1.ListTopicsRequest{})
	if err != nil || len(ts.GetTopics()) != 1 || ts.GetTopics()[0].GetReplicationFactor() != 3 || ts.GetTopics()[0].GetPartitions() != 2 {
		t.Errorf("%v %v", ts, err)
	}
}

func TestPartitionStatusRefusesWhatItDoesNotKnow(t *testing.T) {
	h := newHarness(t)
	for name, body := range map[string]string{
		"garbage":       "{",
		"other version": `{"format":2,"topics":{}}`,
		"far too many":  `{"format":1,"topics":{"t":[` + strings.Repeat("0,", maxAsked) + `0]}}`,
	} {
		_, err := h.s.ServePartitionStatus(t.Context(), []byte(body))
		var e *runnelv1.Error
		if !errors.As(err, &e) || e.GetReason() != runnelv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT {
			t.Errorf("%s: %v", name, err)
		}
	}
	if b, err := h.s.ServePartitionStatus(t.Context(), []byte(`{"format":1,"topics":{"t":[1,9],"no":[0]}}`)); err != nil ||
		string(b) != `{"format":1,"partitions":null}` {
		t.Errorf("%s %v: what this broker neither leads nor has trouble with is told", b, err)
	}
	// A partition that should have no replica here is no trouble.
	h.local["no/0"] = partition.Status{Quarantine: absent + "broker 1 has no replica of no/0"}
	if b, err := h.s.ServePartitionStatus(t.Context(), []byte(`{"format":1,"topics":{"no":[0]}}`)); err != nil ||
		string(b) != `{"format":1,"partitions":null}` {
		t.Errorf("%s %v", b, err)
	}
}

// What a removed broker knows is old for ever, and a client that asks it first would believe it.
func TestARemovedBrokerSendsOperatorsElsewhere(t *testing.T) {
	h := newHarness(t)
	delete(h.cluster.st.Brokers, 1)
	for name, ask := range map[string]func() error{
		"list topics": func() error { _, err := h.s.ListTopics(t.Context(), &runnelv1.ListTopicsRequest{}); return err },
		"status":      func() error { _, err := h.s.ClusterStatus(t.Context(), &runnelv1.ClusterStatusRequest{}); return err },
		"drain": func() error {
			_, err := h.s.DrainBroker(t.Context(), &runnelv1.DrainBrokerRequest{Broker: 2})
			return err
		},
		"plan": func() error { _, err := h.s.Plan(t.Context(), &runnelv1.PlanRequest{}); return err },
	} {
		e := wantReason(t, ask(), runnelv1.ErrorReason_ERROR_REASON_UNAVAILABLE, retriable)
		if h.ctrl.last != nil || !strings.Contains(e.GetMessage(), "broker 1 was removed from the cluster") {
			t.Errorf("%s: %q, asked for %+v", name, e.GetMessage(), h.ctrl.last)
		}
	}
	// A broker that has just joined and has not heard of itself is none that was removed.
	h.cluster.st.NextBroker = 1
	if _, err := h.s.ListTopics(t.Context(), &runnelv1.ListTopicsRequest{}); err != nil {
		t.Error(err)
	}
}
