package controller

import (
	"maps"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/runnel-io/runnel/placement"
)

// register shows the applied state's size and what this broker does as the cluster's leader.
func (c *Controller) register(r prometheus.Registerer) {
	if r == nil {
		return
	}
	for _, m := range []struct {
		name, help string
		value      func() float64
	}{
		{"runnel_controller_revision", "Revision of the cluster state applied here.", func() float64 { return float64(c.State().Revision) }},
		{"runnel_controller_tombstones", "Deleted replicas whose holders have not answered, by the cluster state applied here.", func() float64 { return float64(len(c.State().Tombstones)) }},
		{"runnel_controller_leads", "The older name of runnel_controller_leader.", func() float64 {
			if c.leads() {
				return 1
			}
			return 0
		}},
		{"runnel_controller_leader_transfers", "Leaders that this broker sent to where they belong since it started; as a counter: runnel_controller_actions_total.", func() float64 { return float64(c.counts.transfers.Load()) }},
		{"runnel_controller_pending", "Changes waiting or in flight on the leader.", func() float64 {
			c.mu.Lock()
			defer c.mu.Unlock()
			return float64(c.pipeline.pending())
		}},
		{"runnel_controller_unknown_commands", "Committed commands that this version did not know: upgrade the broker.", func() float64 {
			return float64(c.unknown.Load())
		}},
	} {
		if err := r.Register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: m.name, Help: m.help}, m.value)); err != nil {
			c.log.Error("a metric could not be registered", "metric", m.name, "error", err)
		}
	}
	if err := r.Register(newCollector(c)); err != nil {
		c.log.Error("the metrics of the controller's leader could not be registered", "error", err)
	}
}

// leads tells whether this broker leads the controller group in session.
func (c *Controller) leads() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.pipeline.term != 0
}

// actions counts the commands of this broker that changed the state, by name. There are few of them a second at most.
type actions struct {
	mu sync.Mutex
	n  map[string]int64
}

func (a *actions) did(action string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.n == nil {
		a.n = map[string]int64{}
	}
	a.n[action]++
}

// each works on a copy: f may wait for whoever scrapes, and did is called where entries are applied.
func (a *actions) each(f func(action string, n int64)) {
	a.mu.Lock()
	n := maps.Clone(a.n)
	a.mu.Unlock()
	for action, n := range n {
		f(action, n)
	}
}

// actionTransfer is what is done without a command.
const actionTransfer = "transfer_leader"

// census is what the leader knows of the cluster as a whole.
type census struct {
	partitions, replicas, leaderless, under int
	alive, silent, draining                 int
	moves                                   map[string]int // by phase
}

// movePhases are the values of the label; cancelled stands for the phases of a move that is on its way back.
var movePhases = []string{
	string(placement.PhaseProposed), string(placement.PhaseInstalling), string(placement.PhaseLearner),
	string(placement.PhaseCaughtUp), string(placement.PhaseJoint), string(placement.PhaseLeft), "cancelled",
}

// count goes over a state. It costs O(replicas) and holds nothing meanwhile.
func (c *Controller) count(s *placement.State) census {
	n := census{moves: map[string]int{}}
	alive := c.aliveOf(s)
	for id, b := range s.Brokers {
		switch {
		case !alive[id]:
			n.silent++
		case b.Draining:
			n.draining++
		default:
			n.alive++
		}
	}
	var lost map[uint64]string
	if d := c.driving(); d != nil {
		lost = *d.quarantine.Load()
	}
	for _, t := range s.Topics {
		n.partitions += len(t.Partitions)
		for i := range t.Partitions {
			p := &t.Partitions[i]
			n.replicas += len(p.All())
			if m := p.Move; m != nil && m.Cancelled {
				n.moves["cancelled"]++
			} else if m != nil {
				n.moves[string(m.Phase)]++
			}
			if c.leaderless(p) {
				n.leaderless++
			}
			if underReplicated(p, alive, lost) {
				n.under++
			}
		}
	}
	return n
}

func (c *Controller) leaderless(p *placement.Partition) bool {
	if c.cfg.Leader == nil {
		return false
	}
	_, _, ok := c.cfg.Leader(p.Group)
	return !ok
}

// underReplicated tells whether a replica of a partition does not do its part, as far as the controller knows: it hears brokers and of replicas that
// failed. Whether one only lags, its leader tells.
func underReplicated(p *placement.Partition, alive map[int32]bool, lost map[uint64]string) bool {
	for _, r := range p.Replicas {
		if _, bad := lost[r.ID]; bad || r.Learner || !alive[r.Broker] {
			return true
		}
	}
	return false
}
