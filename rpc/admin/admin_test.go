package admin

import (
	"context"
	"fmt"
	"slices"
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

// fakeClock has timers that fire when a test says so. Those of settling fire at once, after paused, if that is set.
type fakeClock struct {
	paused func()
	mu     sync.Mutex
	fs     []func()
	timer  chan time.Duration
}

func (c *fakeClock) Now() time.Time { return time.UnixMilli(1) }

func (c *fakeClock) Wall() time.Time { return c.Now() }
func (c *fakeClock) AfterFunc(d time.Duration, f func()) env.Timer {
	if slices.Contains(settling, d) {
		if c.paused != nil {
			c.paused()
		}
		f()
		return noTimer{}
	}
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
	changed := c.Signal.Changed() // first: whoever hears of asked may notify at once
	select {
	case c.asked <- struct{}{}:
	default:
	}
	return changed
}

func (c *fakeCluster) set(f func()) {
	c.mu.Lock()
	f()
	c.mu.Unlock()
	c.Notify()
}

// fakeController answers what is asked by f, and questions without it: the topics it knows and the overview.
type fakeController struct {
	f func(controller.Request) (controller.Response, error)
	// topics are newer than a broker's view.
	topics   map[string]*placement.Topic
	overview *controller.OverviewAnswer
	wait     func(context.Context) error // before any answer, if set
	last     controller.Request          // that was not a question
}

func (c *fakeController) Do(ctx context.Context, r controller.Request) (controller.Response, error) {
	if c.wait != nil {
		if err := c.wait(ctx); err != nil {
			return controller.Response{}, err
		}
	}
	switch q := r.(type) {
	case controller.Overview:
		if c.overview == nil {
			return controller.Response{}, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_UNAVAILABLE, "no controller")
		}
		return controller.Response{Revision: 8, Overview: c.overview}, nil
	case controller.LookUpTopic:
		t := c.topics[q.Name]
		if t == nil {
			return controller.Response{}, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_TOPIC, "topic %q does not exist", q.Name)
		}
		return controller.Response{Revision: 8, Topic: t}, nil
	}
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
		return nil, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, "method %q", method) // as calls between brokers fail
	}
	return c.f(ctx, broker, body)
}

// fakeStatuses are one broker's replicas; those not named follow and are well.
type fakeStatuses map[string]partition.Status

// absent is a status with this in Quarantine: there is no running replica, and the rest says why.
const absent = "absent: "

func (f fakeStatuses) status(topic string, n int32) (partition.Status, *runnelv1.Error) {
	st := f[fmt.Sprintf("%s/%d", topic, n)]
	if why, ok := strings.CutPrefix(st.Quarantine, absent); ok {
		return partition.Status{}, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_NOT_LEADER, "%s", why)
	}
	return st, nil
}

type harness struct {
	s       *Server
	clock   *fakeClock
	cluster *fakeCluster
	ctrl    *fakeController
	caller  *fakeCaller
	local   fakeStatuses           // of broker 1
	others  map[int32]fakeStatuses // of the brokers 2 and 3
	waits   time.Duration          // what create's call gives itself
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
	st.ClusterID, st.Revision, st.NextBroker = "c1", revision, 4
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
		ctrl:   &fakeController{overview: &controller.OverviewAnswer{}},
		caller: &fakeCaller{calls: map[int32]int{}},
		local:  fakeStatuses{"t/0": {Leader: true, Term: 3, HW: 50, LogStart: 10, InSync: []uint64{101, 102, 103}}},
	}
	cfg := Config{Controller: h.ctrl, Cluster: h.cluster, Caller: h.caller, BrokerID: 1, Env: &env.Env{Clock: h.clock}}
	cfg.HTTPAddresses = func() map[int32]string { return map[int32]string{1: "b1:3", 3: "b3:3"} }
	h.ctrl.topics = h.cluster.st.Topics
	h.s = newServer(cfg, h.local)
	h.others = map[int32]fakeStatuses{2: {"t/1": {Leader: true, Term: 4, HW: 7, LogStart: 0, InSync: []uint64{112, 111}}}, 3: {}}
	others := map[int32]*Server{}
	for id, local := range h.others {
		cfg.BrokerID = id
		others[id] = newServer(cfg, local)
	}
	h.caller.f = func(ctx context.Context, broker int32, body []byte) ([]byte, error) {
		return others[broker].ServePartitionStatus(ctx, body)
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
		r, err := h.s.CreateTopic(ctx, &runnelv1.CreateTopicRequest{Name: "t", Config: map[string]string{"a": "b"}, RequestId: "r"})
		ch <- created{r, err}
	}()
	h.waits = <-h.clock.timer
	<-h.cluster.asked
	return ch
}

// deadline is a context with a deadline by the fake clock, which never ends by itself.
type deadline struct {
	context.Context
	at time.Time
}

func (d deadline) Deadline() (time.Time, bool) { return d.at, true }
