package main

import runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"

// planJSON is the answer of `placement plan`.
type planJSON struct {
	Revision uint64     `json:"revision"`
	UnderWay []moveJSON `json:"under_way"`
	// What comes next, the most urgent first.
	Moves     []plannedMoveJSON     `json:"moves"`
	Cancels   []plannedCancelJSON   `json:"cancels"`
	Orders    []plannedMoveJSON     `json:"orders"`
	Transfers []plannedTransferJSON `json:"transfers"`
	// Waiting counts moves left out because enough are under way.
	Waiting     int32             `json:"waiting"`
	Blocked     []blockedJSON     `json:"blocked"`
	BlockedMore int32             `json:"blocked_more"`
	Reasons     []string          `json:"reasons"`
	Drains      []drainJSON       `json:"drains"`
	Spread      spreadJSON        `json:"spread"`
	Silent      []silentJSON      `json:"silent"`
	Quarantined []quarantinedJSON `json:"quarantined"`
	Recoveries  []recoveryJSON    `json:"recoveries"`
	// More counts the entries left out of the lists.
	More int32 `json:"more"`
}

type plannedMoveJSON struct {
	Topic     string  `json:"topic"`
	Partition int32   `json:"partition"`
	From      []int32 `json:"from"`
	To        []int32 `json:"to"`
	Kind      string  `json:"kind,omitempty"`
	Reason    string  `json:"reason"`
}

type plannedCancelJSON struct {
	Move      uint64 `json:"move"`
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Reason    string `json:"reason"`
}

type plannedTransferJSON struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	From      int32  `json:"from"`
	To        int32  `json:"to"`
	Reason    string `json:"reason"`
}

// spreadJSON has differences between the most and the least loaded brokers that are alive and not draining.
type spreadJSON struct {
	Replicas       int32      `json:"replicas"`
	Leaders        int32      `json:"leaders"`
	Preferred      int32      `json:"preferred"`
	Bytes          int64      `json:"bytes"`
	TopicReplicas  int32      `json:"topic_replicas"`
	TopicLeaders   int32      `json:"topic_leaders"`
	TopicPreferred int32      `json:"topic_preferred"`
	WorstTopic     string     `json:"worst_topic"`
	Brokers        []loadJSON `json:"brokers"`
}

type loadJSON struct {
	Broker    int32 `json:"broker"`
	Replicas  int32 `json:"replicas"`
	Leaders   int32 `json:"leaders"`
	Preferred int32 `json:"preferred"`
	Bytes     int64 `json:"bytes"`
}

type silentJSON struct {
	Broker   int32 `json:"broker"`
	SilentMS int64 `json:"silent_ms"`
	// ReplacedAfterMS is 0 if it is never replaced.
	ReplacedAfterMS int64 `json:"replaced_after_ms"`
}

type quarantinedJSON struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Broker    int32  `json:"broker"`
	Replica   uint64 `json:"replica"`
	Reason    string `json:"reason"`
}

type recoveryJSON struct {
	Topic     string   `json:"topic"`
	Partition int32    `json:"partition"`
	Kept      uint64   `json:"kept"`
	Lost      []uint64 `json:"lost"`
	Note      string   `json:"note"`
	Revision  uint64   `json:"revision"`
}

func planOf(p *runnelv1.PlanResponse) planJSON {
	return planJSON{
		Revision: p.GetRevision(), UnderWay: movesOf(p.GetUnderWay()), Waiting: p.GetWaiting(),
		Blocked: blockedOf(p.GetBlocked()), BlockedMore: p.GetBlockedMore(), Reasons: list(p.GetReasons()), More: p.GetMore(),
		Moves: each(p.GetMoves(), func(m *runnelv1.PlannedMove) plannedMoveJSON {
			return plannedMoveJSON{m.GetTopic(), m.GetPartition(), list(m.GetFrom()), list(m.GetTo()), m.GetKind(), m.GetReason()}
		}),
		Cancels: each(p.GetCancels(), func(c *runnelv1.PlannedCancel) plannedCancelJSON {
			return plannedCancelJSON{c.GetMove(), c.GetTopic(), c.GetPartition(), c.GetReason()}
		}),
		Orders: each(p.GetOrders(), func(o *runnelv1.PlannedOrder) plannedMoveJSON {
			return plannedMoveJSON{o.GetTopic(), o.GetPartition(), list(o.GetFrom()), list(o.GetTo()), "", o.GetReason()}
		}),
		Transfers: each(p.GetTransfers(), func(t *runnelv1.PlannedTransfer) plannedTransferJSON {
			return plannedTransferJSON{t.GetTopic(), t.GetPartition(), t.GetFrom(), t.GetTo(), t.GetReason()}
		}),
		Drains: each(p.GetDrains(), drainOf), Spread: spreadOf(p.GetSpread()),
		Silent: each(p.GetSilent(), func(s *runnelv1.SilentBroker) silentJSON {
			return silentJSON{s.GetBroker(), s.GetSilentMs(), s.GetReplacedAfterMs()}
		}),
		Quarantined: each(p.GetQuarantined(), func(q *runnelv1.QuarantinedReplica) quarantinedJSON {
			return quarantinedJSON{q.GetTopic(), q.GetPartition(), q.GetBroker(), q.GetReplica(), q.GetReason()}
		}),
		Recoveries: each(p.GetRecoveries(), func(r *runnelv1.RecoveryDescription) recoveryJSON {
			return recoveryJSON{r.GetTopic(), r.GetPartition(), r.GetKept(), list(r.GetLost()), r.GetNote(), r.GetRevision()}
		}),
	}
}

func spreadOf(s *runnelv1.SpreadDescription) spreadJSON {
	return spreadJSON{
		Replicas: s.GetReplicas(), Leaders: s.GetLeaders(), Preferred: s.GetPreferred(), Bytes: s.GetBytes(),
		TopicReplicas: s.GetTopicReplicas(), TopicLeaders: s.GetTopicLeaders(), TopicPreferred: s.GetTopicPreferred(), WorstTopic: s.GetWorstTopic(),
		Brokers: each(s.GetBrokers(), func(b *runnelv1.BrokerLoad) loadJSON {
			return loadJSON{b.GetBroker(), b.GetReplicas(), b.GetLeaders(), b.GetPreferred(), b.GetBytes()}
		}),
	}
}
