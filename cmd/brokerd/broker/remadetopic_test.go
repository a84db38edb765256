package broker_test

import (
	"context"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/runnel-io/runnel/cmd/brokerd/broker"
	"github.com/runnel-io/runnel/cmd/brokerd/broker/brokertest"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
	"github.com/runnel-io/runnel/rpc/client"
)

// losing has a client lose the first answer to a call, and does something else before it hears of that.
func losing(call string, then func()) client.Option {
	lost := false
	return client.WithDialOptions(grpc.WithUnaryInterceptor(
		func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
			err := invoke(ctx, method, req, reply, cc, opts...)
			if err != nil || lost || !strings.HasSuffix(method, "/"+call) {
				return err
			}
			lost = true
			then()
			return status.Error(codes.Unavailable, "the test lost the answer")
		}))
}

func TestAChangeWhoseAnswerIsLostLeavesTheTopicMadeNextAlone(t *testing.T) {
	t.Parallel()
	c := brokertest.Start(t, 2, brokertest.Edit(func(_ int, c *broker.Config) { c.ManualPlacement = true }))
	other := dial(t, c)
	describe := func() *runnelv1.DescribeTopicResponse {
		t.Helper()
		d, err := other.Admin().DescribeTopic(patient(t), &runnelv1.DescribeTopicRequest{Name: "orders", Newest: true})
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	remove := func() {
		t.Helper()
		if _, err := other.Admin().DeleteTopic(patient(t), &runnelv1.DeleteTopicRequest{Name: "orders"}); err != nil {
			t.Fatal(err)
		}
	}
	unknown := func(err error) bool {
		e := runnelv1.AsError(err)
		return e.GetReason() == runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_TOPIC && e.GetKind() == runnelv1.ErrorKind_ERROR_KIND_INDETERMINATE
	}
	for _, x := range []struct {
		call string
		do   func(a *client.Admin) error
		told func(err error) bool
	}{
		{"DeleteTopic", func(a *client.Admin) error {
			_, err := a.DeleteTopic(patient(t), &runnelv1.DeleteTopicRequest{Name: "orders"})
			return err
		}, func(err error) bool { return err == nil }},
		{"AlterTopic", func(a *client.Admin) error {
			_, err := a.AlterTopic(patient(t), &runnelv1.AlterTopicRequest{Name: "orders", Partitions: 2})
			return err
		}, unknown},
		{"AlterTopic", func(a *client.Admin) error {
			_, err := a.AlterTopic(patient(t), &runnelv1.AlterTopicRequest{Name: "orders", SetConfig: map[string]string{"retention.ms": "1"}})
			return err
		}, unknown},
		{"AlterTopic", func(a *client.Admin) error {
			_, err := a.AlterTopic(patient(t), &runnelv1.AlterTopicRequest{Name: "orders", ReplicationFactor: 2})
			return err
		}, unknown},
		{"MovePartition", func(a *client.Admin) error {
			to := int32(3) - describe().GetPartitions()[0].GetReplicas()[0]
			_, err := a.MovePartition(patient(t), &runnelv1.MovePartitionRequest{Topic: "orders", Brokers: []int32{to}})
			return err
		}, unknown},
	} {
		create(t, other, "orders", 1, 1)
		was := describe()
		var made *runnelv1.DescribeTopicResponse
		cl := dial(t, c, losing(x.call, func() {
			if x.call != "DeleteTopic" {
				remove()
			}
			create(t, other, "orders", 1, 1)
			made = describe()
			produce(t, other, "orders", 0, 10)
		}))
		if err := x.do(cl.Admin()); !x.told(err) {
			t.Errorf("%s: %v", x.call, err)
		}
		now := describe()
		if p := now.GetPartitions(); made.GetId() == was.GetId() || now.GetId() != made.GetId() || len(p) != 1 || len(p[0].GetReplicas()) != 1 ||
			p[0].GetReplicas()[0] != made.GetPartitions()[0].GetReplicas()[0] || p[0].GetMove() != nil || len(now.GetConfig()) != 0 {
			t.Errorf("%s: it was made as %v, and is %v", x.call, made, now)
		}
		wantEach(t, readAll(t, other, "orders"), 10)
		remove()
	}
}
