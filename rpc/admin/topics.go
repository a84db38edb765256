package admin

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/runnel-io/runnel/placement"
	"github.com/runnel-io/runnel/placement/controller"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// CreateTopic implements runnelv1.AdminServer. It answers when this broker knows a leader of every partition.
func (s *Server) CreateTopic(ctx context.Context, r *runnelv1.CreateTopicRequest) (*runnelv1.CreateTopicResponse, error) {
	const api = "create_topic"
	s.metrics.requests.WithLabelValues(api).Inc()
	if r.GetPartitions() < 0 || r.GetReplicationFactor() < 0 {
		return nil, s.fail(api, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT,
			"%d partitions with replication factor %d: neither may be below 0, and 0 means the default",
			r.GetPartitions(), r.GetReplicationFactor()))
	}
	res, err := s.controller.Do(ctx, controller.CreateTopic{
		Name: r.GetName(), Partitions: int(r.GetPartitions()), RF: int(r.GetReplicationFactor()), Config: r.GetConfig(),
	})
	if err != nil {
		return nil, s.fail(api, err)
	}
	t := res.Topic
	if t == nil {
		return nil, s.fail(api, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_INTERNAL,
			"the controller created topic %q and did not say how: describe it", r.GetName()))
	}
	s.log.Info("topic created", "topic", t.Name, "id", t.ID, "partitions", len(t.Partitions), "rf", t.ReplicationFactor())
	if err := s.awaitLeaders(ctx, t, res.Revision); err != nil {
		return nil, s.fail(api, err)
	}
	return &runnelv1.CreateTopicResponse{
		Id: t.ID, Partitions: int32(len(t.Partitions)), ReplicationFactor: int32(t.ReplicationFactor()), //nolint:gosec // the controller bounds both
	}, nil
}

// awaitLeaders waits for this broker to know the topic and a leader of each of its partitions.
func (s *Server) awaitLeaders(ctx context.Context, t *placement.Topic, revision uint64) error {
	ctx, cancel := s.within(ctx, leaderWait)
	defer cancel()
	gone := false
	ok := s.until(ctx, func() bool {
		st := s.cluster.State()
		now := st.Topics[t.Name]
		if now == nil || now.ID != t.ID {
			gone = st.Revision >= revision
			return gone
		}
		return len(s.leaderless(t, 1)) == 0
	})
	switch {
	case gone:
		return runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_TOPIC, "topic %q was created and has been deleted since", t.Name)
	case ok:
		return nil
	}
	waiting := "this broker has not heard of it yet"
	if none := s.leaderless(t, len(t.Partitions)); len(none) > 0 {
		waiting = "these partitions have no leader yet: " + numbers(none)
	}
	return runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_UNAVAILABLE,
		"topic %q exists, but %s; do not create it again, ask for its description", t.Name, waiting)
}

// leaderless gives the first partitions, at most limit, of which no leader is known.
func (s *Server) leaderless(t *placement.Topic, limit int) []int {
	var none []int
	for n := range t.Partitions {
		if _, _, ok := s.cluster.Leader(t.Partitions[n].Group); !ok {
			if none = append(none, n); len(none) == limit {
				break
			}
		}
	}
	return none
}

// numbers writes a list of partitions, cut where nobody would read on.
func numbers(ns []int) string {
	const most = 20
	var out []string
	for i, n := range ns {
		if i == most {
			return strings.Join(out, ", ") + fmt.Sprintf(" and %d more", len(ns)-most)
		}
		out = append(out, strconv.Itoa(n))
	}
	return strings.Join(out, ", ")
}

// DeleteTopic implements runnelv1.AdminServer.
func (s *Server) DeleteTopic(ctx context.Context, r *runnelv1.DeleteTopicRequest) (*runnelv1.DeleteTopicResponse, error) {
	const api = "delete_topic"
	s.metrics.requests.WithLabelValues(api).Inc()
	res, err := s.controller.Do(ctx, controller.DeleteTopic{Name: r.GetName()})
	if err != nil {
		return nil, s.fail(api, err)
	}
	s.log.Info("topic deleted", "topic", r.GetName())
	// The deletion holds whether or not this broker sees it in time.
	ctx, cancel := s.within(ctx, viewWait)
	defer cancel()
	s.until(ctx, func() bool { return s.cluster.State().Revision >= res.Revision })
	return &runnelv1.DeleteTopicResponse{}, nil
}

// ListTopics implements runnelv1.AdminServer.
func (s *Server) ListTopics(context.Context, *runnelv1.ListTopicsRequest) (*runnelv1.ListTopicsResponse, error) {
	s.metrics.requests.WithLabelValues("list_topics").Inc()
	st := s.cluster.State()
	out := &runnelv1.ListTopicsResponse{}
	for _, name := range st.TopicNames() {
		t := st.Topics[name]
		out.Topics = append(out.Topics, &runnelv1.TopicSummary{
			Name: t.Name, Id: t.ID,
			Partitions: int32(len(t.Partitions)), ReplicationFactor: int32(t.ReplicationFactor()), //nolint:gosec // the controller bounds both
		})
	}
	return out, nil
}

// DescribeTopic implements runnelv1.AdminServer.
func (s *Server) DescribeTopic(ctx context.Context, r *runnelv1.DescribeTopicRequest) (*runnelv1.DescribeTopicResponse, error) {
	const api = "describe_topic"
	s.metrics.requests.WithLabelValues(api).Inc()
	st := s.cluster.State()
	t := st.Topics[r.GetName()]
	if t == nil {
		return nil, s.fail(api, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_TOPIC, "no topic is named %q", r.GetName()))
	}
	views := s.view(ctx, []*placement.Topic{t})
	out := &runnelv1.DescribeTopicResponse{Name: t.Name, Id: t.ID, Config: t.Config}
	for _, v := range views {
		d := &runnelv1.PartitionDescription{Partition: v.number, Leader: -1, LogStartOffset: -1, HighWatermark: -1, Reason: v.reason(s.cluster.Alive)}
		if v.led {
			d.Leader, d.Term = v.leader, int64(v.term) //nolint:gosec // terms stay below 2^31
		}
		for _, rep := range v.place.Replicas {
			if rep.Learner {
				d.Learners = append(d.Learners, rep.Broker)
			} else {
				d.Replicas = append(d.Replicas, rep.Broker)
			}
		}
		if v.status != nil {
			d.LogStartOffset, d.HighWatermark = v.status.LogStart, v.status.HW
			for _, rep := range v.place.Replicas {
				if v.inSync(rep, s.cluster.Alive) {
					d.InSync = append(d.InSync, rep.Broker)
				}
			}
		}
		out.Partitions = append(out.Partitions, d)
	}
	return out, nil
}
