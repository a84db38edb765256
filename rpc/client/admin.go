package client

import (
	"context"
	"crypto/rand"

	"google.golang.org/protobuf/proto"

	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// Admin does an operator's work. Every call is tried on the brokers in turn until one answers with success or a
// definite error, or ctx ends: give ctx a deadline. Errors are *Error.
type Admin struct {
	c *Client
}

// Admin gives the operator's side of the client.
func (c *Client) Admin() *Admin { return &Admin{c: c} }

func (a *Admin) caller() caller {
	return caller{refresh: a.c.refresh, conns: a.c.conns, patience: adminPatience}
}

// changer is caller for what changes something.
func (a *Admin) changer() caller {
	c := a.caller()
	c.changes = true
	return c
}

// CreateTopic makes a topic and waits for its leaders. A topic that was there before is the definite error TOPIC_EXISTS; one that an
// earlier attempt of this call made is success: all carry one request id, which is drawn if req has none. An older broker ignores that; so
// TOPIC_EXISTS is indeterminate after an attempt whose outcome is not known.
func (a *Admin) CreateTopic(ctx context.Context, req *runnelv1.CreateTopicRequest) (*runnelv1.CreateTopicResponse, error) {
	if req.GetRequestId() == "" {
		req = proto.CloneOf(req)
		req.RequestId = rand.Text()
	}
	return retry(ctx, a.changer(), req, adminCall(runnelv1.AdminClient.CreateTopic))
}

// DeleteTopic deletes a topic and its data. A topic that does not exist is the definite error UNKNOWN_TOPIC, unless an
// earlier attempt of this call may have deleted it. One that is made under its name meanwhile is left alone.
func (a *Admin) DeleteTopic(ctx context.Context, req *runnelv1.DeleteTopicRequest) (*runnelv1.DeleteTopicResponse, error) {
	const gone = runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_TOPIC
	resp, err := onOne(ctx, a, req.GetName(), req.GetTopicId(), func(id uint64) (*runnelv1.DeleteTopicResponse, error) {
		req := proto.CloneOf(req)
		req.TopicId = id
		return retryOnce(ctx, a, req, runnelv1.AdminClient.DeleteTopic, gone, &runnelv1.DeleteTopicResponse{})
	})
	if req.GetTopicId() == 0 && runnelv1.AsError(err).GetReason() == gone {
		return nil, runnelv1.Errorf(gone, "topic %q does not exist", req.GetName())
	}
	return resp, err
}

// ListTopics lists the topics.
func (a *Admin) ListTopics(ctx context.Context, req *runnelv1.ListTopicsRequest) (*runnelv1.ListTopicsResponse, error) {
	return retry(ctx, a.caller(), req, adminCall(runnelv1.AdminClient.ListTopics))
}

// DescribeTopic tells a topic's settings, replicas and leaders.
func (a *Admin) DescribeTopic(ctx context.Context, req *runnelv1.DescribeTopicRequest) (*runnelv1.DescribeTopicResponse, error) {
	resp, err := retry(ctx, a.caller(), req, adminCall(runnelv1.AdminClient.DescribeTopic))
	if runnelv1.AsError(err).GetReason() == runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_TOPIC {
		return nil, unknownTopic(req.GetName())
	}
	return resp, err
}

// ListBrokers lists the brokers.
func (a *Admin) ListBrokers(ctx context.Context, req *runnelv1.ListBrokersRequest) (*runnelv1.ListBrokersResponse, error) {
	return retry(ctx, a.caller(), req, adminCall(runnelv1.AdminClient.ListBrokers))
}

// ClusterStatus tells what is wrong in the cluster, if anything.
func (a *Admin) ClusterStatus(ctx context.Context, req *runnelv1.ClusterStatusRequest) (*runnelv1.ClusterStatusResponse, error) {
	return retry(ctx, a.caller(), req, adminCall(runnelv1.AdminClient.ClusterStatus))
}
