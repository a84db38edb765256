package controller

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/runnel-io/runnel/partition/raftlog"
	"github.com/runnel-io/runnel/partition/record"
	"github.com/runnel-io/runnel/placement"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

func TestAnyBrokerCreatesAndDeletesTopics(t *testing.T) {
	_, nodes := cluster(t, 3)
	r := do(t, nodes[2].c, CreateTopic{Name: "orders", Partitions: 4})
	if len(r.Topic.Partitions) != 4 || r.Topic.ReplicationFactor() != 3 || len(r.Reasons) == 0 {
		t.Fatalf("created %+v because %q", r.Topic, r.Reasons)
	}
	// The broker that was asked knows it, although the leader is another.
	if nodes[2].c.State().Topics["orders"] == nil {
		t.Fatal("the topic is unknown where it was created")
	}
	_, err := nodes[1].c.Do(t.Context(), CreateTopic{Name: "orders"})
	wantReason(t, err, runnelv1.ErrorReason_ERROR_REASON_TOPIC_EXISTS, runnelv1.ErrorKind_ERROR_KIND_DEFINITE)

	do(t, nodes[1].c, DeleteTopic{Name: "orders"})
	if nodes[1].c.State().Topics["orders"] != nil {
		t.Fatal("the topic is known where it was deleted")
	}
	_, err = nodes[2].c.Do(t.Context(), DeleteTopic{Name: "orders"})
	wantReason(t, err, runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_TOPIC, runnelv1.ErrorKind_ERROR_KIND_DEFINITE)

	s := nodes[0].c.State()
	for b := int32(1); b <= 3; b++ {
		var ids []uint64
		for id, d := range s.Tombstones {
			if d.Broker == b {
				ids = append(ids, id)
			}
		}
		if len(ids) != 4 {
			t.Fatalf("broker %d has %d tombstones, want 4", b, len(ids))
		}
		do(t, nodes[b-1].c, ForgetReplicas{Broker: b, Replicas: ids})
	}
	if left := nodes[2].c.State().Tombstones; len(left) != 0 {
		t.Fatalf("tombstones left: %v", left)
	}
}

func TestRefusalsAreDefiniteAndSayWhy(t *testing.T) {
	g := newFakeGroup(t)
	var dead atomic.Int32
	g.configure = func(c *Config) { c.Alive = func(b int32) bool { return b != dead.Load() } }
	_, nodes := clusterOf(t, g, 2)
	dead.Store(2)
	for _, c := range []struct {
		r      Request
		reason runnelv1.ErrorReason
	}{
		{CreateTopic{Name: "no good"}, runnelv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT},
		{CreateTopic{Name: "t", Partitions: -1}, runnelv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT},
		{CreateTopic{Name: "t", RF: 2}, runnelv1.ErrorReason_ERROR_REASON_NOT_ENOUGH_BROKERS},
		{CreateTopic{Name: "t", Config: map[string]string{"no.such": "1"}}, runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_SETTING},
		{AlterTopicConfig{Name: "t"}, runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_TOPIC},
		{AllocateProducers{Broker: 9}, runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_BROKER},
		{RegisterBroker{Broker: placement.Registration{ID: 2, Incarnation: "other", PeerAddr: "x:1"}}, runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_BROKER},
	} {
		for _, n := range nodes {
			before := nodes[0].c.State().Revision
			_, err := n.c.Do(t.Context(), c.r)
			wantReason(t, err, c.reason, runnelv1.ErrorKind_ERROR_KIND_DEFINITE)
			if after := nodes[0].c.State().Revision; after != before {
				t.Errorf("%+v was refused and raised the revision", c.r)
			}
		}
	}
}

func TestConcurrentRequestsNeverContradictEachOther(t *testing.T) {
	g, nodes := cluster(t, 3)
	g.job(func() { g.hold = true })
	var wg sync.WaitGroup
	errs := make(chan error, 200)
	for i := range 100 {
		wg.Go(func() {
			// Each name is asked for twice, on two brokers: one of the two is refused.
			_, err := nodes[i%3].c.Do(t.Context(), CreateTopic{Name: fmt.Sprintf("t%d", i/2), Partitions: 1, RF: 2})
			errs <- err
		})
	}
	// All are in flight before the first is applied.
	g.await(func() bool { return len(g.held) == 100 })
	g.job(func() { g.entries, g.held, g.hold = append(g.entries, g.held...), nil, false })
	wg.Wait()
	close(errs)
	refused := 0
	for err := range errs {
		if err != nil {
			wantReason(t, err, runnelv1.ErrorReason_ERROR_REASON_TOPIC_EXISTS, runnelv1.ErrorKind_ERROR_KIND_DEFINITE)
			refused++
		}
	}
	s := nodes[0].c.State()
	if refused != 50 || len(s.Topics) != 50 {
		t.Fatalf("%d refused and %d topics, want 50 and 50", refused, len(s.Topics))
	}
	load := map[int32]int{}
	for _, topic := range s.Topics {
		for _, p := range topic.Partitions {
			for _, r := range p.Replicas {
				load[r.Broker]++
			}
		}
	}
	// Each was planned on what was in flight before it, or the topics would not spread evenly.
	if lo, hi := min(load[1], load[2], load[3]), max(load[1], load[2], load[3]); hi-lo > 1 {
		t.Fatalf("replicas a broker: %v", load)
	}
}

// While its fate is unknown a create is asked again, and finds its own work or does it anew: one topic either way.
func TestCreateSurvivesALeaderChangeInFlight(t *testing.T) {
	for _, committed := range []bool{true, false} {
		for _, asked := range []int{0, 2} {
			t.Run(fmt.Sprintf("committed=%v/asked=%d", committed, asked+1), func(t *testing.T) {
				g, nodes := cluster(t, 3)
				g.job(func() { g.hold = true })
				var wg sync.WaitGroup
				var resp Response
				var err error
				wg.Go(func() { resp, err = nodes[asked].c.Do(t.Context(), CreateTopic{Name: "t"}) })
				g.await(func() bool { return len(g.held) > 0 })
				g.lead(2, committed)
				wg.Wait()
				if err != nil {
					t.Fatal(err)
				}
				s := nodes[1].c.State()
				if len(s.Topics) != 1 || s.Topics["t"].ID != resp.Topic.ID {
					t.Fatalf("answered %+v, the state has %+v", resp.Topic, s.Topics["t"])
				}
				if s.Topics["t"].ID != 1 {
					t.Fatalf("the topic was created more than once: id %d", s.Topics["t"].ID)
				}
			})
		}
	}
}

func TestDeleteSurvivesALeaderChangeInFlight(t *testing.T) {
	g, nodes := cluster(t, 3)
	do(t, nodes[0].c, CreateTopic{Name: "t"})
	g.job(func() { g.hold = true })
	var wg sync.WaitGroup
	var err error
	wg.Go(func() { _, err = nodes[2].c.Do(t.Context(), DeleteTopic{Name: "t"}) })
	g.await(func() bool { return len(g.held) > 0 })
	g.lead(2, true)
	wg.Wait()
	if err != nil {
		t.Fatalf("the delete took effect and was answered with %v", err)
	}
	if nodes[1].c.State().Topics["t"] != nil {
		t.Fatal("the topic is still there")
	}
}

// Two who alter different settings at the same time, on two brokers, do not undo each other.
func TestConcurrentAlterationsOfSettingsAreBothKept(t *testing.T) {
	g, nodes := cluster(t, 2)
	do(t, nodes[0].c, CreateTopic{Name: "t", Config: map[string]string{"old": "1"}})
	g.job(func() { g.hold = true })
	var wg sync.WaitGroup
	for i, r := range []AlterTopicConfig{{Name: "t", Set: map[string]string{"a": "1"}}, {Name: "t", Set: map[string]string{"b": "2"}, Unset: []string{"old"}}} {
		wg.Go(func() { do(t, nodes[i].c, r) })
	}
	g.await(func() bool { return len(g.held) == 2 })
	g.job(func() { g.entries, g.held, g.hold = append(g.entries, g.held...), nil, false })
	wg.Wait()
	if got, want := nodes[0].c.State().Topics["t"].Config, map[string]string{"a": "1", "b": "2"}; !maps.Equal(got, want) {
		t.Errorf("settings %v, want %v", got, want)
	}
	_, err := nodes[0].c.Do(t.Context(), AlterTopicConfig{Name: "t", Set: map[string]string{"no.such": "1"}})
	wantReason(t, err, runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_SETTING, runnelv1.ErrorKind_ERROR_KIND_DEFINITE)
}

func TestUnrepeatableRequestIsReportedAsIndeterminate(t *testing.T) {
	g, nodes := cluster(t, 2)
	do(t, nodes[0].c, CreateTopic{Name: "t"})
	g.job(func() { g.hold = true })
	var wg sync.WaitGroup
	var err error
	wg.Go(func() {
		_, err = nodes[0].c.Do(t.Context(), AlterTopicConfig{Name: "t", Set: map[string]string{"retention.ms": "1"}})
	})
	g.await(func() bool { return len(g.held) > 0 })
	g.lead(2, false)
	wg.Wait()
	wantReason(t, err, runnelv1.ErrorReason_ERROR_REASON_LOST_LEADERSHIP, runnelv1.ErrorKind_ERROR_KIND_INDETERMINATE)
}

func TestGivingUpTellsWhetherAnythingMayHaveHappened(t *testing.T) {
	g, nodes := cluster(t, 2)
	g.lead(0, false)
	ctx, cancel := context.WithCancel(t.Context())
	timer := time.AfterFunc(50*time.Millisecond, cancel)
	defer timer.Stop()
	_, err := nodes[1].c.Do(ctx, CreateTopic{Name: "t"})
	wantReason(t, err, runnelv1.ErrorReason_ERROR_REASON_UNAVAILABLE, runnelv1.ErrorKind_ERROR_KIND_RETRIABLE)

	g.lead(1, false)
	g.job(func() { g.hold = true })
	ctx, cancel = context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { _, err = nodes[0].c.Do(ctx, CreateTopic{Name: "t"}) })
	g.await(func() bool { return len(g.held) > 0 })
	cancel()
	wg.Wait()
	wantReason(t, err, runnelv1.ErrorReason_ERROR_REASON_TIMEOUT, runnelv1.ErrorKind_ERROR_KIND_INDETERMINATE)
}

// RULES 9: what raft dropped was not proposed; it goes again, in order.
func TestRule09DroppedProposalsGoAgainInOrder(t *testing.T) {
	g, nodes := cluster(t, 1)
	g.job(func() { g.drop = 3 })
	first := do(t, nodes[0].c, AllocateProducers{Broker: 1})
	second := do(t, nodes[0].c, AllocateProducers{Broker: 1})
	if first.FirstProducer != 1 || first.Producers != 1000 || second.FirstProducer != 1001 {
		t.Fatalf("blocks %+v and %+v", first, second)
	}
}

func TestEveryReplicaFoldsTheSameState(t *testing.T) {
	g, nodes := cluster(t, 3)
	do(t, nodes[0].c, CreateTopic{Name: "a", Partitions: 3})
	var state []byte
	var at int
	g.job(func() { _, _, state = nodes[0].c.Checkpoint(); at = nodes[0].applied })
	do(t, nodes[1].c, CreateTopic{Name: "b", Partitions: 2})
	do(t, nodes[2].c, DeleteTopic{Name: "a"})

	fresh := New(Config{Env: g.env, BrokerID: 9})
	late := New(Config{Env: g.env, BrokerID: 9})
	g.job(func() {
		if err := late.Restore(raftlog.Checkpoint{Index: uint64(at), State: state}); err != nil {
			t.Error(err)
		}
		if err := fresh.Restore(raftlog.Checkpoint{Index: 1}); err != nil {
			t.Error(err)
		}
		for i, e := range g.entries {
			fresh.apply(t, i, e)
			if i >= at {
				late.apply(t, i, e)
			}
		}
		fresh.Applied(uint64(len(g.entries)))
		late.Applied(uint64(len(g.entries)))
	})
	want := nodes[0].c.State()
	for _, c := range []*Controller{nodes[1].c, nodes[2].c, fresh, late} {
		if !reflect.DeepEqual(c.State(), want) {
			t.Errorf("broker %d has another state", c.cfg.BrokerID)
		}
	}
	if err := New(Config{Env: g.env}).Restore(raftlog.Checkpoint{State: []byte("x")}); err == nil {
		t.Error("a broken checkpoint was restored")
	}
}

func TestMetricsShowTheState(t *testing.T) {
	g, nodes := cluster(t, 1)
	do(t, nodes[0].c, CreateTopic{Name: "a", Partitions: 3})
	reg := prometheus.NewRegistry()
	nodes[0].c.register(reg)
	nodes[0].c.register(reg) // a second time is an error in the log, not a panic
	want := map[string]float64{"runnel_controller_topics": 1, "runnel_controller_replicas": 3, "runnel_controller_leads": 1, "runnel_controller_pending": 0}
	g.job(func() {})
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if v, ok := want[f.GetName()]; ok && f.GetMetric()[0].GetGauge().GetValue() != v {
			t.Errorf("%s is %v, want %v", f.GetName(), f.GetMetric()[0].GetGauge().GetValue(), v)
		}
		delete(want, f.GetName())
	}
	if len(want) > 0 {
		t.Errorf("not shown: %v", want)
	}
}

func TestOnChangeSeesEveryRun(t *testing.T) {
	_, nodes := cluster(t, 1)
	var mu sync.Mutex
	var seen []uint64
	nodes[0].c.OnChange(func(s *placement.State) {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, s.Revision)
	})
	do(t, nodes[0].c, CreateTopic{Name: "a"})
	do(t, nodes[0].c, CreateTopic{Name: "b"})
	mu.Lock()
	defer mu.Unlock()
	if !reflect.DeepEqual(seen, []uint64{1, 2, 3}) { // 1 is the founding, told at once
		t.Fatalf("saw revisions %v", seen)
	}
}

func TestAStrangerMayOnlyJoinAndAMemberSpeaksForItself(t *testing.T) {
	_, nodes := cluster(t, 2)
	c := nodes[0].c
	// The controller group grows by itself when broker 3 has joined; a refused request may change nothing else.
	state := func() placement.State {
		s := *c.State()
		s.Controller, s.Revision, s.NextReplica = nil, 0, 0
		s.Brokers = maps.Clone(s.Brokers)
		for id, b := range s.Brokers {
			b := *b
			b.ControllerReplica = 0
			s.Brokers[id] = &b
		}
		return s
	}
	member := func(id int32) RegisterBroker {
		r := registration(int(id))
		r.ID = id
		return RegisterBroker{Broker: r}
	}
	for _, x := range []struct {
		from int32
		r    Request
		may  bool
	}{
		{0, RegisterBroker{Broker: registration(3)}, true},
		{0, member(2), false},
		{0, FoundCluster{ClusterID: "c2", Broker: registration(3)}, false},
		{0, SetDraining{Broker: 2, Draining: true}, false},
		{0, DeleteTopic{Name: "t", ID: 1}, false},
		{0, LookUpTopic{Name: "t"}, false},
		{0, Overview{}, false},
		{-1, AllocateProducers{Broker: 2}, false},
		{2, member(2), true},
		{2, member(1), false},
		{2, RegisterBroker{Broker: registration(4)}, true}, // passed on
		{2, AllocateProducers{Broker: 2}, true},
		{2, AllocateProducers{Broker: 1}, false},
		{2, ForgetReplicas{Broker: 2}, true},
		{2, ForgetReplicas{Broker: 1}, false},
		{2, FoundCluster{ClusterID: "c1", Broker: registration(1)}, false},
		{2, SetDraining{Broker: 1, Draining: false}, true}, // an operator's
	} {
		body, err := encodeRequest(x.r)
		if err != nil {
			t.Fatal(err)
		}
		before := state()
		_, err = c.ServeFrom(t.Context(), x.from, body)
		if (err == nil) != x.may {
			t.Errorf("broker %d asked for %+v: %v", x.from, x.r, err)
		}
		if !x.may {
			wantReason(t, err, invalidArgument, runnelv1.ErrorKind_ERROR_KIND_DEFINITE)
			if after := state(); !reflect.DeepEqual(after, before) {
				t.Errorf("%+v was refused and changed the state from %+v to %+v", x.r, before, after)
			}
		}
	}
}

// A broker that joins knows the members that gossip has told it of, and the leader may not be among them.
func TestAnyMemberPassesOnTheWishToJoin(t *testing.T) {
	_, nodes := cluster(t, 3)
	for i, n := range nodes {
		body, err := encodeRequest(RegisterBroker{Broker: registration(10 + i)})
		if err != nil {
			t.Fatal(err)
		}
		answer, err := n.c.ServeFrom(t.Context(), 0, body)
		if err != nil {
			t.Fatalf("broker %d, asked by one that joins: %v", n.c.cfg.BrokerID, err)
		}
		resp, err := DecodeResponse(answer)
		if err != nil || resp.Broker == 0 || resp.ClusterID == "" {
			t.Errorf("broker %d answered %+v, %v", n.c.cfg.BrokerID, resp, err)
		}
	}
}

// To skip what cannot be read would leave this broker with a state that no other has.
func TestCommandOfALaterReleaseStopsTheReplica(t *testing.T) {
	c, _ := drained(t)
	for name, payload := range map[string][]byte{
		"a command": putPayload(1, 1, 1, []byte(`{"v":1,"type":"fly_to_the_moon","body":{}}`))[record.EnvelopeLen:],
		"a format":  append([]byte{99}, make([]byte, payloadHeader)...),
	} {
		err := func() (p any) {
			defer func() { p = recover() }()
			c.Apply(record.Meta{Index: 7, Kind: record.KindCommand}, payload)
			return nil
		}()
		why, ok := err.(error)
		if !ok || raftlog.Lasting(why) || !strings.Contains(why.Error(), "upgrade this broker") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if c.unknown.Load() != 2 {
		t.Errorf("counted %d", c.unknown.Load())
	}
}
