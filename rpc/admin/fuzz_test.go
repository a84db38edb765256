package admin

import (
	"context"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/runnel-io/runnel/partition/env"
	"github.com/runnel-io/runnel/partition/env/allocs"
	"github.com/runnel-io/runnel/placement"
	"github.com/runnel-io/runnel/placement/controller"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// unary makes a call of arbitrary bytes.
func unary[M any, P interface {
	*M
	proto.Message
}, R any](f func(*Server, context.Context, P) (R, error)) func(*Server, context.Context, []byte) error {
	return func(s *Server, ctx context.Context, b []byte) error {
		m := P(new(M))
		if proto.Unmarshal(b, m) != nil {
			return nil // gRPC refuses it before
		}
		_, err := f(s, ctx, m)
		return err
	}
}

var calls = []func(*Server, context.Context, []byte) error{
	unary[runnelv1.CreateTopicRequest]((*Server).CreateTopic), unary[runnelv1.DeleteTopicRequest]((*Server).DeleteTopic),
	unary[runnelv1.AlterTopicRequest]((*Server).AlterTopic), unary[runnelv1.DescribeTopicRequest]((*Server).DescribeTopic),
	unary[runnelv1.ListTopicsRequest]((*Server).ListTopics), unary[runnelv1.ListBrokersRequest]((*Server).ListBrokers),
	unary[runnelv1.ClusterStatusRequest]((*Server).ClusterStatus), unary[runnelv1.DrainBrokerRequest]((*Server).DrainBroker),
	unary[runnelv1.UndrainBrokerRequest]((*Server).UndrainBroker), unary[runnelv1.RemoveBrokerRequest]((*Server).RemoveBroker),
	unary[runnelv1.DescribeDrainRequest]((*Server).DescribeDrain), unary[runnelv1.MovePartitionRequest]((*Server).MovePartition),
	unary[runnelv1.CancelMoveRequest]((*Server).CancelMove), unary[runnelv1.TransferLeadershipRequest]((*Server).TransferLeadership),
	unary[runnelv1.ListMovesRequest]((*Server).ListMoves), unary[runnelv1.PlanRequest]((*Server).Plan),
	unary[runnelv1.RecoverPartitionRequest]((*Server).RecoverPartition), unary[runnelv1.ListSettingsRequest]((*Server).ListSettings),
	unary[runnelv1.AlterSettingsRequest]((*Server).AlterSettings),
	func(s *Server, ctx context.Context, b []byte) error {
		_, err := s.ServePartitionStatus(ctx, b)
		if err == nil {
			return nil
		}
		return runnelv1.ToStatus(runnelv1.AsError(err))
	},
}

// stillClock stands still: no timer of it fires.
type stillClock struct{}

func (stillClock) Now() time.Time                            { return time.UnixMilli(1) }
func (stillClock) AfterFunc(time.Duration, func()) env.Timer { return noTimer{} }

// FuzzRequests makes every call that operators have, and the one of other brokers, with arbitrary contents: it is answered, or refused with
// a reason that is no defect, within bounded memory.
func FuzzRequests(f *testing.F) {
	for i, m := range []proto.Message{
		&runnelv1.CreateTopicRequest{Name: "t", Partitions: -1}, &runnelv1.DeleteTopicRequest{Name: "t"},
		&runnelv1.AlterTopicRequest{Name: "t", SetConfig: map[string]string{"retention.ms": "1"}, DeleteConfig: []string{"retention.md"}},
		&runnelv1.DescribeTopicRequest{Name: "t"}, &runnelv1.ListTopicsRequest{}, &runnelv1.ListBrokersRequest{}, &runnelv1.ClusterStatusRequest{},
		&runnelv1.DrainBrokerRequest{Broker: -1}, &runnelv1.UndrainBrokerRequest{Broker: 2}, &runnelv1.RemoveBrokerRequest{Broker: 3},
		&runnelv1.DescribeDrainRequest{Broker: 9}, &runnelv1.MovePartitionRequest{Topic: "t", Partition: 1, Brokers: []int32{1, 2, 3}},
		&runnelv1.CancelMoveRequest{Topic: "t", Partition: -1}, &runnelv1.TransferLeadershipRequest{Topic: "t", Partition: 7}, &runnelv1.ListMovesRequest{Topic: "u"},
		&runnelv1.PlanRequest{}, &runnelv1.RecoverPartitionRequest{Topic: "t", Keep: 1, Lost: []uint64{102, 103}, AcceptDataLoss: true},
	} {
		b, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(byte(i), b)
	}
	f.Add(byte(len(calls)-1), []byte(`{"format":1,"topics":{"t":[0,1,-1,7]},"all":true}`))
	cluster := &fakeCluster{st: stateWith(8, topicT(2)), leaders: map[uint64]int32{10: 1, 11: 2}, dead: map[int32]bool{3: true}, asked: make(chan struct{}, 1)}
	ctrl := &fakeController{overview: &controller.OverviewAnswer{}, topics: cluster.st.Topics}
	ctrl.f = func(controller.Request) (controller.Response, error) {
		return controller.Response{Revision: 8, Topic: topicT(2), Move: &placement.Move{ID: 3}}, nil
	}
	caller := &fakeCaller{calls: map[int32]int{}, f: func(context.Context, int32, []byte) ([]byte, error) {
		return nil, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_UNAVAILABLE, "not now")
	}}
	s := newServer(Config{Controller: ctrl, Cluster: cluster, Caller: caller, BrokerID: 1, Env: &env.Env{Clock: stillClock{}}},
		fakeStatuses{"t/0": {Leader: true, Term: 3, HW: 50, LogStart: 10, InSync: []uint64{101, 102, 103}}})
	over, cancel := context.WithCancel(context.Background())
	cancel() // nothing is waited for
	f.Fuzz(func(t *testing.T, which byte, b []byte) {
		var err error
		allocs.Most(t, 16<<20+200*uint64(len(b)), func() { err = calls[int(which)%len(calls)](s, over, b) })
		if err == nil {
			return
		}
		if e := runnelv1.FromStatus(err); e.GetMessage() == "" || e.GetReason() == runnelv1.ErrorReason_ERROR_REASON_INTERNAL {
			t.Fatalf("an operator is told %v", err)
		}
	})
}
