package gossip

import (
	"bytes"
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
	refused        *prometheus.CounterVec // reason
	falseAlarms    prometheus.Counter
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
		falseAlarms: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "runnel_gossip_false_suspicions_total", Help: "Times that others suspected this broker or declared it dead, and it told them that it lives.",
		}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "runnel_gossip_refused_total",
			Help: "Incoming packets and connections of gossip that were refused, by reason (label: of something else; key: not encrypted, or with a foreign key).",
		}, []string{"reason"}),
	}
	for _, r := range refusals {
		m.refused.WithLabelValues(r.reason)
	}
	for _, result := range []string{"ok", "failed"} { // so that the first increase shows
		m.rejoins.WithLabelValues(result)
	}
	if r == nil {
		return m, nil
	}
	err := errors.Join(register(r, &m.members), register(r, &m.missingSeeds), register(r, &m.changes),
		register(r, &m.rejoins), register(r, &m.refusedStreams), register(r, &m.falseAlarms), register(r, &m.refused))
	if err != nil {
		return nil, fmt.Errorf("gossip: register metrics: %w", err)
	}
	return m, nil
}

// refutations are the lines with which memberlist tells that it contradicts: it tells it in no other way. Its score moves for other reasons
// too, and no event is of oneself. A test has it say so, for the words may change with a release.
var refutations = [][]byte{[]byte("Refuting a suspect message"), []byte("Refuting a dead message")}

// heard counts what a line of memberlist's log tells.
func (m *metrics) heard(line []byte) {
	for _, r := range refutations {
		if bytes.Contains(line, r) {
			m.falseAlarms.Inc()
			return
		}
	}
	m.refusedBy(line)
}

// registerHealth shows memberlist's own judgement, once there is a memberlist.
func registerHealth(r prometheus.Registerer, score func() int) error {
	if r == nil {
		return nil
	}
	health := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "runnel_gossip_health_score",
		Help: "How far this broker is from keeping gossip's deadlines, as it judges by probes that failed and suspicions that it refuted; 0 is well, 7 the worst.",
	}, func() float64 { return float64(score()) })
	return register(r, &health)
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

// refusals are the lines with which memberlist tells what it refuses: it counts nothing itself.
var refusals = []struct{ line, reason string }{
	{"discarding packet with unacceptable label", "label"},
	{"discarding stream with unacceptable label", "label"},
	{"Decrypt packet failed", "key"},
	{"failed to receive: encryption is configured but remote state is not encrypted", "key"},
	{"failed to receive: no installed keys could decrypt the message", "key"},
}

// refusedBy counts what a line of memberlist's log says was refused.
func (m *metrics) refusedBy(line []byte) {
	for _, r := range refusals {
		if bytes.Contains(line, []byte(r.line)) {
			m.refused.WithLabelValues(r.reason).Inc()
			return
		}
	}
}
