package gossip

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	members        prometheus.Gauge
	missingSeeds   prometheus.Gauge
	changes        prometheus.Counter
	rejoins        *prometheus.CounterVec
	refusedStreams prometheus.Counter
}

// newMetrics registers with r, or with nothing if r is nil. A collector that r has already, from an earlier start in the
// same process, is used again.
func newMetrics(r prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		members: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "runnel_gossip_members", Help: "Brokers that gossip sees alive, this one included.",
		}),
		missingSeeds: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "runnel_gossip_missing_seeds", Help: "Seeds that are not seen as members.",
		}),
		changes: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "runnel_gossip_changes_total", Help: "Members that came, went or changed what they announce.",
		}),
		rejoins: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "runnel_gossip_rejoins_total", Help: "Attempts to join a seed, by result (ok, failed).",
		}, []string{"result"}),
		refusedStreams: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "runnel_gossip_refused_streams_total", Help: "Incoming gossip connections closed at once because too many were open.",
		}),
	}
	if r == nil {
		return m, nil
	}
	err := errors.Join(register(r, &m.members), register(r, &m.missingSeeds), register(r, &m.changes),
		register(r, &m.rejoins), register(r, &m.refusedStreams))
	if err != nil {
		return nil, fmt.Errorf("gossip: register metrics: %w", err)
	}
	return m, nil
}

func register[T prometheus.Collector](r prometheus.Registerer, c *T) error {
	err := r.Register(*c)
	var have prometheus.AlreadyRegisteredError
	if errors.As(err, &have) {
		if old, ok := have.ExistingCollector.(T); ok {
			*c = old
			return nil
		}
	}
	return err
}
