package controller

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/runnel-io/runnel/placement"
)

// register shows the applied state's size and whether this broker leads the cluster.
func (c *Controller) register(r prometheus.Registerer) {
	if r == nil {
		return
	}
	of := func(f func(s *placement.State) int) func() float64 {
		return func() float64 { return float64(f(c.State())) }
	}
	for _, m := range []struct {
		name, help string
		value      func() float64
	}{
		{"runnel_controller_revision", "Revision of the cluster state applied here.", func() float64 { return float64(c.State().Revision) }},
		{"runnel_controller_brokers", "Brokers registered in the cluster.", of(func(s *placement.State) int { return len(s.Brokers) })},
		{"runnel_controller_topics", "Topics in the cluster.", of(func(s *placement.State) int { return len(s.Topics) })},
		{"runnel_controller_replicas", "Replicas of all topics in the cluster.", of(func(s *placement.State) int { return s.Replicas })},
		{"runnel_controller_tombstones", "Deleted replicas whose holders have not answered.", of(func(s *placement.State) int { return len(s.Tombstones) })},
		{"runnel_controller_leads", "1 if this broker leads the controller group in session.", func() float64 {
			c.mu.Lock()
			defer c.mu.Unlock()
			if c.pipeline.term != 0 {
				return 1
			}
			return 0
		}},
		{"runnel_controller_pending", "Changes waiting or in flight on the leader.", func() float64 {
			c.mu.Lock()
			defer c.mu.Unlock()
			return float64(c.pipeline.pending())
		}},
		{"runnel_controller_moves", "Moves that this broker drives.", func() float64 { return float64(c.counts.moving.Load()) }},
		{"runnel_controller_moves_finished", "Moves that this broker drove to their end since it started.", func() float64 { return float64(c.counts.finished.Load()) }},
		{"runnel_controller_moves_cancelled", "Moves that ended otherwise while this broker drove them, since it started.", func() float64 { return float64(c.counts.cancelled.Load()) }},
		{"runnel_controller_leader_transfers", "Leaders that this broker sent to their preferred brokers since it started.", func() float64 { return float64(c.counts.transfers.Load()) }},
		{"runnel_controller_unknown_commands", "Committed commands that this version did not know: upgrade the broker.", func() float64 {
			return float64(c.unknown.Load())
		}},
	} {
		if err := r.Register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: m.name, Help: m.help}, m.value)); err != nil {
			c.log.Error("a metric could not be registered", "metric", m.name, "err", err)
		}
	}
}
