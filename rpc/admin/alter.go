package admin

import (
	"context"
	"slices"

	"github.com/runnel-io/runnel/partition"
	"github.com/runnel-io/runnel/placement"
	"github.com/runnel-io/runnel/placement/controller"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// AlterTopic implements runnelv1.AdminServer. After more partitions it waits for their leaders as long as it may, and
// answers in any case.
func (s *Server) AlterTopic(ctx context.Context, r *runnelv1.AlterTopicRequest) (*runnelv1.AlterTopicResponse, error) {
	const api = "alter_topic"
	if err := s.begin(api); err != nil {
		return nil, err
	}
	if err := oneChange(r); err != nil {
		return nil, s.fail(api, err)
	}
	wait, end := s.within(ctx, s.patience(ctx))
	defer end()
	req, err := s.alteration(wait, r)
	if err != nil {
		return nil, s.fail(api, err)
	}
	res, err := s.change(wait, api, req)
	if err != nil {
		return nil, err
	}
	t := res.Topic
	if t == nil {
		return nil, s.fail(api, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_INTERNAL,
			"the controller changed topic %q and did not say how: describe it", r.GetName()))
	}
	s.log.Info("topic altered", "topic", t.Name, "id", t.ID, "partitions", len(t.Partitions), "rf", t.ReplicationFactor(), "config", t.Config)
	if r.GetPartitions() != 0 {
		s.until(wait, func() bool {
			led, gone := s.ledOrGone(t, res.Revision)
			return led || gone
		})
	}
	return &runnelv1.AlterTopicResponse{
		Id: t.ID, Config: t.Config, Reasons: res.Reasons,
		Partitions: int32(len(t.Partitions)), ReplicationFactor: int32(t.ReplicationFactor()), //nolint:gosec // the controller bounds both
	}, nil
}

// oneChange refuses a request for nothing, for nonsense, and for more than one thing: the first would hold although the
// second was refused.
func oneChange(r *runnelv1.AlterTopicRequest) error {
	n := 0
	if len(r.GetSetConfig())+len(r.GetDeleteConfig()) > 0 {
		n++
	}
	if r.GetPartitions() != 0 {
		n++
	}
	if r.GetReplicationFactor() != 0 {
		n++
	}
	switch {
	case r.GetPartitions() < 0 || r.GetReplicationFactor() < 0:
		return invalid("%d partitions with replication factor %d: neither may be below 0, and 0 means not to change it",
			r.GetPartitions(), r.GetReplicationFactor())
	case n == 0:
		return invalid("nothing of topic %q is to be changed: name settings, a number of partitions or a replication factor", r.GetName())
	case n > 1:
		return invalid("settings, the number of partitions and the replication factor are changed one at a time: send a request for each")
	}
	for _, k := range r.GetDeleteConfig() {
		if _, both := r.GetSetConfig()[k]; both {
			return invalid("%s is to be set and to be deleted: name it once", k)
		}
	}
	return nil
}

// alteration is what the controller is asked.
func (s *Server) alteration(ctx context.Context, r *runnelv1.AlterTopicRequest) (controller.Request, error) {
	t, err := s.newest(ctx, r.GetName())
	if err != nil {
		return nil, err
	}
	if err := sameTopic(t, r.GetTopicId()); err != nil {
		return nil, err
	}
	by := askedBy(ctx)
	switch {
	case r.GetPartitions() != 0:
		return controller.AddPartitions{Topic: t.Name, ID: t.ID, Partitions: int(r.GetPartitions()), By: by}, nil
	case r.GetReplicationFactor() != 0:
		if now := t.ReplicationFactor(); r.GetNoFewerReplicas() && int(r.GetReplicationFactor()) < now {
			return nil, invalid("topic %q would have replication factor %d instead of %d, and nobody has consented to fewer replicas: brokerctl topic alter --yes does",
				t.Name, r.GetReplicationFactor(), now)
		}
		return controller.SetReplicationFactor{Topic: t.Name, ID: t.ID, RF: int(r.GetReplicationFactor()), By: by}, nil
	}
	if err := unsettable(t, r.GetDeleteConfig()); err != nil {
		return nil, err
	}
	return controller.AlterTopicConfig{Name: t.Name, ID: t.ID, Set: r.GetSetConfig(), Unset: slices.Sorted(slices.Values(r.GetDeleteConfig())), By: by}, nil
}

// unsettable refuses a setting to delete that is none, or a typing error would pass for success.
func unsettable(t *placement.Topic, keys []string) error {
	for _, k := range slices.Sorted(slices.Values(keys)) {
		if _, set := t.Config[k]; set {
			continue
		}
		_, err := partition.ParseSettings(map[string]string{k: ""})
		if e := runnelv1.AsError(err); e.GetReason() == runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_SETTING {
			return e
		}
	}
	return nil
}
