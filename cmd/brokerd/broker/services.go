package broker

import (
	"context"
	"sync/atomic"

	"google.golang.org/grpc"

	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// lateBroker and lateAdmin stand for services that need the broker's id, which is known only after the client port
// listens. The gate keeps calls out until they are set.
type lateBroker struct {
	runnelv1.UnimplementedBrokerServer
	to atomic.Pointer[runnelv1.BrokerServer]
}

func (l *lateBroker) Produce(s grpc.BidiStreamingServer[runnelv1.ProduceRequest, runnelv1.ProduceResponse]) error {
	return (*l.to.Load()).Produce(s)
}

func (l *lateBroker) Fetch(s grpc.BidiStreamingServer[runnelv1.FetchRequest, runnelv1.FetchResponse]) error {
	return (*l.to.Load()).Fetch(s)
}

func (l *lateBroker) FetchOnce(ctx context.Context, r *runnelv1.FetchOnceRequest) (*runnelv1.FetchOnceResponse, error) {
	return (*l.to.Load()).FetchOnce(ctx, r)
}

func (l *lateBroker) ListOffsets(ctx context.Context, r *runnelv1.ListOffsetsRequest) (*runnelv1.ListOffsetsResponse, error) {
	return (*l.to.Load()).ListOffsets(ctx, r)
}

func (l *lateBroker) Metadata(ctx context.Context, r *runnelv1.MetadataRequest) (*runnelv1.MetadataResponse, error) {
	return (*l.to.Load()).Metadata(ctx, r)
}

func (l *lateBroker) InitProducer(ctx context.Context, r *runnelv1.InitProducerRequest) (*runnelv1.InitProducerResponse, error) {
	return (*l.to.Load()).InitProducer(ctx, r)
}

type lateAdmin struct {
	runnelv1.UnimplementedAdminServer
	to atomic.Pointer[runnelv1.AdminServer]
}

func (l *lateAdmin) CreateTopic(ctx context.Context, r *runnelv1.CreateTopicRequest) (*runnelv1.CreateTopicResponse, error) {
	return (*l.to.Load()).CreateTopic(ctx, r)
}

func (l *lateAdmin) DeleteTopic(ctx context.Context, r *runnelv1.DeleteTopicRequest) (*runnelv1.DeleteTopicResponse, error) {
	return (*l.to.Load()).DeleteTopic(ctx, r)
}

func (l *lateAdmin) ListTopics(ctx context.Context, r *runnelv1.ListTopicsRequest) (*runnelv1.ListTopicsResponse, error) {
	return (*l.to.Load()).ListTopics(ctx, r)
}

func (l *lateAdmin) DescribeTopic(ctx context.Context, r *runnelv1.DescribeTopicRequest) (*runnelv1.DescribeTopicResponse, error) {
	return (*l.to.Load()).DescribeTopic(ctx, r)
}

func (l *lateAdmin) ListBrokers(ctx context.Context, r *runnelv1.ListBrokersRequest) (*runnelv1.ListBrokersResponse, error) {
	return (*l.to.Load()).ListBrokers(ctx, r)
}

func (l *lateAdmin) ClusterStatus(ctx context.Context, r *runnelv1.ClusterStatusRequest) (*runnelv1.ClusterStatusResponse, error) {
	return (*l.to.Load()).ClusterStatus(ctx, r)
}

func (l *lateAdmin) AlterTopic(ctx context.Context, r *runnelv1.AlterTopicRequest) (*runnelv1.AlterTopicResponse, error) {
	return (*l.to.Load()).AlterTopic(ctx, r)
}

func (l *lateAdmin) ListSettings(ctx context.Context, r *runnelv1.ListSettingsRequest) (*runnelv1.ListSettingsResponse, error) {
	return (*l.to.Load()).ListSettings(ctx, r)
}

func (l *lateAdmin) AlterSettings(ctx context.Context, r *runnelv1.AlterSettingsRequest) (*runnelv1.AlterSettingsResponse, error) {
	return (*l.to.Load()).AlterSettings(ctx, r)
}

func (l *lateAdmin) MovePartition(ctx context.Context, r *runnelv1.MovePartitionRequest) (*runnelv1.MovePartitionResponse, error) {
	return (*l.to.Load()).MovePartition(ctx, r)
}

func (l *lateAdmin) CancelMove(ctx context.Context, r *runnelv1.CancelMoveRequest) (*runnelv1.CancelMoveResponse, error) {
	return (*l.to.Load()).CancelMove(ctx, r)
}

func (l *lateAdmin) TransferLeadership(ctx context.Context, r *runnelv1.TransferLeadershipRequest) (*runnelv1.TransferLeadershipResponse, error) {
	return (*l.to.Load()).TransferLeadership(ctx, r)
}

func (l *lateAdmin) ListMoves(ctx context.Context, r *runnelv1.ListMovesRequest) (*runnelv1.ListMovesResponse, error) {
	return (*l.to.Load()).ListMoves(ctx, r)
}

func (l *lateAdmin) Plan(ctx context.Context, r *runnelv1.PlanRequest) (*runnelv1.PlanResponse, error) {
	return (*l.to.Load()).Plan(ctx, r)
}

func (l *lateAdmin) DrainBroker(ctx context.Context, r *runnelv1.DrainBrokerRequest) (*runnelv1.DrainBrokerResponse, error) {
	return (*l.to.Load()).DrainBroker(ctx, r)
}

func (l *lateAdmin) UndrainBroker(ctx context.Context, r *runnelv1.UndrainBrokerRequest) (*runnelv1.UndrainBrokerResponse, error) {
	return (*l.to.Load()).UndrainBroker(ctx, r)
}

func (l *lateAdmin) DescribeDrain(ctx context.Context, r *runnelv1.DescribeDrainRequest) (*runnelv1.DescribeDrainResponse, error) {
	return (*l.to.Load()).DescribeDrain(ctx, r)
}

func (l *lateAdmin) RemoveBroker(ctx context.Context, r *runnelv1.RemoveBrokerRequest) (*runnelv1.RemoveBrokerResponse, error) {
	return (*l.to.Load()).RemoveBroker(ctx, r)
}

func (l *lateAdmin) RecoverPartition(ctx context.Context, r *runnelv1.RecoverPartitionRequest) (*runnelv1.RecoverPartitionResponse, error) {
	return (*l.to.Load()).RecoverPartition(ctx, r)
}
