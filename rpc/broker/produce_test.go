package broker

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"strings"
	"testing"

	"google.golang.org/grpc"

	"github.com/runnel-io/runnel/partition/record"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

type produceClient = grpc.BidiStreamingClient[runnelv1.ProduceRequest, runnelv1.ProduceResponse]

func (h *harness) produce() produceClient {
	h.t.Helper()
	return must[produceClient](h.t)(h.client.Produce(h.ctx))
}

func send(t testing.TB, c produceClient, id uint64, parts ...*runnelv1.ProducePartition) {
	t.Helper()
	if err := c.Send(&runnelv1.ProduceRequest{CorrelationId: id, Partitions: parts}); err != nil {
		t.Fatal(err)
	}
}

func part(topic string, n int32, batch []byte) *runnelv1.ProducePartition {
	return &runnelv1.ProducePartition{Topic: topic, Partition: n, Batch: batch}
}

func TestProduceAnswersEveryPartitionOfARequest(t *testing.T) {
	for _, plain := range []bool{false, true} {
		t.Run(fmt.Sprintf("grpcCodec=%v", plain), func(t *testing.T) {
			h := newHarness(t, harnessOptions{plain: plain})
			h.rep1.next = 50
			c := h.produce()
			send(t, c, 9,
				part("t", 0, makeBatch(t, 3, 100, record.CodecNone)),
				part("t", 1, makeBatch(t, 2, 100, record.CodecZstd)),
				part("no", 0, makeBatch(t, 1, 1, record.CodecNone)),
				&runnelv1.ProducePartition{Topic: "t", Records: []*runnelv1.Record{
					{Value: []byte("v"), Headers: []*runnelv1.Header{{Key: "h", Value: []byte("x")}}},
					{Key: []byte{}, TimestampMs: 5},
				}})
			r := must[*runnelv1.ProduceResponse](t)(c.Recv())
			if r.GetCorrelationId() != 9 || len(r.GetResults()) != 4 {
				t.Fatalf("answer %v", r)
			}
			for i, want := range []int64{0, 50, 0, 3} {
				if res := r.GetResults()[i]; i != 2 && (res.GetError() != nil || res.GetBaseOffset() != want) {
					t.Errorf("result %d: %v, want base %d", i, res, want)
				}
			}
			wantReason(t, r.GetResults()[2].GetError(), runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_TOPIC)
			var got []record.Record
			if err := record.Each(h.rep.batches[1], 1<<20, func(_ int64, r record.Record) error {
				got = append(got, r)
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			if len(got) != 2 || string(got[0].Value) != "v" || got[0].Key != nil || got[0].Headers[0].Key != "h" ||
				got[0].TimestampMS != h.clock.Now().UnixMilli() || got[1].Key == nil || got[1].Value != nil || got[1].TimestampMS != 5 {
				t.Errorf("plain records became %+v", got)
			}
			if n := h.budget.inUse(); n != 0 {
				t.Errorf("%d bytes of the budget are still held", n)
			}
		})
	}
}

// recrc makes the checksum of a tampered batch right again.
func recrc(b []byte) []byte {
	binary.BigEndian.PutUint32(b[17:], crc32.Checksum(b[21:], crc32.MakeTable(crc32.Castagnoli)))
	return b
}

func TestProduceGivesEachMistakeItsReason(t *testing.T) {
	const (
		invalid = runnelv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT
		corrupt = runnelv1.ErrorReason_ERROR_REASON_CORRUPT_BATCH
		large   = runnelv1.ErrorReason_ERROR_REASON_BATCH_TOO_LARGE
	)
	ok := func() []byte { return makeBatch(t, 3, 100, record.CodecNone) }
	tampered := func(f func(b []byte)) []byte {
		b := ok()
		f(b)
		return recrc(b)
	}
	h := newHarness(t, harnessOptions{})
	h.rep.limits = record.Limits{MaxBytes: 4096, MaxRatio: 4}
	h.replicas.refuse("t/9", runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_PARTITION, "three partitions"))
	h.replicas.refuse("t/1", runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_NOT_LEADER, "not here"))
	c := h.produce()
	for i, tc := range []struct {
		name string
		p    *runnelv1.ProducePartition
		want runnelv1.ErrorReason
	}{
		{"unknown topic", part("nope", 0, ok()), runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_TOPIC},
		{"partition out of range", part("t", 9, ok()), runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_PARTITION},
		{"not the leader", part("t", 1, ok()), runnelv1.ErrorReason_ERROR_REASON_NOT_LEADER},
		{"neither batch nor records", part("t", 0, nil), invalid},
		{"too large", part("t", 0, makeBatch(t, 1, 5000, record.CodecNone)), large},
		{"plain records too large", &runnelv1.ProducePartition{Topic: "t", Records: []*runnelv1.Record{{Value: make([]byte, 5000)}}}, large},
		{"cut short", part("t", 0, ok()[:100]), corrupt},
		{"shorter than a header", part("t", 0, []byte("x")), corrupt},
		{"two batches", part("t", 0, append(ok(), ok()...)), corrupt},
		{"flipped bit", part("t", 0, func() []byte { b := ok(); b[len(b)-1] ^= 1; return b }()), corrupt},
		{"wrong magic", part("t", 0, tampered(func(b []byte) { b[16] = 1 })), corrupt},
		{"wrong count", part("t", 0, tampered(func(b []byte) { b[60] = 4; b[26] = 3 })), corrupt},
		{"offset delta does not match", part("t", 0, tampered(func(b []byte) { b[26] = 9 })), corrupt},
		{"unknown compression", part("t", 0, tampered(func(b []byte) { b[22] = 6 })), corrupt},
		{"not what its compression says", part("t", 0, tampered(func(b []byte) { b[22] = 4 })), corrupt},
		{"bomb", part("t", 0, makeBatch(t, 1, 4096*4+1, record.CodecZstd)), large},
	} {
		t.Run(tc.name, func(t *testing.T) {
			send(t, c, uint64(i), tc.p)
			r := must[*runnelv1.ProduceResponse](t)(c.Recv())
			e := r.GetResults()[0].GetError()
			if tc.name == "bomb" && e.GetReason() == corrupt {
				return // both say that it can never be taken; record decides which
			}
			wantReason(t, e, tc.want)
			if e.GetKind() != runnelv1.KindOf(tc.want) || e.GetMessage() == "" {
				t.Errorf("error %v", e)
			}
			if tc.name == "not the leader" && (e.GetLeaderId() != 2 || e.GetLeaderAddress() != "b2:9092" || e.GetLeaderTerm() != 9) {
				t.Errorf("hint %v, want broker 2 in term 9", e)
			}
		})
	}
	if len(h.rep.batches) != 0 {
		t.Errorf("%d bad batches were written", len(h.rep.batches))
	}
	// The stream survives all of that.
	send(t, c, 99, part("t", 0, ok()))
	if r := must[*runnelv1.ProduceResponse](t)(c.Recv()); r.GetResults()[0].GetError() != nil {
		t.Error(r)
	}
}

func TestErrorOfThePartitionReachesTheClientWithAHint(t *testing.T) {
	h := newHarness(t, harnessOptions{})
	shared := runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_NOT_LEADER, "stepped down")
	shared.LeaderId = 3
	h.rep.fail(shared)
	c := h.produce()
	send(t, c, 1, part("t", 0, makeBatch(t, 1, 1, record.CodecNone)))
	e := must[*runnelv1.ProduceResponse](t)(c.Recv()).GetResults()[0].GetError()
	if e.GetLeaderId() != 3 || e.GetLeaderAddress() != "b3:9092" {
		t.Errorf("hint %v", e)
	}
	if shared.GetLeaderAddress() != "" {
		t.Error("the partition's own error was changed")
	}
}

func TestBatchesOfAStreamKeepTheirOrder(t *testing.T) {
	h := newHarness(t, harnessOptions{limits: Limits{Decompressions: 1}})
	c := h.produce()
	const n = 200
	for i := range n {
		codec := record.CodecNone
		if i%3 == 0 {
			codec = record.CodecGzip // takes longer to check than its neighbours
		}
		send(t, c, uint64(i), part("t", 0, makeBatch(t, 1+i%5, 1+i*20, codec)))
	}
	var next int64
	for i := range n {
		r := must[*runnelv1.ProduceResponse](t)(c.Recv())
		if r.GetCorrelationId() != uint64(i) || r.GetResults()[0].GetBaseOffset() != next {
			t.Fatalf("answer %d is %v, want base %d", i, r, next)
		}
		next += int64(1 + i%5)
	}
}

func TestRule23ProduceStopsReadingOverBudget(t *testing.T) {
	h := newHarness(t, harnessOptions{budget: 1500})
	h.rep.hold = true
	c := h.produce()
	for i := range 3 {
		send(t, c, uint64(i), part("t", 0, makeBatch(t, 1, 1000, record.CodecNone)))
	}
	for i := range 3 {
		<-h.rep.got
		if i < 2 {
			<-h.budget.waiting // the next one stands at the gate
		}
		h.rep.release(1)
		must[*runnelv1.ProduceResponse](t)(c.Recv())
	}
	if h.rep.most != 1 {
		t.Errorf("%d requests were in flight at once, the budget is for one", h.rep.most)
	}
}

func TestRule23ARequestThatCannotBeServedGivesTheBudgetItsBytesBack(t *testing.T) {
	for _, plain := range []bool{false, true} { // our codec charges the budget before the request is read
		h := newHarness(t, harnessOptions{limits: Limits{PartitionsPerRequest: 1}, plain: plain})
		c := h.produce()
		send(t, c, 1, part("t", 0, makeBatch(t, 1, 10, record.CodecNone)), part("t", 1, makeBatch(t, 1, 10, record.CodecNone)))
		_, err := c.Recv()
		wantReason(t, runnelv1.FromStatus(err), runnelv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT)
		h.s.readers.Wait()
		if n := h.budget.inUse(); n != 0 {
			t.Errorf("gRPC's codec %v: %d bytes of the budget are lost", plain, n)
		}
	}
}

func TestProduceBoundsRequestsInFlight(t *testing.T) {
	h := newHarness(t, harnessOptions{limits: Limits{InFlightPerStream: 2}})
	h.rep.hold = true
	c := h.produce()
	const n = 10
	for i := range n {
		send(t, c, uint64(i), part("t", 0, makeBatch(t, 1, 10, record.CodecNone)))
	}
	for range n {
		<-h.rep.got
		h.rep.release(1)
		must[*runnelv1.ProduceResponse](t)(c.Recv())
	}
	if h.rep.most > 2 {
		t.Errorf("%d requests in flight at once, the limit is 2", h.rep.most)
	}
}

func TestAnswersAfterTheStreamEndedHarmNobody(t *testing.T) {
	h := newHarness(t, harnessOptions{})
	h.rep.hold = true
	ctx, cancel := context.WithCancel(h.ctx)
	c := must[produceClient](t)(h.client.Produce(ctx))
	for i := range 5 {
		send(t, c, uint64(i), part("t", 0, makeBatch(t, 1, 10, record.CodecNone)))
		<-h.rep.got
	}
	cancel()
	h.s.readers.Wait() // the stream is over on the broker too
	h.rep.release(5)
	if n := h.budget.inUse(); n != 0 {
		t.Errorf("%d bytes of the budget are lost", n)
	}
}

func TestClosedStreamIsAnsweredToTheLast(t *testing.T) {
	h := newHarness(t, harnessOptions{})
	h.rep.hold = true
	c := h.produce()
	for i := range 3 {
		send(t, c, uint64(i), part("t", 0, makeBatch(t, 1, 10, record.CodecNone)))
	}
	if err := c.CloseSend(); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		<-h.rep.got
	}
	h.rep.release(3)
	for range 3 {
		must[*runnelv1.ProduceResponse](t)(c.Recv())
	}
	if _, err := c.Recv(); err == nil || err.Error() != "EOF" {
		t.Errorf("stream ended with %v, want EOF", err)
	}
}

func TestStopEndsProduceStreams(t *testing.T) {
	t.Run("idle: retriable", func(t *testing.T) {
		h := newHarness(t, harnessOptions{})
		c := h.produce()
		send(t, c, 1, part("t", 0, makeBatch(t, 1, 10, record.CodecNone)))
		must[*runnelv1.ProduceResponse](t)(c.Recv())
		if err := h.s.Stop(h.ctx); err != nil {
			t.Fatal(err)
		}
		_, err := c.Recv()
		e := runnelv1.FromStatus(err)
		wantReason(t, e, reasonStopping)
		if e.GetKind() != runnelv1.ErrorKind_ERROR_KIND_RETRIABLE {
			t.Errorf("kind %v", e.GetKind())
		}
		c = h.produce()
		_, err = c.Recv()
		wantReason(t, runnelv1.FromStatus(err), reasonStopping)
	})
	t.Run("in flight: answered first", func(t *testing.T) {
		h := newHarness(t, harnessOptions{})
		h.rep.hold = true
		c := h.produce()
		send(t, c, 1, part("t", 0, makeBatch(t, 1, 10, record.CodecNone)))
		<-h.rep.got
		stopped := make(chan error, 1)
		go func() { stopped <- h.s.Stop(h.ctx) }()
		h.await(h.s.limits.StopGrace)
		h.rep.release(1)
		must[*runnelv1.ProduceResponse](t)(c.Recv())
		_, err := c.Recv()
		if e := runnelv1.FromStatus(err); e.GetKind() != runnelv1.ErrorKind_ERROR_KIND_RETRIABLE {
			t.Errorf("%v, want a retriable error", e)
		}
		if err := <-stopped; err != nil {
			t.Error(err)
		}
	})
	t.Run("in flight after the grace: indeterminate", func(t *testing.T) {
		h := newHarness(t, harnessOptions{})
		h.rep.hold = true
		c := h.produce()
		send(t, c, 1, part("t", 0, makeBatch(t, 1, 10, record.CodecNone)))
		<-h.rep.got
		stopped := make(chan error, 1)
		go func() { stopped <- h.s.Stop(h.ctx) }()
		h.await(h.s.limits.StopGrace)
		h.clock.advance(h.s.limits.StopGrace)
		_, err := c.Recv()
		e := runnelv1.FromStatus(err)
		wantReason(t, e, reasonStopping)
		if e.GetKind() != runnelv1.ErrorKind_ERROR_KIND_INDETERMINATE {
			t.Errorf("kind %v", e.GetKind())
		}
		if err := <-stopped; err != nil {
			t.Error(err)
		}
		h.rep.release(1)
	})
	t.Run("at the budget's gate: not written", func(t *testing.T) {
		h := newHarness(t, harnessOptions{budget: 100})
		h.rep.hold = true
		c := h.produce()
		send(t, c, 1, part("t", 0, makeBatch(t, 1, 100, record.CodecNone)))
		<-h.rep.got
		send(t, c, 2, part("t", 0, makeBatch(t, 1, 100, record.CodecNone)))
		<-h.budget.waiting
		stopped := make(chan error, 1)
		go func() { stopped <- h.s.Stop(h.ctx) }()
		h.await(h.s.limits.StopGrace)
		h.rep.release(1)
		must[*runnelv1.ProduceResponse](t)(c.Recv())
		_, err := c.Recv()
		wantReason(t, runnelv1.FromStatus(err), reasonStopping)
		if err := <-stopped; err != nil {
			t.Error(err)
		}
		if len(h.rep.batches) != 1 || h.budget.inUse() != 0 {
			t.Errorf("%d batches written, %d bytes held", len(h.rep.batches), h.budget.inUse())
		}
	})
}

func TestRequestBeyondTheLimitsEndsTheStream(t *testing.T) {
	for _, plain := range []bool{false, true} {
		h := newHarness(t, harnessOptions{limits: Limits{PartitionsPerRequest: 2, PlainRecordsPerRequest: 3}, plain: plain})
		c := h.produce()
		send(t, c, 1, part("a", 0, nil), part("b", 0, nil), part("c", 0, nil))
		_, err := c.Recv()
		wantReason(t, runnelv1.FromStatus(err), reasonInvalid)
		if plain {
			continue // only our codec counts before it allocates
		}
		c = h.produce()
		rec := &runnelv1.Record{Headers: []*runnelv1.Header{{}, {}, {}}}
		send(t, c, 1, &runnelv1.ProducePartition{Topic: "t", Records: []*runnelv1.Record{rec}})
		_, err = c.Recv()
		wantReason(t, runnelv1.FromStatus(err), reasonInvalid)
	}
}

// brokenReplica has a defect in its checks, or, with limits, in taking a batch.
type brokenReplica struct {
	replica // nil: calls panic
	limits  *record.Limits
}

func (b brokenReplica) Limits() record.Limits { return *b.limits }

func TestDefectIsAnInternalErrorForOneClient(t *testing.T) {
	h := newHarness(t, harnessOptions{})
	set := func(r replica) {
		h.replicas.mu.Lock()
		defer h.replicas.mu.Unlock()
		h.replicas.m["t/1"] = r
	}
	set(brokenReplica{})
	c := h.produce()
	batch := func() []byte { return makeBatch(t, 1, 1, record.CodecNone) }
	send(t, c, 1, part("t", 1, batch()), part("t", 0, batch()))
	r := must[*runnelv1.ProduceResponse](t)(c.Recv())
	wantReason(t, r.GetResults()[0].GetError(), reasonInternal)
	if e := r.GetResults()[1].GetError(); e != nil {
		t.Errorf("the other partition: %v", e)
	}

	set(brokenReplica{limits: &record.Limits{}})
	send(t, c, 2, part("t", 1, batch()))
	_, err := c.Recv()
	e := runnelv1.FromStatus(err)
	wantReason(t, e, reasonInternal)
	if strings.Contains(e.GetMessage(), "nil pointer") {
		t.Errorf("the client is told %q", e.GetMessage())
	}
	if n := h.budget.inUse(); n != 0 {
		t.Errorf("%d bytes of the budget are lost", n)
	}
}
