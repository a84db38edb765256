package multiraft

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/runnel-io/runnel/partition/env"
)

// collector shows what can be seen of the groups at the time of a scrape. It walks over a list that nobody changes, and takes of each group
// what its worker has published and its log's own lock, for moments: nothing that a worker needs is held from one group to the next.
type collector struct {
	h *Host

	unapplied, leaderless, stalled, short, depth, segments, bytes *prometheus.Desc
}

// queues names the queues of tasks as operators see them. There is none for applying: that is done by the group's own worker.
var queues = map[env.Class]string{env.ClassRaft: "scheduler", env.ClassAppend: "append", env.ClassServe: "serve"}

func newCollector(h *Host) *collector {
	return &collector{
		h: h,
		unapplied: prometheus.NewDesc("runnel_raft_unapplied_entries",
			"Entries in the logs of replicas here that are not applied: not committed as far as the replica knows, or not folded yet.", nil, nil),
		leaderless: prometheus.NewDesc("runnel_raft_leaderless_groups", "Replicas that run here and know of no leader that is heard.", nil, nil),
		stalled: prometheus.NewDesc("runnel_raft_stalled_groups",
			"Replicas here whose oldest write waits for the disk longer than a leader may: its leaders are handing over.", nil, nil),
		short: prometheus.NewDesc("runnel_raft_waiting_for_space_groups", "Replicas here whose oldest write waits for space on the disk.", nil, nil),
		depth: prometheus.NewDesc("runnel_raft_queue_depth",
			"Tasks that wait for a worker: scheduler steps and applies, append writes logs, serve reads them and opens replicas.", []string{"queue"}, nil),
		segments: prometheus.NewDesc("runnel_raftlog_segments", "Segment files of the logs of replicas that run here, the controller's included.", nil, nil),
		bytes:    prometheus.NewDesc("runnel_raftlog_bytes", "Bytes of entries in the logs of replicas that run here, the controller's included.", nil, nil),
	}
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(ds chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.unapplied, c.leaderless, c.stalled, c.short, c.depth, c.segments, c.bytes} {
		ds <- d
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ms chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ms <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	w := c.h.weigh(c.h.env.Now())
	gauge(c.unapplied, float64(w.unapplied))
	gauge(c.leaderless, float64(w.leaderless))
	gauge(c.stalled, float64(w.stalled))
	gauge(c.short, float64(w.short))
	gauge(c.segments, float64(w.segments))
	gauge(c.bytes, float64(w.bytes))
	if c.h.env.Waiting == nil {
		return
	}
	for class, name := range queues {
		gauge(c.depth, float64(c.h.env.Waiting(class)), name)
	}
}

// weight sums up the groups of a host.
type weight struct {
	unapplied                  uint64
	leaderless, stalled, short int
	segments                   int
	bytes                      int64
}

func (h *Host) weigh(now time.Time) (w weight) {
	for _, g := range h.groups.all() {
		segments, bytes := g.store.Size()
		w.segments += segments
		w.bytes += bytes
		if g.Healthy() != nil {
			continue
		}
		last, applied := g.status.ends()
		w.unapplied += last - min(applied, last)
		if _, _, ok := h.Leader(g.id); !ok {
			w.leaderless++
		}
		if g.appends.age(now) > stallAfter {
			w.stalled++
		}
		if g.OutOfSpace() {
			w.short++
		}
	}
	return w
}
