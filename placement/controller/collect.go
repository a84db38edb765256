package controller

import "github.com/prometheus/client_golang/prometheus"

// collector shows what the leader of the controller group knows and does. What it knows of the cluster, only the leader tells; what it
// does, every broker, and it is 0 on those that do not lead.
type collector struct {
	c *Controller

	leader, moves, finished, actions                         *prometheus.Desc
	topics, partitions, replicas, leaderless, under, brokers *prometheus.Desc
	applied                                                  *prometheus.Desc
}

func newCollector(c *Controller) *collector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("runnel_controller_"+name, help, labels, nil)
	}
	const told = " Told by the controller's leader alone."
	return &collector{
		c:        c,
		leader:   desc("leader", "1 if this broker leads the controller group in session, else 0."),
		moves:    desc("moves", "Moves under way, by phase; cancelled are those on their way back. 0 but on the controller's leader.", "phase"),
		finished: desc("moves_finished_total", "Moves that ended while this broker led the controller, by result: done, cancelled, or failed since the topic was deleted or the partition recovered by hand.", "result"),
		actions:  desc("actions_total", "Changes of the cluster that this broker made as the controller's leader, by command; transfer_leader is a leader sent where it belongs.", "action"),
		topics:   desc("topics", "Topics of the cluster."+told),

		applied:    desc("applied_topics", "Topics in the state that this broker has applied."),
		partitions: desc("partitions", "Partitions of the cluster."+told),
		replicas:   desc("replicas", "Replicas of all topics of the cluster, those that moves add included."+told),
		leaderless: desc("leaderless_partitions", "Partitions of which no leader is heard."+told),
		under:      desc("under_replicated_partitions", "Partitions with a replica on a broker that is not heard, or that can never serve again."+told),
		brokers:    desc("brokers", "Brokers of the cluster by state: silent are those not heard, draining those heard that shall be emptied, alive all others."+told, "state"),
	}
}

// Describe implements prometheus.Collector.
func (m *collector) Describe(ds chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{m.leader, m.moves, m.finished, m.actions, m.applied, m.topics, m.partitions, m.replicas, m.leaderless, m.under, m.brokers} {
		ds <- d
	}
}

// Collect implements prometheus.Collector.
func (m *collector) Collect(ms chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v int, labels ...string) {
		ms <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(v), labels...)
	}
	counter := func(d *prometheus.Desc, v int64, labels ...string) {
		ms <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	c := m.c
	counter(m.finished, c.counts.finished.Load(), "done")
	counter(m.finished, c.counts.cancelled.Load(), "cancelled")
	counter(m.finished, c.counts.failed.Load(), "failed")
	counter(m.actions, c.counts.transfers.Load(), actionTransfer)
	c.actions.each(func(action string, n int64) { counter(m.actions, n, action) })
	gauge(m.applied, len(c.State().Topics))
	if !c.leads() {
		gauge(m.leader, 0)
		for _, phase := range movePhases {
			gauge(m.moves, 0, phase)
		}
		return
	}
	s := c.State()
	n := c.count(s)
	gauge(m.leader, 1)
	for _, phase := range movePhases {
		gauge(m.moves, n.moves[phase], phase)
	}
	gauge(m.topics, len(s.Topics))
	gauge(m.partitions, n.partitions)
	gauge(m.replicas, n.replicas)
	gauge(m.leaderless, n.leaderless)
	gauge(m.under, n.under)
	gauge(m.brokers, n.alive, "alive")
	gauge(m.brokers, n.silent, "silent")
	gauge(m.brokers, n.draining, "draining")
}
