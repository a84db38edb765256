package broker

import (
	"runtime"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// registerMetrics shows what is the whole broker's; each part registers its own. deploy/prometheus/METRICS.md lists all of them and is made from what
// is registered (make metrics-doc).
func (b *Broker) registerMetrics() {
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value)
	}
	b.reg.MustRegister(
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "runnel_build_info", Help: "1, by the broker's version and that of Go.",
			ConstLabels: prometheus.Labels{"version": Version(), "go_version": runtime.Version()},
		}, func() float64 { return 1 }),
		brokerInfo{b},
		gauge("runnel_broker_ready", "1 if the broker serves (/readyz), else 0.", func() float64 {
			if b.Ready() == nil {
				return 1
			}
			return 0
		}),
	)
}

// registerBudget shows the budget of bytes in flight once it is made.
func (b *Broker) registerBudget() {
	b.reg.MustRegister(
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "runnel_broker_produce_budget_bytes", Help: "Bytes of produce requests that may be in flight (memory.produce.bytes).",
		}, func() float64 { return float64(b.budget.Limit()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "runnel_broker_produce_budget_used_bytes", Help: "Bytes of produce requests that are in flight.",
		}, func() float64 { return float64(b.budget.Used()) }),
	)
}

// brokerInfo tells who the broker is, once it knows.
type brokerInfo struct{ b *Broker }

var brokerInfoDesc = prometheus.NewDesc("runnel_broker_info", "1, by the broker's id, its rack and the cluster's id; absent before it is a member.",
	[]string{"broker_id", "rack", "cluster_id"}, nil)

// Describe implements prometheus.Collector.
func (brokerInfo) Describe(ds chan<- *prometheus.Desc) { ds <- brokerInfoDesc }

// Collect implements prometheus.Collector.
func (i brokerInfo) Collect(ms chan<- prometheus.Metric) {
	id := i.b.store.Identity()
	if id.BrokerID == 0 {
		return
	}
	ms <- prometheus.MustNewConstMetric(brokerInfoDesc, prometheus.GaugeValue, 1, strconv.Itoa(int(id.BrokerID)), i.b.cfg.Rack, id.ClusterID)
}
