package admin

import (
	"context"
	"maps"
	"slices"

	"github.com/runnel-io/runnel/placement"
	"github.com/runnel-io/runnel/placement/controller"
	"github.com/runnel-io/runnel/placement/plan"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// Plan implements runnelv1.AdminServer.
func (s *Server) Plan(ctx context.Context, _ *runnelv1.PlanRequest) (*runnelv1.PlanResponse, error) {
	o, revision, err := s.look(ctx, "plan")
	if err != nil {
		return nil, err
	}
	st := s.cluster.State() // the names of what the controller tells by id; Do has waited for its revision
	p := &o.Plan
	out := &runnelv1.PlanResponse{
		Revision: revision, Waiting: int32(p.Waiting), Reasons: p.Reasons, Spread: describeSpread(&o.Spread), //nolint:gosec // counts partitions
	}
	more := int32(0)
	count := func(n int32) { more += n }
	var n int32
	out.UnderWay, n = describeMoves(o.Moves)
	count(n)
	describePlan(out, st, p, count)
	out.Blocked, out.BlockedMore = describeBlocked(p.Blocked, p.BlockedMore)
	for i := range o.Drains {
		out.Drains = append(out.Drains, describeDrain(&o.Drains[i], o.Moves))
	}
	for _, id := range slices.Sorted(maps.Keys(o.Dead)) {
		out.Silent = append(out.Silent, &runnelv1.SilentBroker{Broker: id, SilentMs: o.Dead[id], ReplacedAfterMs: o.ReplaceAfterMS})
	}
	out.Quarantined, n = first(quarantine(st, o.Quarantined))
	count(n)
	for _, r := range o.Recoveries {
		out.Recoveries = append(out.Recoveries, &runnelv1.RecoveryDescription{
			Topic: r.Topic, Partition: r.Partition, Kept: r.Kept, Lost: r.Lost, Note: r.Note, Revision: r.Revision,
		})
	}
	out.More = more
	return out, nil
}

// describePlan tells of what comes next. A topic that is gone meanwhile is left out: so is what was planned for it.
func describePlan(out *runnelv1.PlanResponse, st *placement.State, p *plan.Plan, more func(int32)) {
	moves, n := first(p.Moves)
	more(n)
	for i := range moves {
		m := &moves[i]
		if at := partitionAt(st.Topics[m.Topic], m.Partition); at != nil {
			out.Moves = append(out.Moves, &runnelv1.PlannedMove{
				Topic: m.Topic, Partition: m.Partition, From: brokersOf(at.Replicas), To: after(at, m), Kind: string(m.Kind), Reason: m.Reason,
			})
		}
	}
	byID := map[uint64]*placement.Topic{}
	if len(p.Cancels)+len(p.Preferred) > 0 {
		for _, t := range st.Topics {
			byID[t.ID] = t
		}
	}
	cancels, n := first(p.Cancels)
	more(n)
	for i, c := range cancels {
		if t := byID[c.TopicID]; partitionAt(t, c.Partition) != nil {
			out.Cancels = append(out.Cancels, &runnelv1.PlannedCancel{
				Move: c.Move, Topic: t.Name, Partition: c.Partition, Reason: reasonAt(p.CancelReasons, i),
			})
		}
	}
	orders, n := first(p.Preferred)
	more(n)
	for i, o := range orders {
		t := byID[o.TopicID]
		at := partitionAt(t, o.Partition)
		if at == nil {
			continue
		}
		out.Orders = append(out.Orders, &runnelv1.PlannedOrder{
			Topic: t.Name, Partition: o.Partition, From: brokersOf(at.Replicas), To: brokersIn(at, o.Order), Reason: reasonAt(p.PreferredReasons, i),
		})
	}
	transfers, n := first(p.Transfers)
	more(n)
	for _, t := range transfers {
		out.Transfers = append(out.Transfers, &runnelv1.PlannedTransfer{Topic: t.Topic, Partition: t.Partition, From: t.From, To: t.To, Reason: t.Reason})
	}
}

func reasonAt(reasons []string, i int) string {
	if i < len(reasons) {
		return reasons[i]
	}
	return ""
}

func describeBlocked(list []plan.Blocked, more int) ([]*runnelv1.BlockedChange, int32) {
	var out []*runnelv1.BlockedChange
	for _, b := range list {
		out = append(out, &runnelv1.BlockedChange{Topic: b.Topic, Partition: b.Partition, Broker: b.Broker, Reason: b.Reason})
	}
	return out, int32(more) //nolint:gosec // counts partitions
}

func describeSpread(s *plan.SpreadStatus) *runnelv1.SpreadDescription {
	n := func(i int) int32 { return int32(i) } //nolint:gosec // counts replicas, which the controller bounds
	out := &runnelv1.SpreadDescription{
		Replicas: n(s.Replicas), Leaders: n(s.Leaders), Preferred: n(s.Preferred), Bytes: s.Bytes,
		TopicReplicas: n(s.TopicReplicas), TopicLeaders: n(s.TopicLeaders), TopicPreferred: n(s.TopicPreferred), WorstTopic: s.WorstTopic,
	}
	for _, b := range s.Brokers {
		out.Brokers = append(out.Brokers, &runnelv1.BrokerLoad{
			Broker: b.Broker, Replicas: n(b.Replicas), Leaders: n(b.Leaders), Preferred: n(b.Preferred), Bytes: b.Bytes,
		})
	}
	return out
}

// quarantine finds where quarantined replicas are, in the order of topics and partitions. It looks at every partition, if
// there are any.
func quarantine(st *placement.State, replicas map[uint64]string) (out []*runnelv1.QuarantinedReplica) {
	if len(replicas) == 0 {
		return nil
	}
	for _, name := range st.TopicNames() {
		for n, p := range st.Topics[name].Partitions {
			for _, r := range p.All() {
				if why, ok := replicas[r.ID]; ok {
					out = append(out, &runnelv1.QuarantinedReplica{
						Topic: name, Partition: int32(n), Broker: r.Broker, Replica: r.ID, Reason: cut(why), //nolint:gosec // the controller bounds partitions
					})
				}
			}
		}
	}
	return out
}

// describeDrain tells how far a drain is; moves are all those under way.
func describeDrain(d *plan.DrainStatus, moves []controller.MoveProgress) *runnelv1.DrainDescription {
	n := func(i int) int32 { return int32(i) } //nolint:gosec // counts replicas, which the controller bounds
	out := &runnelv1.DrainDescription{
		Broker: d.Broker, Draining: d.Draining, Replicas: n(d.Replicas), Moving: n(d.Moving), Bytes: d.Bytes, Leaders: n(d.Leaders),
		ControllerVoter: d.Voter,
	}
	out.Blocked, out.BlockedMore = describeBlocked(d.Blocked, d.BlockedMore)
	for i := range moves {
		m := &moves[i]
		if !slices.Contains(m.From, d.Broker) || slices.Contains(m.To, d.Broker) {
			continue
		}
		out.BytesMovingDone += m.Done / int64(max(1, len(m.Move.Adds))) // a broker holds one of the partition's replicas
		if m.Waiting != "" && !slices.Contains(out.Waiting, m.Waiting) && len(out.Waiting) < maxWaiting {
			out.Waiting = append(out.Waiting, m.Waiting)
		}
	}
	return out
}

// maxWaiting bounds the words of moves on what they wait for.
const maxWaiting = 20
