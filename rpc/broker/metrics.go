package broker

import (
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// metrics of the client port. Labels are bounded: api is a fixed set, reason is the enum. Nothing is labelled by topic.
type metrics struct {
	requests       *prometheus.CounterVec
	produces       prometheus.Counter // of requests: the one call that is counted thousands of times a second
	errors         *prometheus.CounterVec
	bytesIn        prometheus.Counter
	bytesOut       prometheus.Counter
	produceSeconds prometheus.Histogram
	fetchSeconds   prometheus.Histogram
	inFlight       prometheus.Gauge
	budgetWaits    prometheus.Counter
	streams        *prometheus.GaugeVec
	panics         prometheus.Counter
}

func newMetrics(r prometheus.Registerer) *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "runnel_broker_requests_total", Help: "Requests of clients, by call.",
		}, []string{"api"}),
		errors: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "runnel_broker_errors_total", Help: "Errors given to clients, by call and reason; one a partition.",
		}, []string{"api", "reason"}),
		bytesIn: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "runnel_broker_produce_bytes_total", Help: "Bytes of produce requests.",
		}),
		bytesOut: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "runnel_broker_fetch_bytes_total", Help: "Bytes of record batches sent to consumers.",
		}),
		produceSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "runnel_broker_produce_seconds",
			Help:    "From the admission of a produce request to its last answer.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 15),
		}),
		fetchSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "runnel_broker_fetch_seconds",
			Help:    "Reading the batches of one response to a consumer, from memory or disk. Neither the wait for new records nor that for a slow consumer is in it.",
			Buckets: prometheus.ExponentialBuckets(0.00005, 2, 17),
		}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "runnel_broker_produce_in_flight", Help: "Produce requests admitted and not yet answered.",
		}),
		budgetWaits: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "runnel_broker_produce_budget_waits_total",
			Help: "Produce requests that had to wait for room in the broker's budget of bytes in flight.",
		}),
		streams: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "runnel_broker_streams", Help: "Open streams, by call.",
		}, []string{"api"}),
		panics: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "runnel_broker_panics_total", Help: "Defects met while serving a request; the log has the stack.",
		}),
	}
	// Series that are there from the start show their first increase.
	for _, api := range []string{apiProduce, apiFetch, apiFetchOnce, apiListOffsets, apiMetadata, apiInitProducer} {
		m.requests.WithLabelValues(api)
	}
	m.streams.WithLabelValues(apiProduce)
	m.streams.WithLabelValues(apiFetch)
	m.produces = m.requests.WithLabelValues(apiProduce)
	if r != nil {
		r.MustRegister(m.requests, m.errors, m.bytesIn, m.bytesOut, m.produceSeconds, m.fetchSeconds, m.inFlight, m.budgetWaits,
			m.streams, m.panics)
	}
	return m
}

// error counts one error and hands it back.
func (m *metrics) error(api string, e *runnelv1.Error) *runnelv1.Error {
	if e != nil {
		m.errors.WithLabelValues(api, reasonLabel(e.GetReason())).Inc()
	}
	return e
}

func (m *metrics) produced(d time.Duration) { m.produceSeconds.Observe(d.Seconds()) }

func (m *metrics) fetched(bytes int, d time.Duration) {
	m.bytesOut.Add(float64(bytes))
	if bytes > 0 {
		m.fetchSeconds.Observe(d.Seconds())
	}
}

func reasonLabel(r runnelv1.ErrorReason) string {
	if s, ok := runnelv1.ErrorReason_name[int32(r)]; ok {
		return strings.ToLower(strings.TrimPrefix(s, "ERROR_REASON_"))
	}
	return "other"
}
