package partition

import (
	"github.com/prometheus/client_golang/prometheus"

	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// Metrics are shared by all partitions of a broker: a label for each partition would make tens of thousands of series. What is counted by
// topic is in topics, and shown by whoever walks over the replicas.
type Metrics struct {
	produced, producedRecords, producedBytes prometheus.Counter
	duplicates                               prometheus.Counter
	refused                                  *prometheus.CounterVec
	fetched, fetchedBytes                    prometheus.Counter
	void, unknownCommands                    prometheus.Counter
	trims, expired                           prometheus.Counter
	sessions                                 prometheus.Counter
	proposalsDropped                         prometheus.Counter
	clockHolds                               prometheus.Counter
	topics                                   topicTable
}

// NewMetrics makes the metrics and registers them with r; nil leaves them unregistered.
func NewMetrics(r prometheus.Registerer) *Metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Namespace: "runnel", Subsystem: "partition", Name: name, Help: help})
	}
	m := &Metrics{
		produced:        counter("produced_batches_total", "Record batches acknowledged by replicas of this broker as leaders."),
		producedRecords: counter("produced_records_total", "Records in acknowledged batches."),
		producedBytes:   counter("produced_bytes_total", "Bytes of acknowledged batches."),
		duplicates:      counter("duplicate_batches_total", "Batches that had been written before and were answered with their original offset."),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "runnel", Subsystem: "partition", Name: "refused_batches_total",
			Help: "Batches not acknowledged, by reason."}, []string{"reason"}),
		fetched:          counter("fetch_reads_total", "Reads of record batches from a replica's log."),
		fetchedBytes:     counter("fetched_bytes_total", "Bytes of record batches read from replicas' logs."),
		void:             counter("void_entries_total", "Log entries that every replica skips, for another term or offset. Anything above 0 is a defect: report it."),
		unknownCommands:  counter("unknown_commands_total", "Log commands skipped because this broker does not know them. Above 0: brokers of different versions, upgrade this one."),
		trims:            counter("trims_total", "Moves of a log start offset applied."),
		expired:          counter("expired_producers_total", "Idle idempotent producers forgotten."),
		sessions:         counter("leader_sessions_total", "Leader sessions started."),
		proposalsDropped: counter("proposals_dropped_total", "Turns that raft did not take; their batches were queued again."),
		clockHolds:       counter("clock_holds_total", "Retention and expiry decisions put off because the clock is not to be trusted."),
	}
	if r != nil {
		r.MustRegister(m.produced, m.producedRecords, m.producedBytes, m.duplicates, m.refused, m.fetched, m.fetchedBytes, m.void,
			m.unknownCommands, m.trims, m.expired, m.sessions, m.proposalsDropped, m.clockHolds)
	}
	return m
}

func (m *Metrics) refuse(e *runnelv1.Error) { m.refused.WithLabelValues(reasonLabel(e)).Inc() }

func reasonLabel(e *runnelv1.Error) string {
	const prefix = len("ERROR_REASON_")
	s := e.GetReason().String()
	if len(s) > prefix {
		return s[prefix:]
	}
	return s
}
