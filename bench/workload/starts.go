package workload

import (
	"context"
	"sync"

	"google.golang.org/grpc"

	"github.com/runnel-io/runnel/bench/check"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
	"github.com/runnel-io/runnel/rpc/client"
)

// starts records the log starts that brokers tell a reader, as they come over its connections: the SDK goes on at one of them where
// retention has overtaken it, and at nothing else.
type starts struct {
	number map[Slot]int32
	rec    *check.Recorder

	mu      sync.Mutex
	highest map[Slot]int64
}

func newStarts(number map[Slot]int32, rec *check.Recorder) *starts {
	return &starts{number: number, rec: rec, highest: map[Slot]int64{}}
}

// option has a client's answers looked at.
func (s *starts) option() client.Option {
	return client.WithDialOptions(grpc.WithChainUnaryInterceptor(s.unary), grpc.WithChainStreamInterceptor(s.stream))
}

// saw records a start that is above those told before.
func (s *starts) saw(at Slot, offset int64) {
	slot, ok := s.number[at]
	s.mu.Lock()
	defer s.mu.Unlock()
	if ok && offset > s.highest[at] {
		s.highest[at] = offset
		s.rec.Start(check.Start{Partition: slot, Offset: offset})
	}
}

func (s *starts) unary(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	err := invoke(ctx, method, req, reply, cc, opts...)
	asked, ok := req.(*runnelv1.ListOffsetsRequest)
	if err != nil || !ok {
		return err
	}
	forStart := map[Slot]bool{}
	for _, p := range asked.GetPartitions() {
		forStart[Slot{p.GetTopic(), p.GetPartition()}] = p.GetStart()
	}
	for _, r := range reply.(*runnelv1.ListOffsetsResponse).GetResults() {
		if at := (Slot{r.GetTopic(), r.GetPartition()}); forStart[at] && r.GetError() == nil {
			s.saw(at, r.GetOffset())
		}
	}
	return nil
}

func (s *starts) stream(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	st, err := open(ctx, desc, cc, method, opts...)
	if err != nil {
		return nil, err
	}
	return &startsStream{st, s}, nil
}

type startsStream struct {
	grpc.ClientStream
	s *starts
}

// RecvMsg looks at what is fetched.
func (x *startsStream) RecvMsg(m any) error {
	err := x.ClientStream.RecvMsg(m)
	if fetched, ok := m.(*runnelv1.FetchResponse); ok && err == nil {
		for _, r := range fetched.GetResults() {
			x.s.saw(Slot{r.GetTopic(), r.GetPartition()}, r.GetLogStartOffset())
		}
	}
	return err
}
