package broker

import (
	"context"
	"errors"
	"sync"

	"github.com/runnel-io/runnel/placement/controller"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

const apiInitProducer = "init_producer"

// InitProducer implements runnelv1.BrokerServer.
func (s *Server) InitProducer(ctx context.Context, _ *runnelv1.InitProducerRequest) (*runnelv1.InitProducerResponse, error) {
	s.metrics.requests.WithLabelValues(apiInitProducer).Inc()
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

// ProducerIDs hands out producer ids from blocks that the controller allocates. It implements Producers.
type ProducerIDs struct {
	do interface {
		Do(ctx context.Context, r controller.Request) (controller.Response, error)
	}
	broker func() int32

	// turn is a lock that a caller can stop waiting for: whoever holds it may be asking the controller.
	turn chan struct{}

	mu   sync.Mutex
	next int64
	left int64
}

// NewProducerIDs makes an empty source; the first id asks the controller for a block. broker tells this broker's id.
func NewProducerIDs(do interface {
	Do(ctx context.Context, r controller.Request) (controller.Response, error)
}, broker func() int32) *ProducerIDs {
	return &ProducerIDs{do: do, broker: broker, turn: make(chan struct{}, 1)}
}

// NextProducerID implements Producers. Errors are the controller's.
func (p *ProducerIDs) NextProducerID(ctx context.Context) (int64, error) {
	if id, ok := p.take(); ok {
		return id, nil
	}
	select {
	case p.turn <- struct{}{}:
		defer func() { <-p.turn }()
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	for {
		if id, ok := p.take(); ok {
			return id, nil
		}
		r, err := p.do.Do(ctx, controller.AllocateProducers{Broker: p.broker()})
		if err != nil {
			return 0, err
		}
		if r.Producers <= 0 {
			return 0, errors.New("the controller allocated an empty block of producer ids")
		}
		p.mu.Lock()
		p.next, p.left = r.FirstProducer, r.Producers
		p.mu.Unlock()
	}
}

func (p *ProducerIDs) take() (int64, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.left == 0 {
		return 0, false
	}
	p.left--
	p.next++
	return p.next - 1, true
}
