package broker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"google.golang.org/grpc"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/runnel-io/runnel/partition"
	"github.com/runnel-io/runnel/partition/env"
	"github.com/runnel-io/runnel/partition/record"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

func TestListOffsets(t *testing.T) {
	h := newHarness(t, harnessOptions{})
	h.rep.start = 3
	h.rep.next = 9
	h.rep1.status = partition.Status{LeaderBroker: 2, Term: 4}
	h.rep1.err = runnelv1.Errorf(reasonNotLeader, "not here")
	at := func(topic string, n int32) *runnelv1.ListOffsetsPartition {
		return &runnelv1.ListOffsetsPartition{Topic: topic, Partition: n}
	}
	start, end, ts := at("t", 0), at("t", 0), at("t", 0)
	start.At = &runnelv1.ListOffsetsPartition_Start{Start: true}
	end.At = &runnelv1.ListOffsetsPartition_End{End: true}
	ts.At = &runnelv1.ListOffsetsPartition_TimestampMs{TimestampMs: 5000}
	away, away2 := at("t", 1), at("t", 1)
	away.At, away2.At = start.At, ts.At
	r, err := h.client.ListOffsets(h.ctx, &runnelv1.ListOffsetsRequest{
		Partitions: []*runnelv1.ListOffsetsPartition{start, end, ts, at("t", 0), away, away2, at("no", 0)},
	})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []struct {
		offset int64
		reason runnelv1.ErrorReason
	}{
		{3, 0}, {9, 0}, {5, 0}, {-1, reasonInvalid}, {-1, reasonNotLeader}, {-1, reasonNotLeader},
		{-1, runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_TOPIC},
	} {
		got := r.GetResults()[i]
		if got.GetOffset() != want.offset || got.GetError().GetReason() != want.reason {
			t.Errorf("%d: %v, want %v", i, got, want)
		}
		if want.reason == reasonNotLeader && (got.GetError().GetLeaderId() != 2 || got.GetError().GetLeaderAddress() != "b2:9092") {
			t.Errorf("%d: hint %v", i, got.GetError())
		}
	}
}

func TestMetadata(t *testing.T) {
	h := newHarness(t, harnessOptions{})
	r, err := h.client.Metadata(h.ctx, &runnelv1.MetadataRequest{Topics: []string{"t", "no"}})
	if err != nil {
		t.Fatal(err)
	}
	if r.GetClusterId() != "c1" || r.GetControllerId() != 2 || r.GetRevision() != 42 || len(r.GetBrokers()) != 3 {
		t.Errorf("%v", r)
	}
	if b := r.GetBrokers()[2]; b.GetId() != 3 || b.GetAlive() || b.GetAddress() != "b3:9092" {
		t.Errorf("broker %v", b)
	}
	topic := r.GetTopics()[0]
	if topic.GetId() != 5 || topic.GetConfig()["retention.ms"] != "1" || len(topic.GetPartitions()) != 3 {
		t.Errorf("topic %v", topic)
	}
	for i, want := range []struct {
		leader int32
		term   int64
	}{{1, 7}, {2, 9}, {-1, 0}} {
		p := topic.GetPartitions()[i]
		if p.GetLeaderId() != want.leader || p.GetTerm() != want.term || fmt.Sprint(p.GetReplicas(), p.GetLearners()) != "[1 2] [3]" {
			t.Errorf("partition %d: %v", i, p)
		}
	}
	wantReason(t, r.GetTopics()[1].GetError(), runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_TOPIC)

	if r, err = h.client.Metadata(h.ctx, &runnelv1.MetadataRequest{NoTopics: true}); err != nil || len(r.GetTopics()) != 0 {
		t.Errorf("%v %v", r, err)
	}
	if r, err = h.client.Metadata(h.ctx, &runnelv1.MetadataRequest{}); err != nil || len(r.GetTopics()) != 1 {
		t.Errorf("%v %v", r, err)
	}
}

func TestInitProducer(t *testing.T) {
	p := &fakeProducers{id: 77}
	h := newHarness(t, harnessOptions{producers: p})
	r, err := h.client.InitProducer(h.ctx, &runnelv1.InitProducerRequest{})
	if err != nil || r.GetProducerId() != 77 || r.GetProducerEpoch() != 0 {
		t.Errorf("%v %v", r, err)
	}
	p.err = fmt.Errorf("ask: %w", context.DeadlineExceeded)
	_, err = h.client.InitProducer(h.ctx, &runnelv1.InitProducerRequest{})
	e := runnelv1.FromStatus(err)
	wantReason(t, e, runnelv1.ErrorReason_ERROR_REASON_TIMEOUT)
	if e.GetKind() != runnelv1.ErrorKind_ERROR_KIND_RETRIABLE {
		t.Errorf("kind %v: a lost id costs nothing", e.GetKind())
	}
}

func TestMetricsCountErrorsByReason(t *testing.T) {
	reg := prometheus.NewRegistry()
	s := newServer(Config{Registerer: reg, Env: &env.Env{Clock: newFakeClock()}, Cluster: newFakeCluster()}, &fakeReplicas{}, newFakeBudget(1))
	if _, err := s.FetchOnce(context.Background(), &runnelv1.FetchOnceRequest{}); err == nil {
		t.Fatal("no error")
	}
	if n := testutil.ToFloat64(s.metrics.errors.WithLabelValues(apiFetchOnce, "invalid_argument")); n != 1 {
		t.Errorf("counted %v", n)
	}
	if n, err := testutil.GatherAndCount(reg, "runnel_broker_errors_total"); err != nil || n != 1 {
		t.Errorf("registered %d, %v", n, err)
	}
}

func TestStoppingBrokerRefusesEveryCall(t *testing.T) {
	h := newHarness(t, harnessOptions{producers: &fakeProducers{}})
	if err := h.s.Stop(h.ctx); err != nil {
		t.Fatal(err)
	}
	for name, call := range map[string]func() error{
		"produce": func() error { _, err := h.produce().Recv(); return err },
		"fetch":   func() error { _, err := must[fetchClient](t)(h.client.Fetch(h.ctx)).Recv(); return err },
		"list offsets": func() error {
			_, err := h.client.ListOffsets(h.ctx, &runnelv1.ListOffsetsRequest{})
			return err
		},
		"init producer": func() error {
			_, err := h.client.InitProducer(h.ctx, &runnelv1.InitProducerRequest{})
			return err
		},
	} {
		if e := runnelv1.FromStatus(call()); e.GetReason() != reasonStopping || e.GetKind() != runnelv1.ErrorKind_ERROR_KIND_RETRIABLE {
			t.Errorf("%s: %v", name, e)
		}
	}
}

func TestDefectInACallIsAnInternalError(t *testing.T) {
	h := newHarness(t, harnessOptions{}) // without producers: InitProducer panics
	_, err := h.client.InitProducer(h.ctx, &runnelv1.InitProducerRequest{})
	wantReason(t, runnelv1.FromStatus(err), reasonInternal)
	if r, err := healthpb.NewHealthClient(h.conn).Check(h.ctx, &healthpb.HealthCheckRequest{}); err != nil ||
		r.GetStatus() != healthpb.HealthCheckResponse_SERVING {
		t.Errorf("health: %v %v", r, err)
	}
	err = recoverStream(slog.New(slog.DiscardHandler))(nil, nil, &grpc.StreamServerInfo{FullMethod: "/x"},
		func(any, grpc.ServerStream) error { panic("a defect") })
	wantReason(t, runnelv1.FromStatus(err), reasonInternal)
}

func TestStopIsBoundedByItsContext(t *testing.T) {
	s := newServer(Config{Env: &env.Env{Clock: newFakeClock()}}, &fakeReplicas{}, newFakeBudget(1))
	release := make(chan struct{})
	s.readers.Go(func() { <-release })
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Stop(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	close(release)
	s.readers.Wait()
}

func TestConsumerThatDoesNotReadCannotHoldUpStop(t *testing.T) {
	h := newHarness(t, harnessOptions{})
	tries := make(chan struct{}, 100)
	h.rep.onTry = func(partition.FetchRequest) { tries <- struct{}{} }
	for range 40 {
		h.rep.append(t, 1, 100_000)
	}
	h.fetch(64<<20, from(0, 0)) // and never Recv: the client's window closes
	<-tries
	<-tries // the first response is on its way, the second one will not fit
	stopped := make(chan error, 1)
	go func() { stopped <- h.s.Stop(h.ctx) }()
	h.await(2 * h.s.limits.StopGrace)
	h.clock.advance(2 * h.s.limits.StopGrace)
	<-stopped
}

func TestDecompressionsAreBounded(t *testing.T) {
	h := newHarness(t, harnessOptions{limits: Limits{Decompressions: 1}})
	h.s.decompress <- struct{}{} // all slots are taken
	c := h.produce()
	send(t, c, 1, part("t", 0, makeBatch(t, 1, 10, record.CodecNone)), part("t", 1, makeBatch(t, 1, 1000, record.CodecLZ4)))
	<-h.rep.got // an uncompressed batch needs no slot
	select {
	case <-h.rep1.got:
		t.Fatal("a batch was decompressed without a slot")
	default:
	}
	<-h.s.decompress
	<-h.rep1.got
	if err := c.CloseSend(); err != nil {
		t.Fatal(err)
	}
	must[*runnelv1.ProduceResponse](t)(c.Recv())
	if _, err := c.Recv(); !errors.Is(err, io.EOF) {
		t.Error(err)
	}
}
