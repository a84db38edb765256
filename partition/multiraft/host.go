package multiraft

import (
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/runnel-io/runnel/partition/env"
	"github.com/runnel-io/runnel/partition/raftlog"
)

// Config is what a Host needs. Durations and budgets of zero take their defaults.
type Config struct {
	Env *env.Env
	// BrokerID is this broker's id; BootNonce is drawn anew at every start and is never 0.
	BrokerID  int32
	BootNonce uint64
	Store     *raftlog.Store
	Transport Transport
	// Registerer takes the metrics; nil for none.
	Registerer prometheus.Registerer
	// Leaving tells whether a broker has said that it is about to stop: it gets no leaderships. Nil for never. It is called from any goroutine.
	Leaving func(broker int32) bool
	// TickInterval is raft's tick, 500 ms unless told otherwise: an election times out after 10 to 20 of them. It is only the net
	// below the detection between brokers and the nursing of leaders that wait, and may be slow.
	TickInterval time.Duration
	// HeartbeatInterval is how often brokers tell each other that they live, 100 ms. A broker silent for SilentAfter, 500 ms, is
	// taken for dead.
	HeartbeatInterval, SilentAfter time.Duration
	// InflightBytes bounds what one group may have sent and not got acknowledged, a quarter of it each, 64 MiB.
	InflightBytes int64
}

func (c *Config) setDefaults() {
	if c.TickInterval <= 0 {
		c.TickInterval = 500 * time.Millisecond
	}
	if c.HeartbeatInterval <= 0 {
		c.HeartbeatInterval = 100 * time.Millisecond
	}
	if c.SilentAfter <= 0 {
		c.SilentAfter = 5 * c.HeartbeatInterval
	}
	if c.Leaving == nil {
		c.Leaving = func(int32) bool { return false }
	}
	if c.InflightBytes <= 0 {
		c.InflightBytes = 64 << 20
	}
}

// Host runs the replicas of one broker.
type Host struct {
	*shared
	store  *raftlog.Store
	groups groupTable

	// beat is the one ticker of the broker: heartbeats, slow ticks, elections, leader changes. It is a task so that what it does
	// is ordered, and a timer wakes it.
	beat    env.Task
	timer   env.Timer // owned by beat
	started atomic.Bool
	stopped atomic.Bool // Stop began
	deaf    atomic.Bool // and no group runs any more
	ticker  ticker      // owned by beat
	// nextBeat is when the next heartbeat is due, in Unix nanoseconds; early asks for it before that. See inStep.
	nextBeat atomic.Int64
	early    atomic.Bool
	watchers leaderWatchers
}

// shared is what the groups of one host have in common. A Group gets this and not the Host.
type shared struct {
	env       *env.Env
	log       *slog.Logger
	self      int32
	limits    limits
	out       *outbox
	live      *liveness
	leaders   *leaderTable
	elections *elections
	metrics   *metrics
	leaving   func(broker int32) bool
	departure atomic.Pointer[handOver] // set once this broker hands over what it leads
	// quarantine records durably that a replica may never run again; it blocks.
	quarantine func(group, replica uint64, reason string) error
}

// New makes a Host. Start begins its heartbeats.
func New(c Config) *Host {
	c.setDefaults()
	h := &Host{store: c.Store}
	log := c.Env.Log.With("component", "multiraft", "broker", c.BrokerID)
	s := &shared{
		env:        c.Env,
		log:        log,
		self:       c.BrokerID,
		limits:     newLimits(c.InflightBytes),
		metrics:    newMetrics(c.Registerer),
		quarantine: c.Store.Quarantine,
		leaving:    c.Leaving,
	}
	h.shared = s
	h.beat = c.Env.NewTask(env.ClassRaft, "beat", h.runBeat)
	s.out = newOutbox(c.BootNonce, c.Transport, s.metrics)
	s.live = newLiveness(c.BrokerID, c.BootNonce, c.SilentAfter, c.Env, log, h.beat.Wake)
	s.live.register(c.Registerer)
	s.leaders = newLeaderTable(c.BootNonce, c.Env, h.beat.Wake)
	s.elections = newElections(s.live, c.Env, h.beat.Wake)
	h.ticker = ticker{tick: c.TickInterval, beat: c.HeartbeatInterval}
	if c.Registerer != nil {
		c.Registerer.MustRegister(newCollector(h))
	}
	return h
}

// Start begins the heartbeats and the ticks.
func (h *Host) Start() {
	if h.started.Swap(true) {
		return
	}
	h.elections.hold(h.env.Now().Add(holdMost))
	h.beat.Wake()
}

// ReleaseHeld lets the replicas stand for election that were started with GroupConfig.Held: all of this broker's are open.
func (h *Host) ReleaseHeld() { h.elections.release() }

// SetBrokers tells whom to exchange heartbeats with. The own id is left out if it is there.
func (h *Host) SetBrokers(ids []int32) {
	h.live.setBrokers(ids)
	h.out.setBrokers(h.live.brokers())
	h.leaders.setBrokers(ids)
	h.beat.Wake()
}

// Alive tells whether a broker's heartbeats arrive, and ours at it. It is true for this broker.
func (h *Host) Alive(broker int32) bool { return h.live.alive(broker) }

// Refused says that a broker's peer port refused a connection: it is taken for dead at once, until it is heard again.
func (h *Host) Refused(broker int32) { h.live.refuse(broker) }

// Reached says that a lane to a broker is connected, for the first time or again. What was sent on it before may be lost: a broker
// that starts again is heard before it can be reached, and a connection takes with it what it carried. Raft would notice
// at its next slow heartbeat.
func (h *Host) Reached(broker int32) { h.live.reach(broker) }

// Receive takes a packet from the transport. It does not block and may be called from anywhere; the packet belongs to
// the Host afterwards.
func (h *Host) Receive(from int32, p *Packet) {
	if h.deaf.Load() {
		return
	}
	if !h.live.heard(from, p) {
		return // of a boot that is over
	}
	if p.Heartbeat != nil {
		h.inStep(from)
	}
	h.leaders.receive(from, p)
	for _, n := range p.NoLead {
		if g := h.groups.get(n.Group); g != nil {
			g.noLead(n.Replica, n.Term)
		}
	}
	for _, m := range p.Messages {
		g := h.groups.get(m.Group)
		if g == nil {
			h.metrics.dropped.WithLabelValues(dropUnknown).Inc()
			continue
		}
		g.receive(from, m.Raft)
	}
}

// Leader tells who leads a group, by this broker's own replica and by what the brokers that lead say. ok is false if
// nobody is known, or the broker is not heard.
func (h *Host) Leader(group uint64) (broker int32, term uint64, ok bool) {
	broker, term = h.leaders.leader(group)
	if g := h.groups.get(group); g != nil {
		v := g.view.Load()
		switch {
		case v.term < term || v.lead == 0 || v.leadBroker == 0:
		case v.lead == g.replica && !v.session: // about to; nothing can be asked of it yet
			return 0, v.term, false
		default:
			broker, term = v.leadBroker, v.term
		}
	}
	if broker == 0 || !h.live.hears(broker) {
		return 0, term, false
	}
	return broker, term, true
}

// OnLeaders has f called after the table behind Leader changed. Calls are coalesced; f must not block.
func (h *Host) OnLeaders(f func()) { h.watchers.add(f) }

// StopGroup stops a replica, waits for its work in progress and closes its log. Stopping an unknown group does nothing.
func (h *Host) StopGroup(group uint64) error {
	g := h.groups.remove(group)
	if g == nil {
		return nil
	}
	g.halt()
	if err := g.close(true); err != nil {
		return fmt.Errorf("close the log of group %d: %w", group, err)
	}
	return nil
}

// errGroupRuns is returned by StartGroup for a group that has a replica running here.
var errGroupRuns = errors.New("a replica of the group runs already on this broker; stop it first")
