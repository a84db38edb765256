package broker

import (
	"errors"
	"testing"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/runnel-io/runnel/partition/record"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// split makes a BufferSlice of pieces, as they come from the network.
func split(t *rapid.T, b []byte) mem.BufferSlice {
	var out mem.BufferSlice
	for len(b) > 0 {
		n := rapid.IntRange(1, len(b)).Draw(t, "piece")
		out = append(out, mem.SliceBuffer(b[:n]))
		b = b[n:]
	}
	return out
}

func TestCodecReadsProduceRequestsAsProtobufDoes(t *testing.T) {
	c := Codec(Limits{})
	bytesGen := rapid.SliceOfN(rapid.Byte(), 0, 50)
	rapid.Check(t, func(t *rapid.T) {
		want := &runnelv1.ProduceRequest{CorrelationId: rapid.Uint64().Draw(t, "id")}
		for range rapid.IntRange(0, 5).Draw(t, "parts") {
			p := &runnelv1.ProducePartition{
				Topic: rapid.StringMatching(`[a-z]{0,3}`).Draw(t, "topic"), Partition: rapid.Int32().Draw(t, "n"),
				Batch: bytesGen.Draw(t, "batch"),
			}
			for range rapid.IntRange(0, 3).Draw(t, "records") {
				r := &runnelv1.Record{TimestampMs: rapid.Int64().Draw(t, "ms")}
				if rapid.Bool().Draw(t, "hasKey") {
					r.Key = append([]byte{}, bytesGen.Draw(t, "key")...)
				}
				if rapid.Bool().Draw(t, "hasValue") {
					r.Value = append([]byte{}, bytesGen.Draw(t, "value")...)
				}
				for range rapid.IntRange(0, 2).Draw(t, "headers") {
					r.Headers = append(r.Headers, &runnelv1.Header{Key: "k", Value: bytesGen.Draw(t, "hv")})
				}
				p.Records = append(p.Records, r)
			}
			want.Partitions = append(want.Partitions, p)
		}
		b, err := proto.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		if rapid.Bool().Draw(t, "unknown field") { // of a newer client
			b = protowire.AppendBytes(protowire.AppendTag(b, 99, protowire.BytesType), []byte("new"))
			b = protowire.AppendFixed64(protowire.AppendTag(b, 98, protowire.Fixed64Type), 1)
		}
		m := &produceMessage{}
		if err := c.Unmarshal(split(t, b), m); err != nil || m.bad != nil {
			t.Fatal(err, m.bad)
		}
		if m.correlation != want.GetCorrelationId() || len(m.parts) != len(want.GetPartitions()) || m.size != len(b) {
			t.Fatalf("read %+v of %v", m, want)
		}
		for i, p := range want.GetPartitions() {
			got := m.parts[i]
			if got.topic != p.GetTopic() || got.partition != p.GetPartition() || len(got.records) != len(p.GetRecords()) {
				t.Fatalf("read %+v of %v", got, p)
			}
			if len(p.GetBatch()) == 0 {
				if got.buf != nil {
					t.Fatalf("a batch out of nothing: %v", got.buf)
				}
			} else if string(got.buf[record.EnvelopeLen:]) != string(p.GetBatch()) {
				t.Fatalf("batch %x, want %x", got.buf, p.GetBatch())
			}
			for j, r := range p.GetRecords() {
				if !proto.Equal(toProto(got.records[j]), normal(r)) {
					t.Fatalf("record %+v, want %v", got.records[j], r)
				}
			}
		}
	})
}

// normal makes empty header values nil or not nil alike.
func normal(r *runnelv1.Record) *runnelv1.Record {
	return toProto(fromProto(r))
}

func TestCodecRefusesGarbageWithoutHarm(t *testing.T) {
	c := Codec(Limits{PartitionsPerRequest: 10, PlainRecordsPerRequest: 10})
	rapid.Check(t, func(t *rapid.T) {
		b := rapid.SliceOf(rapid.Byte()).Draw(t, "garbage")
		if rapid.Bool().Draw(t, "almost") {
			good, err := proto.Marshal(&runnelv1.ProduceRequest{CorrelationId: 300, Partitions: []*runnelv1.ProducePartition{
				{Topic: "topic", Partition: 7, Batch: []byte("batch"), Records: []*runnelv1.Record{{Key: []byte("k"), Headers: []*runnelv1.Header{{Key: "h"}}}}},
			}})
			if err != nil {
				t.Fatal(err)
			}
			for range rapid.IntRange(1, 3).Draw(t, "flips") {
				good[rapid.IntRange(0, len(good)-1).Draw(t, "at")] ^= rapid.Byte().Draw(t, "flip")
			}
			b = good[:rapid.IntRange(0, len(good)).Draw(t, "cut")]
		}
		m := &produceMessage{}
		if err := c.Unmarshal(split(t, b), m); err != nil {
			t.Fatalf("garbage must not look like a defect: %v", err)
		}
		// What protobuf refuses for its structure is refused here too. (It also refuses UTF-8 in fields skipped here.)
		if m.bad == nil && proto.Unmarshal(b, &runnelv1.ProduceRequest{}) != nil {
			for _, p := range m.parts {
				if len(p.records) > 0 {
					return // header keys that are not UTF-8 are taken: Kafka clients send such
				}
			}
			t.Fatalf("read %+v of %x", m, b)
		}
	})
}

func TestCodecWritesFetchResponsesAsProtobufDoes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pool := newChunkPool(2048)
		m := &fetchMessage{FetchResponse: &runnelv1.FetchResponse{}, chunks: pool, chunk: pool.Get(0)}
		want := &runnelv1.FetchResponse{}
		for i := range rapid.IntRange(0, 5).Draw(t, "results") {
			b := rapid.SliceOfN(rapid.Byte(), 0, 900).Draw(t, "batches")
			res := &runnelv1.FetchPartitionResult{Topic: "t", Partition: int32(i), HighWatermark: rapid.Int64().Draw(t, "hw")}
			if rapid.Bool().Draw(t, "failed") {
				res.Error = runnelv1.Errorf(reasonNotLeader, "no")
			} else {
				res.Batches = append([]byte{}, b...)
			}
			want.Results = append(want.Results, proto.CloneOf(res))
			if len(res.GetBatches()) > 0 {
				res.Batches = append(m.room(), b...) // as a partition does; too much for the chunk goes elsewhere
			}
			m.add(res)
		}
		out, err := Codec(Limits{}).Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		m.release()
		got := &runnelv1.FetchResponse{}
		if err := proto.Unmarshal(out.Materialize(), got); err != nil {
			t.Fatal(err)
		}
		out.Free()
		if !proto.Equal(got, want) {
			t.Fatalf("wrote %v of %v", got, want)
		}
	})
}

func TestChunkIsNotReusedBeforeItIsWritten(t *testing.T) {
	puts := 0
	pool := newChunkPool(4096)
	counting := &countingPool{chunkPool: pool, puts: &puts}
	chunk := pool.Get(0)
	*chunk = append(*chunk, make([]byte, 4096)...)
	root := mem.NewBuffer(chunk, counting)
	part := root.Slice(10, 20)
	root.Free()
	if puts != 0 {
		t.Fatal("the chunk came back while a part of it was in use")
	}
	part.Free()
	if puts != 1 {
		t.Fatalf("the chunk came back %d times", puts)
	}
}

type countingPool struct {
	*chunkPool
	puts *int
}

func (c *countingPool) Put(b *[]byte) { *c.puts++ }

func BenchmarkDecodeProduce(b *testing.B) {
	msg, err := proto.Marshal(&runnelv1.ProduceRequest{Partitions: []*runnelv1.ProducePartition{{Topic: "t", Batch: make([]byte, 256<<10)}}})
	if err != nil {
		b.Fatal(err)
	}
	var in mem.BufferSlice
	for p := msg; len(p) > 0; p = p[min(len(p), 16<<10):] {
		in = append(in, mem.SliceBuffer(p[:min(len(p), 16<<10)]))
	}
	c := Codec(Limits{})
	b.SetBytes(int64(len(msg)))
	b.Run("ours", func(b *testing.B) {
		b.SetBytes(int64(len(msg)))
		for b.Loop() {
			if err := c.Unmarshal(in, &produceMessage{}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("protobuf", func(b *testing.B) {
		b.SetBytes(int64(len(msg)))
		for b.Loop() {
			m := &produceMessage{ProduceRequest: new(runnelv1.ProduceRequest)}
			if err := c.(*codec).CodecV2.Unmarshal(in, m); err != nil {
				b.Fatal(err)
			}
			m.unpack(Limits{}.withDefaults())
		}
	})
}

func TestCodecRefusesAFieldThatLeavesItsMessage(t *testing.T) {
	// A partition of two bytes whose number goes on in the byte after them.
	b := []byte{2<<3 | 2, 2, 2 << 3, 0x80, 0x01}
	m := &produceMessage{}
	if err := Codec(Limits{}).Unmarshal(mem.BufferSlice{mem.SliceBuffer(b)}, m); err != nil || m.bad == nil {
		t.Errorf("read %+v, %v", m.parts, err)
	}
}

// A stream that waits for the budget holds its request as it came, not a second time.
func TestRule23ARequestIsCopiedOnlyOnceTheBudgetHasRoom(t *testing.T) {
	c := Codec(Limits{})
	b, err := proto.Marshal(&runnelv1.ProduceRequest{CorrelationId: 3, Partitions: []*runnelv1.ProducePartition{{Topic: "t", Batch: []byte("batch")}}})
	if err != nil {
		t.Fatal(err)
	}
	full := errors.New("no room")
	for _, answer := range []error{full, nil} {
		asked := int64(0)
		m := &produceMessage{}
		m.admit = func(n int64) error {
			asked = n
			if len(m.parts) > 0 || m.correlation != 0 {
				t.Error("read before there was room")
			}
			return answer
		}
		if err := c.Unmarshal(mem.BufferSlice{mem.SliceBuffer(b)}, m); err != nil || m.bad != nil {
			t.Fatal(err, m.bad)
		}
		if asked != int64(len(b)) || !errors.Is(m.refused, answer) || m.admitted != (answer == nil) || len(m.parts) != map[bool]int{true: 1}[answer == nil] {
			t.Errorf("answered %v: asked for %d of %d bytes, refused %v, admitted %v, %d parts", answer, asked, len(b), m.refused, m.admitted, len(m.parts))
		}
	}
}

// A known field of another type than its own is an unknown one, as to protobuf: it is no empty key.
func TestCodecTakesAFieldOfAnotherTypeForNone(t *testing.T) {
	rec := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), 5) // the key's number
	rec = protowire.AppendBytes(protowire.AppendTag(rec, 4, protowire.BytesType), []byte("now"))
	rec = protowire.AppendBytes(protowire.AppendTag(rec, 2, protowire.BytesType), []byte("value"))
	part := protowire.AppendBytes(protowire.AppendTag(nil, 4, protowire.BytesType), rec)
	b := protowire.AppendBytes(protowire.AppendTag(nil, 2, protowire.BytesType), part)
	m := &produceMessage{}
	if err := Codec(Limits{}).Unmarshal(mem.BufferSlice{mem.SliceBuffer(b)}, m); err != nil || m.bad != nil {
		t.Fatal(err, m.bad)
	}
	got := m.parts[0].records[0]
	if got.Key != nil || got.TimestampMS != 0 || string(got.Value) != "value" {
		t.Errorf("read %+v", got)
	}
}
