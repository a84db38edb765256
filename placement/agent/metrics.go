package agent

import "github.com/prometheus/client_golang/prometheus"

// register shows the replicas of this broker by what became of them. Nothing is counted on the way of a request.
func (a *Agent) register(r prometheus.Registerer) {
	if r == nil {
		return
	}
	if err := r.Register(newCollector(a, a.cfg.Series)); err != nil {
		a.log.Error("the metrics of topics could not be registered", "error", err)
	}
	received := prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "runnel_agent_received_bytes_total", Help: "Bytes received of the logs of replicas that were installed on this broker, or are to be.",
	}, func() float64 {
		a.mu.Lock()
		defer a.mu.Unlock()
		return float64(a.installs.received)
	})
	if err := r.Register(received); err != nil {
		a.log.Error("a metric could not be registered", "metric", "runnel_agent_received_bytes_total", "error", err)
	}
	for _, state := range []string{"running", "starting", "installing", "failed", "quarantined", "deleting"} {
		g := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "runnel_agent_replicas", Help: "Replicas of this broker by state.", ConstLabels: prometheus.Labels{"state": state},
		}, func() float64 { return float64(a.inState(state)) })
		if err := r.Register(g); err != nil {
			a.log.Error("a metric could not be registered", "metric", "runnel_agent_replicas", "error", err)
		}
	}
}

func (a *Agent) inState(state string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := 0
	for _, r := range a.replicas {
		if r.stateLocked() == state {
			n++
		}
	}
	return n
}

// stateLocked names the replica's state for metrics; it needs Agent.mu.
func (r *replica) stateLocked() string {
	switch {
	case r.fault != "":
		return "failed"
	case r.want == wantGone:
		return "deleting"
	case r.lost != "" || r.live != nil && r.live.raft.Healthy() != nil:
		return "quarantined"
	case r.live != nil:
		return "running"
	case r.install != nil:
		return "installing"
	}
	return "starting"
}
