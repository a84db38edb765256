package admin

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/runnel-io/runnel/partition"
	"github.com/runnel-io/runnel/partition/env"
	"github.com/runnel-io/runnel/placement"
	"github.com/runnel-io/runnel/placement/controller"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeClock has timers that fire when a test says so.
type fakeClock struct {
	mu    sync.Mutex
	fs    []func()
	timer chan time.Duration
}

func (c *fakeClock) Now() time.Time { return time.UnixMilli(1) }
func (c *fakeClock) AfterFunc(d time.Duration, f func()) env.Timer {
	c.mu.Lock()
	c.fs = append(c.fs, f)
	c.mu.Unlock()
	c.timer <- d
	return noTimer{}
}

// fire lets all timers fire.
func (c *fakeClock) fire() {
	c.mu.Lock()
	fs := c.fs
	c.fs = nil
	c.mu.Unlock()
	for _, f := range fs {
		f()
	}
}

type noTimer struct{}

func (noTimer) Stop() bool               { return true }
func (noTimer) Reset(time.Duration) bool { panic("not used here") }

// fakeCluster is a cluster view that tests change.
type fakeCluster struct {
	Signal
	mu      sync.Mutex
	st      *placement.State
	leaders map[uint64]int32
	dead    map[int32]bool
	asked   chan struct{} // each Changed: somebody is about to look
}

func (c *fakeCluster) State() *placement.State {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.st
}
func (c *fakeCluster) Leader(g uint64) (int32, uint64, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	id, ok := c.leaders[g]
	return id, 3, ok
}
func (c *fakeCluster) Alive(id int32) bool { return !c.dead[id] }
func (c *fakeCluster) ControllerID() int32 { return 1 }
func (c *fakeCluster) Changed() <-chan struct{} {
	select {
	case c.asked <- struct{}{}:
	default:
	}
	return c.Signal.Changed()
}

func (c *fakeCluster) set(f func()) {
	c.mu.Lock()
	f()
	c.mu.Unlock()
	c.Notify()
}

type fakeController struct {
	f    func(controller.Request) (controller.Response, error)
	last controller.Request
}

func (c *fakeController) Do(_ context.Context, r controller.Request) (controller.Response, error) {
	c.last = r
	return c.f(r)
}

// fakeCaller answers for other brokers.
type fakeCaller struct {
	mu    sync.Mutex
	calls map[int32]int
	f     func(ctx context.Context, broker int32, body []byte) ([]byte, error)
}

func (c *fakeCaller) Call(ctx context.Context, broker int32, method string, body []byte) ([]byte, error) {
	c.mu.Lock()
	c.calls[broker]++
	c.mu.Unlock()
	if method != MethodPartitionStatus {
		return nil, fmt.Errorf("method %q", method)
	}
	return c.f(ctx, broker, body)
}

type fakeStatuses map[string]partition.Status

func (f fakeStatuses) status(topic string, n int32) (partition.Status, *runnelv1.Error) {
	if st, ok := f[fmt.Sprintf("%s/%d", topic, n)]; ok {
		return st, nil
	}
	return partition.Status{}, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_NOT_LEADER, "no replica here")
}

type harness struct {
	s       *Server
	clock   *fakeClock
	cluster *fakeCluster
	ctrl    *fakeController
	caller  *fakeCaller
	local   fakeStatuses
}

// topicT has replicas 100+10p+b on the brokers 1 to 3 for each partition.
func topicT(partitions int) *placement.Topic {
	t := &placement.Topic{Name: "t", ID: 5, Config: map[string]string{"retention.ms": "1"}}
	for p := range partitions {
		pl := placement.Partition{Group: uint64(10 + p)}
		for b := int32(1); b <= 3; b++ {
			pl.Replicas = append(pl.Replicas, placement.Replica{ID: uint64(100+10*p) + uint64(b), Broker: b})
		}
		t.Partitions = append(t.Partitions, pl)
	}
	return t
}

func stateWith(revision uint64, topics ...*placement.Topic) *placement.State {
	st := placement.New()
	st.ClusterID, st.Revision = "c1", revision
	for id := int32(1); id <= 3; id++ {
		st.Brokers[id] = &placement.Broker{ID: id, ClientAddr: fmt.Sprintf("b%d:1", id), PeerAddr: fmt.Sprintf("b%d:2", id)}
	}
	for _, t := range topics {
		st.Topics[t.Name] = t
	}
	return st
}

// newHarness is broker 1 of a healthy cluster with topic t of two partitions, led by the brokers 1 and 2.
func newHarness(t *testing.T) *harness {
	h := &harness{
		clock: &fakeClock{timer: make(chan time.Duration, 100)},
		cluster: &fakeCluster{
			st: stateWith(8, topicT(2)), leaders: map[uint64]int32{10: 1, 11: 2}, dead: map[int32]bool{}, asked: make(chan struct{}, 100),
		},
		ctrl:   &fakeController{},
		caller: &fakeCaller{calls: map[int32]int{}},
		local:  fakeStatuses{"t/0": {Leader: true, Term: 3, HW: 50, LogStart: 10, InSync: []uint64{101, 102, 103}}},
	}
	cfg := Config{Controller: h.ctrl, Cluster: h.cluster, Caller: h.caller, BrokerID: 1, Env: &env.Env{Clock: h.clock}}
	h.s = newServer(cfg, h.local)
	cfg.BrokerID = 2
	other := newServer(cfg, fakeStatuses{"t/1": {Leader: true, Term: 4, HW: 7, LogStart: 0, InSync: []uint64{112, 111}}})
	h.caller.f = func(ctx context.Context, broker int32, body []byte) ([]byte, error) {
		if broker != 2 {
			return nil, fmt.Errorf("broker %d asked", broker)
		}
		return other.ServePartitionStatus(ctx, body)
	}
	return h
}

func wantReason(t *testing.T, err error, reason runnelv1.ErrorReason, kind runnelv1.ErrorKind) *runnelv1.Error {
	t.Helper()
	e := runnelv1.FromStatus(err)
	if e.GetReason() != reason || e.GetKind() != kind {
		t.Fatalf("%v, want %v %v", e, reason, kind)
	}
	return e
}

const (
	retriable = runnelv1.ErrorKind_ERROR_KIND_RETRIABLE
	definite  = runnelv1.ErrorKind_ERROR_KIND_DEFINITE
)

type created struct {
	r   *runnelv1.CreateTopicResponse
	err error
}

// create asks for a topic whose two partitions have no leaders, on a broker that does not know of it yet.
func (h *harness) create(ctx context.Context) chan created {
	h.cluster.st = stateWith(7)
	h.cluster.leaders = map[uint64]int32{}
	h.ctrl.f = func(controller.Request) (controller.Response, error) {
		return controller.Response{Revision: 8, Topic: topicT(2)}, nil
	}
	ch := make(chan created, 1)
	go func() {
		r, err := h.s.CreateTopic(ctx, &runnelv1.CreateTopicRequest{Name: "t", Config: map[string]string{"a": "b"}})
		ch <- created{r, err}
	}()
	<-h.clock.timer
	<-h.cluster.asked
	return ch
}

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
	want := controller.CreateTopic{Name: "t", Config: map[string]string{"a": "b"}}
	if got, ok := h.ctrl.last.(controller.CreateTopic); !ok || got.Name != want.Name || got.Partitions != 0 || got.RF != 0 || !maps.Equal(got.Config, want.Config) {
		t.Errorf("asked the controller for %+v", h.ctrl.last)
	}
}

func TestCreateTopicSaysWhichPartitionsHaveNoLeader(t *testing.T) {
	t.Run("after ten seconds", func(t *testing.T) {
		h := newHarness(t)
		ch := h.create(t.Context())
		h.cluster.set(func() { h.cluster.st, h.cluster.leaders = stateWith(8, topicT(2)), map[uint64]int32{10: 1} })
		h.clock.fire()
		e := wantReason(t, (<-ch).err, runnelv1.ErrorReason_ERROR_REASON_UNAVAILABLE, retriable)
		if !strings.Contains(e.GetMessage(), `topic "t" exists`) || !strings.Contains(e.GetMessage(), "no leader yet: 1;") {
			t.Errorf("message %q", e.GetMessage())
		}
	})
	t.Run("when the client's time is over", func(t *testing.T) {
		h := newHarness(t)
		ctx, cancel := context.WithCancel(t.Context())
		ch := h.create(ctx)
		cancel()
		wantReason(t, (<-ch).err, runnelv1.ErrorReason_ERROR_REASON_UNAVAILABLE, retriable)
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

func TestDescribeTopicAsksEachLeaderOnce(t *testing.T) {
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
	if len(h.caller.calls) != 1 || h.caller.calls[2] != 1 {
		t.Errorf("calls %v", h.caller.calls)
	}
	_, err = h.s.DescribeTopic(t.Context(), &runnelv1.DescribeTopicRequest{Name: "no"})
	wantReason(t, err, runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_TOPIC, definite)
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
		}, "no quorum: 2 of 3 replicas are on silent brokers (2, 3); start them", ""},
		{"election", func(h *harness) { delete(h.cluster.leaders, 10) }, "no leader is known: an election should be under way", ""},
		{"election without one", func(h *harness) {
			delete(h.cluster.leaders, 10)
			h.cluster.dead[2] = true
		}, "no leader is known: an election should be under way among the other replicas; silent brokers: 2", ""},
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
		t.Errorf("%s %v: only what this broker leads is told", b, err)
	}
}

func TestLongListsOfPartitionsAreCut(t *testing.T) {
	if s := numbers(make([]int, 30)); !strings.HasSuffix(s, ", 0 and 10 more") {
		t.Error(s)
	}
}
