package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	"github.com/runnel-io/runnel/partition/record"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// swift is a broker that does as little as possible, so that a benchmark measures the client.
type swift struct {
	runnelv1.UnimplementedBrokerServer
	parts int32
	next  []atomic.Int64
	batch []byte // what Fetch serves again and again
	count int64
}

func (s *swift) Metadata(_ context.Context, req *runnelv1.MetadataRequest) (*runnelv1.MetadataResponse, error) {
	t := &runnelv1.TopicMetadata{Name: "t", Id: 1}
	for n := range s.parts {
		t.Partitions = append(t.Partitions, &runnelv1.PartitionMetadata{Partition: n, LeaderId: 1, Term: 1})
	}
	return &runnelv1.MetadataResponse{Revision: 1, Topics: []*runnelv1.TopicMetadata{t},
		Brokers: []*runnelv1.BrokerInfo{{Id: 1, Address: "swift:1"}}}, nil
}

func (s *swift) InitProducer(context.Context, *runnelv1.InitProducerRequest) (*runnelv1.InitProducerResponse, error) {
	return &runnelv1.InitProducerResponse{ProducerId: 1}, nil
}

func (s *swift) ListOffsets(_ context.Context, req *runnelv1.ListOffsetsRequest) (*runnelv1.ListOffsetsResponse, error) {
	resp := &runnelv1.ListOffsetsResponse{}
	for _, p := range req.GetPartitions() {
		resp.Results = append(resp.Results, &runnelv1.ListOffsetsResult{Topic: p.GetTopic(), Partition: p.GetPartition()})
	}
	return resp, nil
}

func (s *swift) Produce(st runnelv1.Broker_ProduceServer) error {
	for {
		req, err := st.Recv()
		if err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		resp := &runnelv1.ProduceResponse{CorrelationId: req.GetCorrelationId()}
		for _, p := range req.GetPartitions() {
			h, err := record.ParseHeader(p.GetBatch())
			if err != nil {
				return err
			}
			base := s.next[p.GetPartition()].Add(int64(h.Count)) - int64(h.Count)
			resp.Results = append(resp.Results, &runnelv1.ProducePartitionResult{BaseOffset: base})
		}
		if err := st.Send(resp); err != nil {
			return err
		}
	}
}

func (s *swift) Fetch(st runnelv1.Broker_FetchServer) error {
	req, err := st.Recv()
	if err != nil {
		return err
	}
	credit := req.GetCreditBytes()
	at := make(map[int32]int64)
	for {
		for credit < int64(len(s.batch))*int64(s.parts) {
			req, err := st.Recv()
			if err != nil {
				return nil
			}
			credit += req.GetCreditBytes()
		}
		resp := &runnelv1.FetchResponse{}
		for n := range s.parts {
			b := bytes.Clone(s.batch)
			record.Stamp(b, at[n], 1)
			at[n] += s.count
			credit -= int64(len(b))
			resp.Results = append(resp.Results, &runnelv1.FetchPartitionResult{Topic: "t", Partition: n, Batches: b, NextOffset: at[n]})
		}
		if err := st.Send(resp); err != nil {
			return nil
		}
	}
}

func swiftClient(b *testing.B, parts int32, opts ...Option) *Client {
	b.Helper()
	const count = 1250
	recs := make([]record.Record, count)
	for i := range recs {
		recs[i] = record.Record{Value: bytes.Repeat([]byte("v"), 200), TimestampMS: 1}
	}
	batch, err := record.Encode(nil, recs, record.EncodeOptions{ProducerID: -1})
	if err != nil {
		b.Fatal(err)
	}
	s := &swift{parts: parts, next: make([]atomic.Int64, parts), batch: batch, count: count}
	lis := bufconn.Listen(8 << 20)
	srv := grpc.NewServer(grpc.Creds(insecure.NewCredentials()), grpc.MaxRecvMsgSize(64<<20), grpc.InitialWindowSize(windowBytes),
		grpc.InitialConnWindowSize(windowBytes), grpc.ReadBufferSize(ioBytes), grpc.WriteBufferSize(ioBytes))
	runnelv1.RegisterBrokerServer(srv, s)
	go func() { _ = srv.Serve(lis) }() // ends with Stop
	b.Cleanup(srv.Stop)
	dial := grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return lis.DialContext(ctx) })
	cl, err := New([]string{"swift:1"}, append([]Option{WithDialOptions(dial)}, opts...)...)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = cl.Close() })
	return cl
}

// BenchmarkProduce: one op is one record of 200 B. The broker's side of the same process is included.
func BenchmarkProduce(b *testing.B) {
	for _, codec := range []record.Codec{record.CodecNone, record.CodecLZ4} {
		b.Run(fmt.Sprint(codec), func(b *testing.B) {
			cl := swiftClient(b, 8, WithCompression(codec))
			ctx := context.Background()
			value := bytes.Repeat([]byte("v"), 200)
			var failed atomic.Int64
			promise := func(_ *Record, err error) {
				if err != nil {
					failed.Add(1)
				}
			}
			rs := make([]Record, 1<<20) // the caller's own records, made before
			b.SetBytes(200)
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				r := &rs[i&(1<<20-1)]
				*r = Record{Topic: "t", Partition: AnyPartition, Value: value}
				cl.Produce(ctx, r, promise)
			}
			if err := cl.Flush(ctx); err != nil || failed.Load() > 0 {
				b.Fatal(err, failed.Load())
			}
		})
	}
}

// BenchmarkRead: one op is one record of 200 B, including the broker's side of the same process.
func BenchmarkRead(b *testing.B) {
	cl := swiftClient(b, 8)
	r, err := cl.NewReader("t")
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(200)
	b.ReportAllocs()
	b.ResetTimer()
	n := 0
	for rec, err := range r.Records(context.Background()) {
		if err != nil {
			b.Fatal(err)
		}
		_ = rec.Value
		if n++; n >= b.N {
			break
		}
	}
}
