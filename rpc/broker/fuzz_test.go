package broker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"
	"unicode/utf8"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/runnel-io/runnel/partition/env"
	"github.com/runnel-io/runnel/partition/env/allocs"
	"github.com/runnel-io/runnel/partition/record"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// stillClock stands still: no timer of it fires.
type stillClock struct{}

func (stillClock) Now() time.Time                            { return time.UnixMilli(1_700_000_000_000) }
func (c stillClock) Wall() time.Time                         { return c.Now() }
func (stillClock) AfterFunc(time.Duration, func()) env.Timer { return stillTimer{} }

type stillTimer struct{}

func (stillTimer) Stop() bool               { return true }
func (stillTimer) Reset(time.Duration) bool { return true }

// fuzzServer has the partitions t/0 and t/1, with something in them, and no connections.
func fuzzServer(t testing.TB, l Limits) (*Server, []*fakeReplica) {
	reps := []*fakeReplica{newFakeReplica(), newFakeReplica()}
	m := map[string]replica{}
	for i, r := range reps {
		r.append(t, 3, 20)
		r.append(t, 2, 50_000)
		r.append(t, 1, 20)
		m[fmt.Sprintf("t/%d", i)] = r
	}
	return newServer(Config{
		Cluster: newFakeCluster(), BrokerID: 1, Limits: l, Env: &env.Env{Clock: stillClock{}}, Log: slog.New(slog.DiscardHandler),
	}, &fakeReplicas{m: m, e: map[string]*runnelv1.Error{}}, newFakeBudget(64<<20)), reps
}

// refusal fails on an error that a client could not act on, and on INTERNAL, which stands for a defect.
func refusal(t *testing.T, err error) {
	t.Helper()
	e := runnelv1.AsError(err)
	if e.GetMessage() == "" || e.GetReason() == reasonInternal || e.GetReason() == runnelv1.ErrorReason_ERROR_REASON_UNSPECIFIED {
		t.Fatalf("a client is told %v (%v)", e, err)
	}
}

// FuzzProduceRequest sends arbitrary bytes as a produce request. The hand-made decoder reads what protobuf's own reads, within its limits and
// in bounded memory, and each batch is then written or refused with a reason.
func FuzzProduceRequest(f *testing.F) {
	limits := Limits{PartitionsPerRequest: 16, PlainRecordsPerRequest: 64}
	good := makeBatch(f, 3, 20, record.CodecNone)
	for _, r := range []*runnelv1.ProduceRequest{
		{CorrelationId: 7, Partitions: []*runnelv1.ProducePartition{{Topic: "t", Batch: good}, {Topic: "t", Partition: 1, Batch: makeBatch(f, 2, 9, record.CodecZstd)}}},
		{CorrelationId: 1 << 63, Partitions: []*runnelv1.ProducePartition{{Topic: "t", Records: []*runnelv1.Record{
			{Key: []byte("k"), Value: []byte{}, TimestampMs: -1, Headers: []*runnelv1.Header{{Key: "h", Value: []byte("v")}, {}}}, {}}}}},
		{Partitions: []*runnelv1.ProducePartition{{Topic: "none", Partition: -1}, {Topic: "t", Partition: 9, Batch: good[:30]}, {}}},
	} {
		b, err := proto.Marshal(r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add(protowire.AppendVarint(protowire.AppendTag(nil, 2, protowire.BytesType), 1<<40))
	f.Add(bytes.Repeat([]byte{0x12, 0}, 40))                                   // more partitions than a request may name
	f.Add(append([]byte{0x12, 0x90, 1}, bytes.Repeat([]byte{0x22, 0}, 72)...)) // more records
	f.Add([]byte{0x13, 0x14})                                                  // a group, which nobody sends any more
	s, _ := fuzzServer(f, limits)
	c := &codec{limits: limits.withDefaults()}
	f.Fuzz(func(t *testing.T, b []byte) {
		m := &produceMessage{}
		allocs.Most(t, 4<<20+100*uint64(len(b)), func() {
			if err := c.Unmarshal(mem.BufferSlice{mem.SliceBuffer(b)}, m); err != nil {
				t.Fatalf("what a client sends must not look like a defect: %v", err)
			}
		})
		if len(m.parts) > limits.PartitionsPerRequest {
			t.Fatalf("%d partitions", len(m.parts))
		}
		var want runnelv1.ProduceRequest
		theirs := proto.Unmarshal(b, &want)
		if m.bad != nil {
			return
		}
		if theirs == nil {
			sameRequest(t, m, &want)
		}
		for i := range m.parts {
			in := &m.parts[i]
			rep, e := s.replica(in.topic, in.partition)
			var h record.Header
			var buf []byte
			if e == nil {
				h, buf, e = s.check(context.Background(), rep, in)
			}
			if e != nil {
				refusal(t, e)
				continue
			}
			if h.Count < 1 || h.Size != len(buf)-record.EnvelopeLen || record.CheckCRC(buf[record.EnvelopeLen:]) != nil {
				t.Fatalf("%+v was let in, of %d bytes", h, len(buf))
			}
		}
	})
}

// sameRequest compares with what protobuf read, where both take it: a topic's last value counts, and a batch goes before records.
func sameRequest(t *testing.T, m *produceMessage, want *runnelv1.ProduceRequest) {
	if m.correlation != want.GetCorrelationId() || len(m.parts) != len(want.GetPartitions()) {
		t.Fatalf("read %d partitions of request %d, protobuf %d of %d", len(m.parts), m.correlation, len(want.GetPartitions()), want.GetCorrelationId())
	}
	for i, p := range want.GetPartitions() {
		got := m.parts[i]
		if got.topic != p.GetTopic() || got.partition != p.GetPartition() || len(got.records) != len(p.GetRecords()) || !utf8.ValidString(got.topic) {
			t.Fatalf("partition %d: read %+v, protobuf %v", i, got, p)
		}
		if len(p.GetBatch()) > 0 && !bytes.Equal(got.buf[record.EnvelopeLen:], p.GetBatch()) {
			t.Fatalf("partition %d: another batch than protobuf's", i)
		}
		for j, r := range p.GetRecords() {
			if !proto.Equal(toProto(got.records[j]), normal(r)) {
				t.Fatalf("partition %d record %d: read %+v, protobuf %v", i, j, got.records[j], r)
			}
		}
	}
}

// FuzzFetchRequest asks for whatever: a long poll and the opening of a stream are answered, or refused for a reason, and an answer holds
// no more than its limit and one batch.
func FuzzFetchRequest(f *testing.F) {
	for _, r := range []*runnelv1.FetchOnceRequest{
		{Partitions: []*runnelv1.FetchPartition{{Topic: "t"}, {Topic: "t", Partition: 1, Offset: 5}}, MaxBytes: 100, MinBytes: 1},
		{Partitions: []*runnelv1.FetchPartition{{Topic: "t", Offset: -1}}, PlainRecords: true},
		{Partitions: []*runnelv1.FetchPartition{{Topic: "t"}, {Topic: "t"}}, MaxBytes: -5, MinBytes: 1 << 30},
		{Partitions: []*runnelv1.FetchPartition{{Topic: "t", Offset: 1 << 62}, {Topic: "u", Partition: 7}}, AnyReplica: true, PlainRecords: true},
		{},
	} {
		b, err := proto.Marshal(r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	s, reps := fuzzServer(f, Limits{PartitionsPerRequest: 16, ResponseBytes: 64 << 10, FetchOnceBytes: 64 << 10})
	f.Fuzz(func(t *testing.T, b []byte) {
		var r runnelv1.FetchOnceRequest
		if proto.Unmarshal(b, &r) != nil {
			return
		}
		r.MaxWaitMs = 0 // what there is not is not waited for
		st := &fetchStream{s: s, wake: make(chan struct{}, 1)}
		if e := st.open(&runnelv1.FetchRequest{Partitions: r.GetPartitions(), AnyReplica: r.GetAnyReplica()}); e != nil {
			refusal(t, e)
		}
		out, err := s.FetchOnce(t.Context(), &r)
		for _, rep := range reps {
			for len(rep.parked) > 0 {
				<-rep.parked
			}
		}
		if err != nil {
			if !errors.Is(err, context.Canceled) {
				refusal(t, err)
			}
			return
		}
		size := 0
		for i, res := range out.GetResults() {
			if e := res.GetResult().GetError(); e != nil {
				refusal(t, e)
			}
			if res.GetResult().GetNextOffset() < r.GetPartitions()[i].GetOffset() {
				t.Fatalf("from offset %d on to %d", r.GetPartitions()[i].GetOffset(), res.GetResult().GetNextOffset())
			}
			size += len(res.GetResult().GetBatches())
		}
		if size > 64<<10+101_000 { // and one batch
			t.Fatalf("an answer of %d bytes", size)
		}
	})
}
