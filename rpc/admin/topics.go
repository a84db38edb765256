package admin

import (
	"context"
	"fmt"

	"github.com/runnel-io/runnel/placement"
	"github.com/runnel-io/runnel/placement/controller"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// maxRequestID bounds a request id, in bytes: the controller keeps it with the topic.
const maxRequestID = 64

// CreateTopic implements runnelv1.AdminServer. It answers when this broker knows a leader of every partition, and in any
// case before the client's deadline.
func (s *Server) CreateTopic(ctx context.Context, r *runnelv1.CreateTopicRequest) (*runnelv1.CreateTopicResponse, error) {
	const api = "create_topic"
	if err := s.begin(api); err != nil {
		return nil, err
	}
	if r.GetPartitions() < 0 || r.GetReplicationFactor() < 0 {
		return nil, s.fail(api, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT,
			"%d partitions with replication factor %d: neither may be below 0, and 0 means the default",
			r.GetPartitions(), r.GetReplicationFactor()))
	}
	if n := len(r.GetRequestId()); n > maxRequestID {
		return nil, s.fail(api, invalid("the request id has %d bytes: at most %d are allowed", n, maxRequestID))
	}
	wait, cancel := s.within(ctx, s.patience(ctx))
	defer cancel()
	res, err := s.controller.Do(wait, controller.CreateTopic{
		Name: r.GetName(), Partitions: int(r.GetPartitions()), RF: int(r.GetReplicationFactor()), Config: r.GetConfig(), RequestID: r.GetRequestId(),
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
	if err := s.awaitLeaders(ctx, wait, t, res.Revision); err != nil {
		return nil, s.fail(api, err)
	}
	return &runnelv1.CreateTopicResponse{
		Id: t.ID, Partitions: int32(len(t.Partitions)), ReplicationFactor: int32(t.ReplicationFactor()), //nolint:gosec // the controller bounds both
	}, nil
}

// awaitLeaders waits, until wait ends, for this broker to know the topic and a leader of each of its partitions. ctx is the
// client's, which lasts a little longer: the answer takes time too.
func (s *Server) awaitLeaders(ctx, wait context.Context, t *placement.Topic, revision uint64) error {
	var led, gone bool
	s.until(wait, func() bool {
		led, gone = s.ledOrGone(t, revision)
		return led || gone
	})
	switch {
	case gone:
		return runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_TOPIC, "topic %q was created and has been deleted since", t.Name)
	case led:
		return nil
	}
	missing := "this broker has not heard of it yet"
	if first, none := s.leaderless(t); none > 0 {
		have := "have"
		if none == 1 {
			have = "has"
		}
		ctx, cancel := s.within(ctx, whyWait)
		defer cancel()
		v := s.glance(t, first)
		s.ask(ctx, []*view{v}, false)
		missing = fmt.Sprintf("%d of %d partitions %s no leader yet: partition %d: ", none, len(t.Partitions), have, first)
		if why := v.leaderless(s.cluster.Alive); why != "" {
			missing += why
		} else {
			missing += "it was elected just now"
		}
	}
	e := runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_UNAVAILABLE,
		"topic %q was created, but %s; do not create it again, ask for its description", t.Name, missing)
	e.Kind = runnelv1.ErrorKind_ERROR_KIND_INDETERMINATE // it had an effect
	return e
}

// ledOrGone looks whether this broker knows a leader of each partition of a topic as it was at revision, or that the topic has
// been deleted since. Neither holds of a topic that this broker has not heard of yet.
func (s *Server) ledOrGone(t *placement.Topic, revision uint64) (led, gone bool) {
	st := s.cluster.State()
	if now := st.Topics[t.Name]; now == nil || now.ID != t.ID {
		return false, st.Revision >= revision
	}
	_, none := s.leaderless(t)
	return none == 0, false
}

// leaderless counts the partitions of which no leader is known, and gives the first of them.
func (s *Server) leaderless(t *placement.Topic) (first, count int) {
	for n := range t.Partitions {
		if _, _, ok := s.cluster.Leader(t.Partitions[n].Group); !ok {
			if count++; count == 1 {
				first = n
			}
		}
	}
	return first, count
}

// DeleteTopic implements runnelv1.AdminServer.
func (s *Server) DeleteTopic(ctx context.Context, r *runnelv1.DeleteTopicRequest) (*runnelv1.DeleteTopicResponse, error) {
	const api = "delete_topic"
	if err := s.begin(api); err != nil {
		return nil, err
	}
	if _, err := s.change(ctx, api, controller.DeleteTopic{Name: r.GetName(), ID: r.GetTopicId()}); err != nil {
		return nil, err
	}
	s.log.Info("topic deleted", "topic", r.GetName())
	return &runnelv1.DeleteTopicResponse{}, nil
}

// ListTopics implements runnelv1.AdminServer.
func (s *Server) ListTopics(context.Context, *runnelv1.ListTopicsRequest) (*runnelv1.ListTopicsResponse, error) {
	if err := s.begin("list_topics"); err != nil {
		return nil, err
	}
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

// DescribeTopic implements runnelv1.AdminServer. That there is no such topic is the controller's word: this broker may not have heard of
// one that was created. Newest, the rest is as well, and no other broker is asked.
func (s *Server) DescribeTopic(ctx context.Context, r *runnelv1.DescribeTopicRequest) (*runnelv1.DescribeTopicResponse, error) {
	const api = "describe_topic"
	if err := s.begin(api); err != nil {
		return nil, err
	}
	t, err := s.known(ctx, r.GetName(), r.GetNewest())
	if err != nil {
		return nil, s.fail(api, err)
	}
	out := &runnelv1.DescribeTopicResponse{Name: t.Name, Id: t.ID, Config: t.Config}
	if r.GetNewest() {
		for n := range t.Partitions {
			out.Partitions = append(out.Partitions, recorded(t, int32(n))) //nolint:gosec // the controller bounds partitions
		}
		return out, nil
	}
	for _, v := range s.view(ctx, []*placement.Topic{t}) {
		d := recorded(t, v.number)
		d.Reason = v.reason(s.cluster.Alive)
		if v.led {
			d.Leader, d.Term = v.leader, int64(v.term) //nolint:gosec // terms stay below 2^31
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

// recorded is a partition's description before anybody was asked how it is.
func recorded(t *placement.Topic, n int32) *runnelv1.PartitionDescription {
	p := &t.Partitions[n]
	d := &runnelv1.PartitionDescription{Partition: n, Leader: -1, LogStartOffset: -1, HighWatermark: -1, Move: recordedMove(t.Name, n, p)}
	for _, rep := range p.Replicas {
		if rep.Learner {
			d.Learners = append(d.Learners, rep.Broker)
		} else {
			d.Replicas = append(d.Replicas, rep.Broker)
		}
	}
	return d
}
