package broker

import (
	"context"

	"google.golang.org/grpc"

	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

const apiInitProducer = "init_producer"

// InitProducer implements runnelv1.BrokerServer.
func (s *Server) InitProducer(ctx context.Context, _ *runnelv1.InitProducerRequest) (*runnelv1.InitProducerResponse, error) {
	s.metrics.requests.WithLabelValues(apiInitProducer).Inc()
	_ = grpc.SetHeader(ctx, s.header()) // fails outside of an RPC
	if s.isStopping() {
		return nil, runnelv1.ToStatus(s.metrics.error(apiInitProducer, s.stoppingError()))
	}
	id, err := s.producers.NextProducerID(ctx)
	if err != nil {
		e := runnelv1.AsError(err)
		if e.GetReason() == runnelv1.ErrorReason_ERROR_REASON_TIMEOUT {
			// An id that was allocated and not received is only skipped, so asking again is always right.
			e = &runnelv1.Error{Kind: runnelv1.ErrorKind_ERROR_KIND_RETRIABLE, Reason: e.GetReason(), Message: e.GetMessage()}
		}
		return nil, runnelv1.ToStatus(s.metrics.error(apiInitProducer, e))
	}
	return &runnelv1.InitProducerResponse{ProducerId: id}, nil
}
