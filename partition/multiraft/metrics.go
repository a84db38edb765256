package multiraft

import "github.com/prometheus/client_golang/prometheus"

// Reasons of the dropped counter.
const (
	dropUnknown = "unknown_group"
	dropReplica = "other_replica"
	dropGone    = "replica_gone"
	dropType    = "not_for_the_wire"
	dropTerm    = "term_too_high"
	dropFull    = "inbox_full"
	dropLane    = "lane_full"
	dropNowhere = "unknown_broker"
)

// Results of the transfers counter.
const (
	transferDone    = "done"
	transferGivenUp = "given_up"
)

// metrics of one host. None is per group: there may be thousands.
type metrics struct {
	groups, leaders, quarantined                                   prometheus.Gauge
	campaigns, sessions, stepDowns, stalls, snapshots, unreachable prometheus.Counter
	proposalDrops, appendsSkipped, readTimeouts, panics            prometheus.Counter
	transfers                                                      *prometheus.CounterVec // result
	dropped                                                        *prometheus.CounterVec // reason
	appendWrites, appendSeconds, commitSeconds                     prometheus.Histogram
}

func newMetrics(r prometheus.Registerer) *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Namespace: "runnel", Subsystem: "raft", Name: name, Help: help})
	}
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "runnel", Subsystem: "raft", Name: name, Help: help})
	}
	m := &metrics{
		groups:         gauge("groups", "Replicas that run on this broker."),
		leaders:        gauge("leaders", "Groups that this broker leads in session."),
		quarantined:    gauge("quarantined", "Replicas stopped because their log or state cannot be trusted. Replace them."),
		campaigns:      counter("campaigns_total", "Elections started by replicas of this broker."),
		sessions:       counter("sessions_total", "Leader sessions begun on this broker."),
		stepDowns:      counter("step_downs_total", "Leaders that stopped leading because no quorum heard them or their disk hung."),
		stalls:         counter("stalls_total", "Leaders whose oldest append in flight became too old, or found no space while others wrote it."),
		snapshots:      counter("snapshots_refused_total", "Peers found behind the log's start. Each needs replacement."),
		unreachable:    counter("unreachable_total", "Appends that could not be sent."),
		proposalDrops:  counter("proposals_dropped_total", "Proposals that raft dropped for lack of room."),
		appendsSkipped: counter("appends_skipped_total", "Append messages with nothing new, answered without a disk write."),
		readTimeouts:   counter("read_index_timeouts_total", "Linearizable reads that no quorum confirmed in time."),
		panics:         counter("panics_total", "Panics recovered into quarantine of one replica. Each is a defect."),
		transfers: prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "runnel", Subsystem: "raft", Name: "transfers_total",
			Help: "Leadership transfers by result."}, []string{"result"}),
		dropped: prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "runnel", Subsystem: "raft", Name: "dropped_total",
			Help: "Messages dropped by reason."}, []string{"reason"}),
		appendWrites: prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: "runnel", Subsystem: "raft", Name: "append_writes",
			Help: "Append messages made durable by one write.", Buckets: prometheus.ExponentialBuckets(1, 2, 10)}),
		appendSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: "runnel", Subsystem: "raft", Name: "append_seconds",
			Help: "Time of one durable write.", Buckets: prometheus.ExponentialBuckets(0.0002, 2, 16)}),
		commitSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: "runnel", Subsystem: "raft", Name: "commit_seconds",
			Help: "On leaders, from a proposal to its commit: until a majority has it on disk. One proposal is what one turn of a group took from its queue.", Buckets: prometheus.ExponentialBuckets(0.0002, 2, 16)}),
	}
	// Series that are there from the start show their first increase.
	for _, reason := range []string{dropUnknown, dropReplica, dropGone, dropType, dropTerm, dropFull, dropLane, dropNowhere} {
		m.dropped.WithLabelValues(reason)
	}
	for _, result := range []string{transferDone, transferGivenUp} {
		m.transfers.WithLabelValues(result)
	}
	if r != nil {
		r.MustRegister(m.groups, m.leaders, m.quarantined, m.campaigns, m.sessions, m.stepDowns, m.stalls, m.snapshots, m.unreachable,
			m.proposalDrops, m.appendsSkipped, m.readTimeouts, m.panics, m.transfers, m.dropped, m.appendWrites, m.appendSeconds, m.commitSeconds)
	}
	return m
}
