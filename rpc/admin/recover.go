package admin

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/runnel-io/runnel/placement"
	"github.com/runnel-io/runnel/placement/controller"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// RecoverPartition implements runnelv1.AdminServer: first, with no consent, it tells what would be lost; then, with the
// consent to exactly that, it has the controller record it.
func (s *Server) RecoverPartition(ctx context.Context, r *runnelv1.RecoverPartitionRequest) (*runnelv1.RecoverPartitionResponse, error) {
	const api = "recover_partition"
	if err := s.begin(api); err != nil {
		return nil, err
	}
	wait, end := s.within(ctx, s.patience(ctx))
	defer end()
	t, err := s.newest(wait, r.GetTopic())
	if err != nil {
		return nil, s.fail(api, err)
	}
	p, err := partitionOf(t, r.GetPartition())
	if err != nil {
		return nil, s.fail(api, err)
	}
	if r.GetAnew() && r.GetKeep() != 0 {
		return nil, s.fail(api, invalid("a partition that begins anew keeps no replica: name broker %d or say anew", r.GetKeep()))
	}
	if r.GetAcceptDataLoss() && s.recovered(t, p, r) { // by an earlier try of this request
		return &runnelv1.RecoverPartitionResponse{Recovered: true}, nil
	}
	replicas := s.describeReplicas(wait, t, r.GetPartition())
	if !r.GetAcceptDataLoss() {
		there := known(replicas)
		quorum := p.MayDecide(func(x placement.Replica) bool { return there[x.ID] })
		if _, _, led := s.cluster.Leader(p.Group); quorum && (led || r.GetAnew()) {
			return nil, s.fail(api, s.done(runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_QUORUM_ALIVE,
				"%s/%d has a majority of its replicas, on brokers %s: nothing is to be given up; what is missing is replaced by itself",
				t.Name, r.GetPartition(), listed(brokersThere(p, there))), t, r.GetPartition()))
		}
		kept, err := toKeep(t.Name, r.GetPartition(), p, replicas, r)
		if err != nil {
			return nil, s.fail(api, err)
		}
		if quorum { // and nobody leads: the controller watches whether that stays so
			if _, err := s.controller.Do(wait, controller.RecoverPartition{
				Topic: t.Name, ID: t.ID, Partition: r.GetPartition(), Keep: kept.GetBroker(), Ask: true,
			}); err != nil {
				return nil, s.fail(api, s.done(err, t, r.GetPartition()))
			}
		}
		return &runnelv1.RecoverPartitionResponse{Kept: kept, Lost: allBut(replicas, kept)}, nil
	}
	kept, err := consented(t, p, replicas, r)
	if err != nil {
		return nil, s.fail(api, err)
	}
	if _, err := s.change(wait, api, controller.RecoverPartition{
		Topic: t.Name, ID: t.ID, Partition: r.GetPartition(), Keep: kept.GetBroker(), Anew: r.GetAnew(),
		Lost: slices.Sorted(slices.Values(r.GetLost())), Note: r.GetNote(),
	}); err != nil {
		return nil, err
	}
	s.log.Warn("a partition's majority was given up by hand", "topic", t.Name, "partition", r.GetPartition(), "kept", kept.GetReplica(),
		"broker", kept.GetBroker(), "lost", r.GetLost(), "note", r.GetNote())
	return &runnelv1.RecoverPartitionResponse{Kept: kept, Lost: allBut(replicas, kept), Recovered: true}, nil
}

// recovered tells whether exactly what was consented to has been recorded before. Of a replica that is alone, and was kept alone before, only the
// controller can tell whether its group is stuck anew.
func (s *Server) recovered(t *placement.Topic, p *placement.Partition, r *runnelv1.RecoverPartitionRequest) bool {
	named := slices.Sorted(slices.Values(r.GetLost()))
	kept, _ := p.On(r.GetKeep())
	if len(named) == 0 && len(p.All()) == 1 {
		return false
	}
	return slices.ContainsFunc(s.cluster.State().Recoveries, func(rec placement.Recovery) bool {
		return rec.TopicID == t.ID && rec.Partition == r.GetPartition() && slices.Equal(slices.Sorted(slices.Values(rec.Lost)), named) &&
			(len(named) > 0 || rec.Kept == kept.ID)
	})
}

// done adds to a refusal for want of a loss that the loss was given up before: the answer to whoever did may have been lost.
func (s *Server) done(err error, t *placement.Topic, n int32) error {
	e := runnelv1.AsError(err)
	if e.GetReason() != runnelv1.ErrorReason_ERROR_REASON_QUORUM_ALIVE {
		return err
	}
	for _, rec := range slices.Backward(s.cluster.State().Recoveries) {
		if rec.TopicID == t.ID && rec.Partition == n {
			return runnelv1.Errorf(e.GetReason(), "%s; it was recovered by hand before, at revision %d, and the replicas %v were given up", e.GetMessage(), rec.Revision, rec.Lost)
		}
	}
	return err
}

// consented finds the replica to keep, and checks that what was consented to is what would be lost. It answers nil for a
// partition that begins anew.
func consented(t *placement.Topic, p *placement.Partition, replicas []*runnelv1.ReplicaDescription, r *runnelv1.RecoverPartitionRequest) (*runnelv1.ReplicaDescription, error) {
	alone := len(replicas) == 1 && r.GetKeep() != 0 // stuck all the same, for what its group is configured to be
	if r.GetKeep() == 0 && !r.GetAnew() || len(r.GetLost()) == 0 && !alone {
		return nil, invalid("the consent names no replica to keep, or none to lose: ask without it first, and name what that answers")
	}
	named := slices.Sorted(slices.Values(r.GetLost()))
	if r.GetAnew() && slices.Equal(idsBut(replicas, nil), named) {
		return nil, nil
	}
	for _, d := range replicas {
		if d.GetBroker() == r.GetKeep() && slices.Equal(idsBut(replicas, d), named) {
			return d, nil
		}
	}
	return nil, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_OUTDATED,
		"%s/%d is on brokers %s now, and the consent named replicas %v as lost and broker %d's to be kept: ask again what would be lost",
		t.Name, r.GetPartition(), listed(brokersOf(p.All())), named, r.GetKeep())
}

// describeReplicas asks the brokers that have a replica of a partition, those that a move adds included.
func (s *Server) describeReplicas(ctx context.Context, t *placement.Topic, n int32) []*runnelv1.ReplicaDescription {
	v := s.glance(t, int(n))
	s.ask(ctx, []*view{v}, true)
	var out []*runnelv1.ReplicaDescription
	for _, r := range v.place.All() {
		d := &runnelv1.ReplicaDescription{
			Replica: r.ID, Broker: r.Broker, Alive: s.cluster.Alive(r.Broker), LogStartOffset: -1, HighWatermark: -1, Trouble: v.troubles[r.Broker],
		}
		info, told := v.replicas[r.Broker]
		switch {
		case !d.GetAlive():
			d.Trouble = "its broker is silent"
		case told && info.Replica == r.ID:
			d.LogStartOffset, d.HighWatermark, d.Bytes = info.LogStart, info.HW, info.Bytes
		case d.GetTrouble() == "":
			d.Trouble = "its broker does not tell how it is"
			if why := v.unanswered[r.Broker]; why != "" {
				d.Trouble += ": " + cut(why)
			}
		}
		out = append(out, d)
	}
	return out
}

// toKeep chooses the replica to go on with, on broker r.Keep if that is not 0, else the one that is known to have most, and
// none to begin anew, which it refuses while any replica may come back.
func toKeep(topic string, n int32, p *placement.Partition, replicas []*runnelv1.ReplicaDescription, r *runnelv1.RecoverPartitionRequest) (*runnelv1.ReplicaDescription, error) {
	keep := r.GetKeep()
	if left := brokersThere(p, known(replicas)); r.GetAnew() && len(left) > 0 {
		return nil, invalid("%s/%d has replicas left, on brokers %s: keep one of them", topic, n, listed(left))
	} else if r.GetAnew() {
		return nil, nil
	}
	var best *runnelv1.ReplicaDescription
	for _, d := range replicas {
		if keep != 0 && d.GetBroker() != keep || d.GetHighWatermark() < 0 || !mayKeep(p, d.GetReplica()) {
			continue
		}
		if best == nil || d.GetHighWatermark() > best.GetHighWatermark() {
			best = d
		}
	}
	if best != nil {
		return best, nil
	}
	var why []string
	for _, d := range replicas {
		if keep == 0 || d.GetBroker() == keep {
			trouble := d.GetTrouble()
			if trouble == "" {
				trouble = "is being installed"
			}
			why = append(why, fmt.Sprintf("the replica on broker %d: %s", d.GetBroker(), trouble))
		}
	}
	switch {
	case len(why) == 0:
		return nil, invalid("%s/%d has no replica on broker %d: it is on brokers %s", topic, n, keep, listed(brokersOf(p.All())))
	case keep != 0:
		return nil, invalid("%s/%d cannot go on with what broker %d has: %s", topic, n, keep, strings.Join(why, "; "))
	}
	return nil, invalid("no replica of %s/%d can be kept: %s; if none ever comes back, it can only begin anew, empty", topic, n, strings.Join(why, "; "))
}

// known tells which replicas are not known to be lost.
func known(replicas []*runnelv1.ReplicaDescription) map[uint64]bool {
	there := map[uint64]bool{}
	for _, d := range replicas {
		there[d.GetReplica()] = d.GetAlive() && !strings.HasPrefix(d.GetTrouble(), quarantined)
	}
	return there
}

// mayKeep tells whether a replica may hold all that was acknowledged: one that is still being installed may not.
func mayKeep(p *placement.Partition, replica uint64) bool {
	r, _ := p.Replica(replica)
	return !r.Learner || p.Move != nil && !p.Move.Cancellable()
}

func brokersThere(p *placement.Partition, there map[uint64]bool) (out []int32) {
	for _, r := range p.All() {
		if there[r.ID] {
			out = append(out, r.Broker)
		}
	}
	return out
}

func allBut(list []*runnelv1.ReplicaDescription, one *runnelv1.ReplicaDescription) (out []*runnelv1.ReplicaDescription) {
	for _, d := range list {
		if d != one {
			out = append(out, d)
		}
	}
	return out
}

// idsBut are the ids of all replicas but one, rising.
func idsBut(list []*runnelv1.ReplicaDescription, one *runnelv1.ReplicaDescription) (out []uint64) {
	for _, d := range allBut(list, one) {
		out = append(out, d.GetReplica())
	}
	slices.Sort(out)
	return out
}

// listed writes broker ids.
func listed(ids []int32) string {
	var s []string
	for _, id := range ids {
		s = append(s, fmt.Sprint(id))
	}
	if len(s) == 0 {
		return "none"
	}
	return strings.Join(s, ", ")
}
