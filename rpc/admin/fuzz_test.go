package admin

import (
	"context"
	"encoding/json"
	"strings"
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
		r, err := f(s, ctx, m)
		if err != nil {
			return err
		}
		_, err = proto.Marshal(any(r).(proto.Message)) // or gRPC could not send it
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
		out, err := s.ServePartitionStatus(ctx, b)
		if err != nil {
			return runnelv1.ToStatus(runnelv1.AsError(err))
		}
		_, err = readStatus(out) // whoever asked must be able to
		return err
	},
}

// stillClock stands still: no timer of it fires.
type stillClock struct{}

func (stillClock) Now() time.Time                            { return time.UnixMilli(1) }
func (c stillClock) Wall() time.Time                         { return c.Now() }
func (stillClock) AfterFunc(time.Duration, func()) env.Timer { return noTimer{} }

// answering is other brokers that all answer the same, or none at all.
type answering struct{ answer []byte }

func (a *answering) Call(context.Context, int32, string, []byte) ([]byte, error) {
	if len(a.answer) == 0 {
		return nil, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_UNAVAILABLE, "not now")
	}
	return a.answer, nil
}

// unreadable is what is said of a broker whose answer is none; nothing else may be told as a defect.
const unreadable = " told its settings in "

// FuzzRequests makes every call that operators have, and the one of other brokers, with arbitrary contents, and has other brokers answer
// arbitrarily what they are asked for it: it is answered, or refused with a reason that is no defect, within bounded memory.
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
		f.Add(byte(i), b, []byte(nil))
	}
	f.Add(byte(len(calls)-1), []byte(`{"format":1,"topics":{"t":[0,1,-1,7]},"all":true}`), []byte(nil))
	cluster := &fakeCluster{st: stateWith(8, topicT(2)), leaders: map[uint64]int32{10: 1, 11: 2}, dead: map[int32]bool{3: true}, asked: make(chan struct{}, 1)}
	ctrl := &fakeController{overview: &controller.OverviewAnswer{}, topics: cluster.st.Topics}
	ctrl.f = func(controller.Request) (controller.Response, error) {
		return controller.Response{Revision: 8, Topic: topicT(2), Move: &placement.Move{ID: 3}}, nil
	}
	caller := &answering{}
	for _, asks := range []struct {
		which byte
		m     proto.Message
	}{
		{3, &runnelv1.DescribeTopicRequest{Name: "t"}}, {3, &runnelv1.DescribeTopicRequest{Name: "t", Newest: true}}, {6, &runnelv1.ClusterStatusRequest{}},
		{16, &runnelv1.RecoverPartitionRequest{Topic: "t", Partition: 1, Keep: 2}}, {17, &runnelv1.ListSettingsRequest{Broker: 2}},
	} {
		b, err := proto.Marshal(asks.m)
		if err != nil {
			f.Fatal(err)
		}
		for _, answer := range fuzzAnswers(f) {
			f.Add(asks.which, b, answer)
		}
	}
	s := newServer(Config{Controller: ctrl, Cluster: cluster, Caller: caller, BrokerID: 1, Env: &env.Env{Clock: stillClock{}}},
		fakeStatuses{"t/0": {Leader: true, Term: 3, HW: 50, LogStart: 10, InSync: []uint64{101, 102, 103}}})
	over, cancel := context.WithCancel(context.Background())
	cancel() // nothing is waited for
	f.Fuzz(func(t *testing.T, which byte, b, answer []byte) {
		caller.answer = answer
		var err error
		allocs.Most(t, 16<<20+200*uint64(len(b)+len(answer)), func() { err = calls[int(which)%len(calls)](s, over, b) })
		if err == nil {
			return
		}
		e := runnelv1.FromStatus(err)
		if strings.Contains(e.GetMessage(), unreadable) {
			if a, err := readSettings(2, answer); err == nil {
				t.Fatalf("%v of the answer %+v", e, a)
			}
			if strings.Contains(e.GetMessage(), "format 1 and") {
				t.Fatalf("a format is named that is known: %v", e)
			}
			return
		}
		if e.GetMessage() == "" || e.GetReason() == runnelv1.ErrorReason_ERROR_REASON_INTERNAL {
			t.Fatalf("an operator is told %v", err)
		}
	})
}

// fuzzAnswers are what brokers say of partitions and of settings, and what none says.
func fuzzAnswers(f *testing.F) [][]byte {
	out := [][]byte{[]byte(`{"format":1,"partitions":[null],"troubles":null}`), []byte(`{"format":2}`), []byte(`{"format":1,"settings":7}`), []byte("null")}
	for _, a := range []any{
		statusAnswer{Format: statusFormat,
			Partitions: []partitionInfo{{Topic: "t", Partition: 1, Term: 4, HW: 7, InSync: []uint64{112, 111}}, {Topic: "t", Partition: -1, Term: 1 << 63, HW: -1}},
			Troubles:   []trouble{{"t", 0, quarantined + "disk"}}, Replicas: []replicaInfo{{Topic: "t", Partition: 1, Replica: 112, HW: 1<<63 - 1, LogStart: -5}}},
		settingsAnswer{Format: settingsFormat, Settings: []Setting{{Name: "log.level", Value: "debug", Base: "warn", Source: SourceBroker, Reload: ReloadRuntime, Problem: "p"}}},
	} {
		b, err := json.Marshal(a)
		if err != nil {
			f.Fatal(err)
		}
		out = append(out, b)
	}
	return out
}
