package admin

import (
	"context"
	"slices"

	"github.com/runnel-io/runnel/placement"
	"github.com/runnel-io/runnel/placement/controller"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// maxListed bounds the entries of each list of an answer, so that it fits a frame however large the cluster is. What is
// left out is counted.
const maxListed = 1000

// overview asks the controller's leader for its view.
func (s *Server) overview(ctx context.Context) (*controller.OverviewAnswer, uint64, error) {
	res, err := s.controller.Do(ctx, controller.Overview{})
	if err != nil {
		return nil, 0, err
	}
	if res.Overview == nil {
		return nil, 0, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_INTERNAL,
			"the controller answered without its view of the cluster: run one version on all brokers")
	}
	return res.Overview, res.Revision, nil
}

// look is overview for a call that only asks.
func (s *Server) look(ctx context.Context, api string) (*controller.OverviewAnswer, uint64, error) {
	if err := s.begin(api); err != nil {
		return nil, 0, err
	}
	ctx, cancel := s.within(ctx, s.patience(ctx))
	defer cancel()
	o, revision, err := s.overview(ctx)
	if err != nil {
		return nil, 0, s.fail(api, err)
	}
	return o, revision, nil
}

// change has the controller carry out a request, and waits a little for this broker's own view to hold it: the change
// holds whether or not this broker sees it in time.
func (s *Server) change(ctx context.Context, api string, r controller.Request) (controller.Response, error) {
	wait, end := s.within(ctx, s.patience(ctx))
	defer end()
	res, err := s.controller.Do(wait, r)
	if err != nil {
		return res, s.fail(api, err)
	}
	seen, cancel := s.within(wait, viewWait)
	defer cancel()
	s.until(seen, func() bool { return s.cluster.State().Revision >= res.Revision })
	return res, nil
}

// topic finds a topic in this broker's view, or, if it has not heard of it, in the controller's.
func (s *Server) topic(ctx context.Context, name string) (*placement.Topic, error) {
	if t := s.cluster.State().Topics[name]; t != nil {
		return t, nil
	}
	return s.newest(ctx, name)
}

// known is topic, or newest, for a question, which waits no longer than for other brokers' answers.
func (s *Server) known(ctx context.Context, name string, newest bool) (*placement.Topic, error) {
	if t := s.cluster.State().Topics[name]; t != nil && !newest {
		return t, nil
	}
	ctx, end := s.within(ctx, min(askWait, s.patience(ctx)))
	defer end()
	t, err := s.newest(ctx, name)
	switch {
	case err == nil:
		return t, nil
	case runnelv1.AsError(err).GetReason() == runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_TOPIC:
		return nil, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_TOPIC, "topic %q does not exist: create it first", name)
	case newest:
		return nil, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_UNAVAILABLE,
			"the controller does not answer which topic %q is, nothing was changed: %v", name, err)
	}
	return nil, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_UNAVAILABLE,
		"broker %d has not heard of topic %q, and the controller, which would know, does not answer: %v", s.id, name, err)
}

// newest finds a topic as the controller has it now.
func (s *Server) newest(ctx context.Context, name string) (*placement.Topic, error) {
	res, err := s.controller.Do(ctx, controller.LookUpTopic{Name: name})
	if err != nil {
		return nil, err
	}
	if res.Topic == nil {
		return nil, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_INTERNAL, "the controller knows topic %q and did not tell of it: try again", name)
	}
	return res.Topic, nil
}

// sameTopic refuses a topic that has another id than a request names; 0 names none.
func sameTopic(t *placement.Topic, id uint64) error {
	if id != 0 && t.ID != id {
		return runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_TOPIC, "topic %q no longer has the id %d: another one was made under its name", t.Name, id)
	}
	return nil
}

// partitionAt is a topic's partition; nil if there is none, or no topic.
func partitionAt(t *placement.Topic, n int32) *placement.Partition {
	if t == nil || n < 0 || int(n) >= len(t.Partitions) {
		return nil
	}
	return &t.Partitions[n]
}

// partitionOf is partitionAt in an answer to whoever named the partition.
func partitionOf(t *placement.Topic, n int32) (*placement.Partition, error) {
	p := partitionAt(t, n)
	if p == nil {
		return nil, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_PARTITION,
			"topic %q has no partition %d: it has 0 to %d", t.Name, n, len(t.Partitions)-1)
	}
	return p, nil
}

func invalid(format string, args ...any) *runnelv1.Error {
	return runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, format, args...)
}

// first bounds a list and counts the rest.
func first[T any](list []T) ([]T, int32) {
	if len(list) <= maxListed {
		return list, 0
	}
	return list[:maxListed], int32(len(list) - maxListed) //nolint:gosec // the controller bounds partitions
}

func brokersOf(rs []placement.Replica) []int32 {
	out := make([]int32, len(rs))
	for i, r := range rs {
		out[i] = r.Broker
	}
	return out
}

// brokersIn are the brokers of a partition's replicas, those of its move included, in the order of these ids.
func brokersIn(p *placement.Partition, order []uint64) (out []int32) {
	for _, id := range order {
		if r, ok := p.Replica(id); ok {
			out = append(out, r.Broker)
		}
	}
	return out
}

// describeMove tells of a move as the controller does.
func describeMove(m *controller.MoveProgress) *runnelv1.MoveDescription {
	return &runnelv1.MoveDescription{
		Id: m.Move.ID, Topic: m.Topic, Partition: m.Partition, From: m.From, To: m.To, Phase: string(m.Move.Phase), Kind: string(m.Move.Kind),
		Reason: m.Move.Reason, Cancelled: m.Move.Cancelled, BytesDone: m.Done, BytesTotal: m.Total, Waiting: m.Waiting,
	}
}

// recordedMove tells of a partition's move what the state has of it; nil if there is none.
func recordedMove(topic string, n int32, p *placement.Partition) *runnelv1.MoveDescription {
	m := p.Move
	if m == nil {
		return nil
	}
	return &runnelv1.MoveDescription{
		Id: m.ID, Topic: topic, Partition: n, From: brokersOf(p.Replicas), To: brokersIn(p, m.Order), Phase: string(m.Phase), Kind: string(m.Kind),
		Reason: m.Reason, Cancelled: m.Cancelled,
	}
}

// recordedMoves tells of all moves in the state, at most maxListed.
func recordedMoves(st *placement.State) (out []*runnelv1.MoveDescription, more int32) {
	for ref := range st.Moves() {
		if len(out) == maxListed {
			more++
			continue
		}
		out = append(out, recordedMove(ref.Topic.Name, ref.Partition, &ref.Topic.Partitions[ref.Partition]))
	}
	return out, more
}

// after is where a proposed move takes a partition: the brokers of its replicas, the preferred leader first.
func after(p *placement.Partition, m *placement.ProposeMove) []int32 {
	if len(m.OrderBrokers) > 0 {
		return m.OrderBrokers
	}
	adds := m.AddBrokers
	var out []int32
	for _, r := range p.Replicas {
		switch {
		case !slices.Contains(m.Removes, r.ID):
			out = append(out, r.Broker)
		case len(adds) > 0: // a new replica takes the place of the one it replaces
			out = append(out, adds[0])
			adds = adds[1:]
		}
	}
	return append(out, adds...)
}
