package client

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// AlterTopic changes a topic's settings, its number of partitions or its replication factor: one of them a call. A topic that is made
// under its name meanwhile is left alone.
func (a *Admin) AlterTopic(ctx context.Context, req *runnelv1.AlterTopicRequest) (*runnelv1.AlterTopicResponse, error) {
	return onOne(ctx, a, req.GetName(), req.GetTopicId(), func(id uint64) (*runnelv1.AlterTopicResponse, error) {
		req := proto.CloneOf(req)
		req.TopicId = id
		return retry(ctx, a.changer(), req, adminCall(runnelv1.AdminClient.AlterTopic))
	})
}

// ListSettings tells a broker's settings and where each value is from, or, of broker 0, what is set while brokers run.
func (a *Admin) ListSettings(ctx context.Context, req *runnelv1.ListSettingsRequest) (*runnelv1.ListSettingsResponse, error) {
	return retry(ctx, a.caller(), req, adminCall(runnelv1.AdminClient.ListSettings))
}

// AlterSettings sets and removes settings that brokers follow while they run.
func (a *Admin) AlterSettings(ctx context.Context, req *runnelv1.AlterSettingsRequest) (*runnelv1.AlterSettingsResponse, error) {
	return retry(ctx, a.changer(), req, adminCall(runnelv1.AdminClient.AlterSettings))
}

// MovePartition asks for a move of a partition's replicas and answers when it is recorded; ListMoves tells how far it is. A topic that
// is made under the topic's name meanwhile is left alone.
func (a *Admin) MovePartition(ctx context.Context, req *runnelv1.MovePartitionRequest) (*runnelv1.MovePartitionResponse, error) {
	return onOne(ctx, a, req.GetTopic(), req.GetTopicId(), func(id uint64) (*runnelv1.MovePartitionResponse, error) {
		req := proto.CloneOf(req)
		req.TopicId = id
		return retry(ctx, a.changer(), req, adminCall(runnelv1.AdminClient.MovePartition))
	})
}

// CancelMove turns a partition's move back. A partition without a move is the definite error UNKNOWN_MOVE, unless an
// earlier attempt of this call may have ended it. A move that begins meanwhile is left alone; where the call found none under way to name, it
// ends with the first attempt that may have turned one back, indeterminate.
func (a *Admin) CancelMove(ctx context.Context, req *runnelv1.CancelMoveRequest) (*runnelv1.CancelMoveResponse, error) {
	if req.GetMove() == 0 {
		t, err := a.lookUp(ctx, req.GetTopic())
		if err != nil {
			return nil, err
		}
		req = proto.CloneOf(req)
		for _, p := range t.GetPartitions() {
			if p.GetPartition() == req.GetPartition() {
				req.Move = p.GetMove().GetId()
			}
		}
	}
	if req.GetMove() == 0 {
		c := a.changer()
		c.once = true
		return retry(ctx, c, req, adminCall(runnelv1.AdminClient.CancelMove))
	}
	return retryOnce(ctx, a, req, runnelv1.AdminClient.CancelMove,
		runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_MOVE, &runnelv1.CancelMoveResponse{})
}

// TransferLeadership has a partition's leader hand over, and answers when it has.
func (a *Admin) TransferLeadership(ctx context.Context, req *runnelv1.TransferLeadershipRequest) (*runnelv1.TransferLeadershipResponse, error) {
	return retry(ctx, a.changer(), req, adminCall(runnelv1.AdminClient.TransferLeadership))
}

// ListMoves lists the moves under way, with their progress.
func (a *Admin) ListMoves(ctx context.Context, req *runnelv1.ListMovesRequest) (*runnelv1.ListMovesResponse, error) {
	return retry(ctx, a.caller(), req, adminCall(runnelv1.AdminClient.ListMoves))
}

// Plan tells what the controller would do next, and why. It changes nothing.
func (a *Admin) Plan(ctx context.Context, req *runnelv1.PlanRequest) (*runnelv1.PlanResponse, error) {
	return retry(ctx, a.caller(), req, adminCall(runnelv1.AdminClient.Plan))
}

// DrainBroker has a broker emptied; DescribeDrain tells how far that is.
func (a *Admin) DrainBroker(ctx context.Context, req *runnelv1.DrainBrokerRequest) (*runnelv1.DrainBrokerResponse, error) {
	return retry(ctx, a.changer(), req, adminCall(runnelv1.AdminClient.DrainBroker))
}

// UndrainBroker lets a broker have replicas again.
func (a *Admin) UndrainBroker(ctx context.Context, req *runnelv1.UndrainBrokerRequest) (*runnelv1.UndrainBrokerResponse, error) {
	return retry(ctx, a.changer(), req, adminCall(runnelv1.AdminClient.UndrainBroker))
}

// DescribeDrain tells what a broker has left and what blocks its drain, or would.
func (a *Admin) DescribeDrain(ctx context.Context, req *runnelv1.DescribeDrainRequest) (*runnelv1.DescribeDrainResponse, error) {
	return retry(ctx, a.caller(), req, adminCall(runnelv1.AdminClient.DescribeDrain))
}

// RemoveBroker removes an empty broker for good. One that is no member is the definite error UNKNOWN_BROKER, unless an
// earlier attempt of this call may have removed it.
func (a *Admin) RemoveBroker(ctx context.Context, req *runnelv1.RemoveBrokerRequest) (*runnelv1.RemoveBrokerResponse, error) {
	return retryOnce(ctx, a, req, runnelv1.AdminClient.RemoveBroker,
		runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_BROKER, &runnelv1.RemoveBrokerResponse{})
}

// RecoverPartition gives up a partition's majority that is lost for good. Call it first without AcceptDataLoss: it then only
// tells what would be lost, which the consent has to name.
func (a *Admin) RecoverPartition(ctx context.Context, req *runnelv1.RecoverPartitionRequest) (*runnelv1.RecoverPartitionResponse, error) {
	return retry(ctx, a.changer(), req, adminCall(runnelv1.AdminClient.RecoverPartition))
}

// retryOnce is retry for what can be done once only: gone is the error of doing it again. Where it is not certain, since an earlier attempt
// may have done it, it is success.
func retryOnce[Req, Resp any](ctx context.Context, a *Admin, req Req,
	f func(runnelv1.AdminClient, context.Context, Req, ...grpc.CallOption) (Resp, error), gone runnelv1.ErrorReason, done Resp,
) (Resp, error) {
	resp, err := retry(ctx, a.changer(), req, adminCall(f))
	if e := runnelv1.AsError(err); e.GetReason() == gone && e.GetKind() == runnelv1.ErrorKind_ERROR_KIND_INDETERMINATE {
		return done, nil
	}
	return resp, err
}
