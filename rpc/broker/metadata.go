package broker

import (
	"context"

	"google.golang.org/grpc/metadata"

	"github.com/runnel-io/runnel/placement"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

const apiMetadata = "metadata"

// Metadata implements runnelv1.BrokerServer. Everything but the leaders comes from one state; leaders are as last heard.
func (s *Server) Metadata(_ context.Context, r *runnelv1.MetadataRequest) (*runnelv1.MetadataResponse, error) {
	s.metrics.requests.WithLabelValues(apiMetadata).Inc()
	if n := len(r.GetTopics()); n > s.limits.PartitionsPerRequest {
		return nil, runnelv1.ToStatus(s.metrics.error(apiMetadata, runnelv1.Errorf(reasonInvalid,
			"the request names %d topics: at most %d, or none for all", n, s.limits.PartitionsPerRequest)))
	}
	st := s.cluster.State()
	out := &runnelv1.MetadataResponse{ClusterId: st.ClusterID, ControllerId: s.cluster.ControllerID(), Revision: st.Revision}
	for _, id := range st.BrokerIDs() {
		b := st.Brokers[id]
		out.Brokers = append(out.Brokers, &runnelv1.BrokerInfo{
			Id: b.ID, Address: b.ClientAddr, Rack: b.Rack, Alive: s.cluster.Alive(b.ID), Version: b.Version,
		})
	}
	if r.GetNoTopics() {
		return out, nil
	}
	names := r.GetTopics()
	if len(names) == 0 {
		names = st.TopicNames()
	}
	for _, name := range names {
		t := st.Topics[name]
		if t == nil {
			out.Topics = append(out.Topics, &runnelv1.TopicMetadata{Name: name, Error: s.metrics.error(apiMetadata,
				unknownTopic(name))})
			continue
		}
		out.Topics = append(out.Topics, s.topicMetadata(t))
	}
	return out, nil
}

func (s *Server) topicMetadata(t *placement.Topic) *runnelv1.TopicMetadata {
	out := &runnelv1.TopicMetadata{Name: t.Name, Id: t.ID, Config: t.Config}
	for n := range t.Partitions {
		p := &t.Partitions[n]
		pm := &runnelv1.PartitionMetadata{Partition: int32(n), LeaderId: -1} //nolint:gosec // the controller bounds partitions
		if id, term, ok := s.cluster.Leader(p.Group); ok {
			pm.LeaderId, pm.Term = id, int64(term) //nolint:gosec // terms stay below 2^31 (RULES 12)
		}
		for _, r := range p.Replicas {
			if r.Learner {
				pm.Learners = append(pm.Learners, r.Broker)
			} else {
				pm.Replicas = append(pm.Replicas, r.Broker)
			}
		}
		out.Partitions = append(out.Partitions, pm)
	}
	return out
}

// header tells whoever has connected by a name, or by an address that others had before, who answers.
func (s *Server) header() metadata.MD {
	return runnelv1.BrokerHeader(s.id, s.cluster.State().ClusterID)
}
