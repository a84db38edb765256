package client

import (
	"context"

	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// Admin does an operator's work. Every call is tried on the brokers in turn while the error says that it can succeed
// later, until ctx ends. Errors are *Error.
type Admin struct {
	c *Client
}

// Admin gives the operator's side of the client.
func (c *Client) Admin() *Admin { return &Admin{c: c} }

// CreateTopic makes a topic. A topic that exists is the definite error TOPIC_EXISTS, also if an earlier attempt of
// this call made it.
func (a *Admin) CreateTopic(ctx context.Context, req *runnelv1.CreateTopicRequest) (*runnelv1.CreateTopicResponse, error) {
	return try(ctx, a.c, req, runnelv1.AdminClient.CreateTopic)
}

// DeleteTopic deletes a topic and its data.
func (a *Admin) DeleteTopic(ctx context.Context, req *runnelv1.DeleteTopicRequest) (*runnelv1.DeleteTopicResponse, error) {
	return try(ctx, a.c, req, runnelv1.AdminClient.DeleteTopic)
}

// ListTopics lists the topics.
func (a *Admin) ListTopics(ctx context.Context, req *runnelv1.ListTopicsRequest) (*runnelv1.ListTopicsResponse, error) {
	return try(ctx, a.c, req, runnelv1.AdminClient.ListTopics)
}

// DescribeTopic tells a topic's settings, replicas and leaders.
func (a *Admin) DescribeTopic(ctx context.Context, req *runnelv1.DescribeTopicRequest) (*runnelv1.DescribeTopicResponse, error) {
	return try(ctx, a.c, req, runnelv1.AdminClient.DescribeTopic)
}

// ListBrokers lists the brokers.
func (a *Admin) ListBrokers(ctx context.Context, req *runnelv1.ListBrokersRequest) (*runnelv1.ListBrokersResponse, error) {
	return try(ctx, a.c, req, runnelv1.AdminClient.ListBrokers)
}

// ClusterStatus tells what is wrong in the cluster, if anything.
func (a *Admin) ClusterStatus(ctx context.Context, req *runnelv1.ClusterStatusRequest) (*runnelv1.ClusterStatusResponse, error) {
	return try(ctx, a.c, req, runnelv1.AdminClient.ClusterStatus)
}
