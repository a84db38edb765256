package broker

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	"github.com/runnel-io/runnel/partition/env"
	"github.com/runnel-io/runnel/partition/record"
	"github.com/runnel-io/runnel/placement"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// fakeCluster: brokers 1 to 3, topic t with partitions 0 (led by 1), 1 (led by 2) and 2 (no leader).
type fakeCluster struct{ st *placement.State }

func newFakeCluster() *fakeCluster {
	st := placement.New()
	st.ClusterID, st.Revision = "c1", 42
	for id := int32(1); id <= 3; id++ {
		st.Brokers[id] = &placement.Broker{ID: id, ClientAddr: fmt.Sprintf("b%d:9092", id), Rack: "r", Version: "v1"}
	}
	reps := func(first uint64) []placement.Replica {
		return []placement.Replica{{ID: first, Broker: 1}, {ID: first + 1, Broker: 2}, {ID: first + 2, Broker: 3, Learner: true}}
	}
	st.Topics["t"] = &placement.Topic{Name: "t", ID: 5, Config: map[string]string{"retention.ms": "1"}, Partitions: []placement.Partition{
		{Group: 10, Replicas: reps(100)}, {Group: 11, Replicas: reps(110)}, {Group: 12, Replicas: reps(120)},
	}}
	return &fakeCluster{st: st}
}

func (c *fakeCluster) State() *placement.State { return c.st }
func (c *fakeCluster) Leader(g uint64) (int32, uint64, bool) {
	switch g {
	case 10:
		return 1, 7, true
	case 11:
		return 2, 9, true
	}
	return 0, 0, false
}
func (c *fakeCluster) Alive(id int32) bool { return id != 3 }
func (c *fakeCluster) ControllerID() int32 { return 2 }

type fakeProducers struct {
	id  int64
	err error
}

func (p *fakeProducers) NextProducerID(context.Context) (int64, error) { return p.id, p.err }

// harness is a server over an in-memory connection.
type harness struct {
	t        testing.TB
	s        *Server
	clock    *fakeClock
	budget   *fakeBudget
	replicas *fakeReplicas
	rep      *fakeReplica // t/0
	rep1     *fakeReplica // t/1
	client   runnelv1.BrokerClient
	conn     *grpc.ClientConn
	ctx      context.Context
}

type harnessOptions struct {
	limits    Limits
	budget    int64
	plain     bool // gRPC's own codec
	producers Producers
	extra     []grpc.ServerOption
	dial      []grpc.DialOption
}

func newHarness(t testing.TB, o harnessOptions) *harness {
	t.Helper()
	if o.budget == 0 {
		o.budget = 64 << 20
	}
	h := &harness{t: t, clock: newFakeClock(), budget: newFakeBudget(o.budget), rep: newFakeReplica(), rep1: newFakeReplica()}
	h.replicas = &fakeReplicas{m: map[string]replica{"t/0": h.rep, "t/1": h.rep1}, e: map[string]*runnelv1.Error{}}
	h.s = newServer(Config{
		Cluster: newFakeCluster(), Producers: o.producers, BrokerID: 1, Limits: o.limits,
		Env: &env.Env{Clock: h.clock}, Log: slog.New(slog.DiscardHandler),
	}, h.replicas, h.budget)
	g, _ := NewGRPCServer(GRPCOptions{Limits: o.limits, Extra: o.extra})
	if o.plain {
		g = grpc.NewServer()
	}
	runnelv1.RegisterBrokerServer(g, h.s)
	lis := bufconn.Listen(1 << 20)
	served := make(chan error, 1)
	go func() { served <- g.Serve(lis) }()
	conn, err := grpc.NewClient("passthrough:bufconn", append([]grpc.DialOption{
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return lis.DialContext(ctx) }),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64 << 20)),
	}, o.dial...)...)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second) // only so that a hang fails
	h.ctx, h.conn, h.client = ctx, conn, runnelv1.NewBrokerClient(conn)
	t.Cleanup(func() {
		cancel()
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
		g.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
		if err := h.s.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return h
}

// await waits for a timer of d to be made.
func (h *harness) await(d time.Duration) {
	for made := range h.clock.made {
		if made == d {
			return
		}
	}
}

func makeBatch(t testing.TB, n, size int, c record.Codec) []byte {
	t.Helper()
	recs := make([]record.Record, n)
	for i := range recs {
		recs[i] = record.Record{Key: []byte("k"), Value: make([]byte, size), TimestampMS: 1_700_000_000_000}
	}
	b, err := record.Encode(nil, recs, record.EncodeOptions{Codec: c, ProducerID: -1})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func wantReason(t testing.TB, e *runnelv1.Error, want runnelv1.ErrorReason) {
	t.Helper()
	if e == nil {
		t.Fatalf("no error, want %v", want)
	}
	if e.GetReason() != want {
		t.Fatalf("%v (%s), want %v", e.GetReason(), e.GetMessage(), want)
	}
}

func must[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}
