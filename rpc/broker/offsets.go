package broker

import (
	"context"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

const apiListOffsets = "list_offsets"

// ListOffsets implements runnelv1.BrokerServer. Partitions are looked up side by side, a few at a time: an end takes a
// round to the other replicas.
func (s *Server) ListOffsets(ctx context.Context, r *runnelv1.ListOffsetsRequest) (*runnelv1.ListOffsetsResponse, error) {
	s.metrics.requests.WithLabelValues(apiListOffsets).Inc()
	_ = grpc.SetHeader(ctx, s.header()) // fails outside of an RPC
	if n := len(r.GetPartitions()); n > s.limits.PartitionsPerRequest {
		return nil, runnelv1.ToStatus(s.metrics.error(apiListOffsets, runnelv1.Errorf(reasonInvalid,
			"the request names %d partitions: at most %d", n, s.limits.PartitionsPerRequest)))
	}
	if s.isStopping() {
		return nil, runnelv1.ToStatus(s.metrics.error(apiListOffsets, s.stoppingError()))
	}
	out := &runnelv1.ListOffsetsResponse{Results: make([]*runnelv1.ListOffsetsResult, len(r.GetPartitions()))}
	var g errgroup.Group
	g.SetLimit(s.limits.OffsetLookups)
	for i, p := range r.GetPartitions() {
		g.Go(func() error {
			return s.guard("list offsets", func() error {
				res := &runnelv1.ListOffsetsResult{Topic: p.GetTopic(), Partition: p.GetPartition()}
				at, e := s.lookUp(ctx, p)
				res.Offset, res.Error = at, s.metrics.error(apiListOffsets, s.hint(e, p.GetTopic(), p.GetPartition()))
				out.Results[i] = res
				return nil
			})
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return out, nil
}

// lookUp finds one offset. The offset of an error is -1, which no reader takes for a place in the log.
func (s *Server) lookUp(ctx context.Context, p *runnelv1.ListOffsetsPartition) (int64, *runnelv1.Error) {
	rep, e := s.replica(p.GetTopic(), p.GetPartition())
	if e != nil {
		return -1, e
	}
	var at int64
	var err error
	switch q := p.GetAt().(type) {
	case *runnelv1.ListOffsetsPartition_Start:
		if st := rep.Status(); !st.Leader {
			e := runnelv1.Errorf(reasonNotLeader, "broker %d does not lead %q partition %d", s.id, p.GetTopic(), p.GetPartition())
			if st.LeaderBroker != s.id {
				e.LeaderId, e.LeaderTerm = st.LeaderBroker, int64(st.Term) //nolint:gosec // terms stay below 2^31 (RULES 12)
			}
			return -1, e
		}
		at = rep.StartOffset()
	case *runnelv1.ListOffsetsPartition_End:
		at, err = rep.EndOffset(ctx)
	case *runnelv1.ListOffsetsPartition_TimestampMs:
		at, err = rep.OffsetAtTime(ctx, q.TimestampMs)
	default:
		return -1, runnelv1.Errorf(reasonInvalid, "%q partition %d: set start, end or timestamp_ms", p.GetTopic(), p.GetPartition())
	}
	if err != nil {
		return -1, s.fetchError(err, p.GetTopic(), p.GetPartition())
	}
	return at, nil
}
