package peer

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/runnel-io/runnel/partition/multiraft"
)

type metrics struct {
	packets, bytes             *prometheus.CounterVec // peer, lane, direction
	drops, connects            *prometheus.CounterVec // peer, lane
	connected                  *prometheus.GaugeVec   // peer, lane
	refusedConns, refusedHello prometheus.Counter
}

// newMetrics registers with r, or with nothing if r is nil. A collector that r has already, from an earlier start in the
// same process, is used again.
func newMetrics(r prometheus.Registerer) (*metrics, error) {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	m := &metrics{
		packets:   counter("runnel_peer_packets_total", "Packets of raft traffic, by broker, lane and direction (in, out).", "peer", "lane", "direction"),
		bytes:     counter("runnel_peer_bytes_total", "Bytes of raft traffic as framed, by broker, lane and direction (in, out).", "peer", "lane", "direction"),
		drops:     counter("runnel_peer_drops_total", "Packets dropped because the queue was full, the broker not reachable, or a connection lost.", "peer", "lane"),
		connects:  counter("runnel_peer_connects_total", "Connections made to a broker, by lane; all but the first are reconnects.", "peer", "lane"),
		connected: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "runnel_peer_connected", Help: "1 while the lane to the broker is connected."}, []string{"peer", "lane"}),
		refusedConns: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "runnel_peer_refused_connections_total", Help: "Incoming connections closed at once because too many were open.",
		}),
		refusedHello: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "runnel_peer_refused_handshakes_total", Help: "Incoming connections whose handshake failed or was refused.",
		}),
	}
	if r == nil {
		return m, nil
	}
	err := errors.Join(register(r, &m.packets), register(r, &m.bytes), register(r, &m.drops), register(r, &m.connects),
		register(r, &m.connected), register(r, &m.refusedConns), register(r, &m.refusedHello))
	if err != nil {
		return nil, fmt.Errorf("peer: register metrics: %w", err)
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

// laneMetrics are the metrics of one lane, looked up once.
type laneMetrics struct {
	packets, bytes, drops, connects prometheus.Counter
	connected                       prometheus.Gauge
}

func (m *metrics) out(to int32, lane multiraft.Lane) laneMetrics {
	id, name := strconv.Itoa(int(to)), laneName(lane)
	return laneMetrics{
		packets: m.packets.WithLabelValues(id, name, "out"), bytes: m.bytes.WithLabelValues(id, name, "out"),
		drops: m.drops.WithLabelValues(id, name), connects: m.connects.WithLabelValues(id, name), connected: m.connected.WithLabelValues(id, name),
	}
}

func laneName(l multiraft.Lane) string {
	if l == multiraft.LaneAppend {
		return "append"
	}
	return "control"
}
