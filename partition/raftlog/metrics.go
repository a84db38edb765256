package raftlog

import (
	"github.com/prometheus/client_golang/prometheus"
	bolt "go.etcd.io/bbolt"
)

type metrics struct {
	commits       prometheus.Counter
	appendBytes   prometheus.Counter
	appendEntries prometheus.Counter
	skipped       prometheus.Counter
	metaCommits   prometheus.Counter
	metaChanges   prometheus.Counter
	inlineReads   prometheus.Counter
	prefetches    prometheus.Counter
	misses        prometheus.Counter
	poisoned      prometheus.Counter
	shortages     prometheus.Counter
	openFiles     prometheus.Gauge
	tailBytes     prometheus.GaugeFunc
	tailBudget    prometheus.Gauge
	syncSeconds   prometheus.Histogram
}

func newMetrics(r prometheus.Registerer, tailBudget int64, tailBytes func() float64) (*metrics, error) {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Namespace: "runnel", Subsystem: "raftlog", Name: name, Help: help})
	}
	m := &metrics{
		commits:       counter("commits_total", "Durable segment transactions."),
		appendBytes:   counter("append_bytes_total", "Bytes of entries appended."),
		appendEntries: counter("append_entries_total", "Entries appended."),
		skipped:       counter("appends_skipped_total", "Appends with nothing new, which cost no disk write."),
		metaCommits:   counter("meta_commits_total", "Durable commits of meta.db."),
		metaChanges:   counter("meta_changes_total", "Changes made durable in meta.db; divided by the commits: the size of a group."),
		inlineReads:   counter("inline_reads_total", "Disk reads that a raft worker had to wait for."),
		prefetches:    counter("prefetches_total", "Background reads for followers that lag behind the memory tail."),
		misses:        counter("entries_misses_total", "Reads for sending that found their entries neither in the tail nor prefetched."),
		poisoned:      counter("poisoned_total", "Logs poisoned by an I/O or checksum error."),
		shortages:     counter("resource_shortages_total", "Times that a write could not begin for want of descriptors, mappings or memory."),
		openFiles:     prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "runnel", Subsystem: "raftlog", Name: "open_files", Help: "Segment files open now."}),
		tailBytes:     prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "runnel", Subsystem: "raftlog", Name: "tail_bytes", Help: "Memory held by recent and prefetched entries."}, tailBytes),
		tailBudget:    prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "runnel", Subsystem: "raftlog", Name: "tail_budget_bytes", Help: "Memory that recent and prefetched entries may take (memory.tail.bytes)."}),
		syncSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: "runnel", Subsystem: "raftlog", Name: "sync_seconds",
			Help: "What the disk took of one durable commit, of a log or of meta.db: its writes and both fdatasyncs, as bbolt measures them.", Buckets: prometheus.ExponentialBuckets(0.0001, 2, 16)}),
	}
	m.tailBudget.Set(float64(tailBudget))
	if r == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.commits, m.appendBytes, m.appendEntries, m.skipped, m.metaCommits, m.metaChanges,
		m.inlineReads, m.prefetches, m.misses, m.poisoned, m.shortages, m.openFiles, m.tailBytes, m.tailBudget, m.syncSeconds} {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// synced notes a transaction that was committed. bbolt's own statistics know what of it was the disk's.
func (m *metrics) synced(tx *bolt.Tx) {
	st := tx.Stats()
	m.syncSeconds.Observe(st.GetWriteTime().Seconds())
}
