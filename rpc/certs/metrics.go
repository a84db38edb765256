package certs

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics are shared by all uses of a broker.
type Metrics struct {
	notAfter *prometheus.GaugeVec   // use
	reloads  *prometheus.CounterVec // use, result
}

// NewMetrics registers with r, or with nothing if r is nil.
func NewMetrics(r prometheus.Registerer) (*Metrics, error) {
	m := &Metrics{
		notAfter: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "runnel_tls_certificate_not_after_seconds", Help: "When the certificate in force expires, Unix seconds, by use (client, peer).",
		}, []string{"use"}),
		reloads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "runnel_tls_reloads_total",
			Help: "Changed files of certificates and keys, by use (client, peer, gossip) and result (ok; failed: the former ones stay in force).",
		}, []string{"use", "result"}),
	}
	if r == nil {
		return m, nil
	}
	if err := errors.Join(r.Register(m.notAfter), r.Register(m.reloads)); err != nil {
		return nil, fmt.Errorf("certs: register metrics: %w", err)
	}
	return m, nil
}

// known gives a use its counters at 0, so that a rate is there before the first change.
func (m *Metrics) known(use string) {
	for _, result := range []string{"ok", "failed"} {
		m.reloads.WithLabelValues(use, result)
	}
}
