package multiraft

import (
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/runnel-io/runnel/partition/env"
)

const (
	// refusedGrace is how long after a refused connection packets of the same boot may still come out of a socket's
	// buffer without being signs of life.
	refusedGrace = 50 * time.Millisecond
	// maxClockSkew is how far the clock may be from the peers' median for decisions by time (RULES 15).
	maxClockSkew = time.Minute
	// oldBoots is how many past boots of a broker are remembered, so that a late packet does not look like a restart.
	oldBoots = 4
)

// liveness knows which brokers live, by their heartbeats.
type liveness struct {
	self   int32
	nonce  uint64
	silent time.Duration
	env    *env.Env
	log    *slog.Logger
	kick   func() // has events called soon

	mu    sync.RWMutex
	peers map[int32]*peer
	ids   []int32 // of peers, rising
	gen   uint64  // counts changes of ids, from 1

	clockOff atomic.Bool // the clock is too far from the peers' median, or no peer has been heard yet
	judged   bool        // a peer's clock was heard; guarded by mu
	// begun and aheadMS are a clock that nobody sets: the time of day at begun, and what had to be added to it when the clocks were compared last.
	begun    time.Time
	aheadMS  atomic.Int64
	silences atomic.Int64 // times that a broker was taken for gone
}

// peer is what is known of another broker; guarded by liveness.mu.
type peer struct {
	id    int32
	nonce uint64 // 0: never heard
	old   []uint64
	seq   uint64 // of our heartbeats to it

	heardAt time.Time
	// ackedAt is when it last said that it hears us: both directions work.
	ackedAt   time.Time
	refusedAt time.Time // zero: its port did not refuse us since it was last heard
	aheadMS   int64     // its clock minus what begun says, which our clock's being set does not change

	up bool // as last told by events
	// Not yet told:
	nowRefused, nowRestarted, nowReached, nowBack bool
}

// peerEvent says that a broker went, came, came as a new boot, or is connected anew.
type peerEvent struct {
	broker                       int32
	down, up, restarted, reached bool
}

func newLiveness(self int32, nonce uint64, silent time.Duration, e *env.Env, log *slog.Logger, kick func()) *liveness {
	l := &liveness{self: self, nonce: nonce, silent: silent, env: e, log: log, kick: kick, peers: make(map[int32]*peer), begun: e.Now()}
	l.aheadMS.Store(l.ownAheadMS())
	return l
}

func (l *liveness) register(r prometheus.Registerer) {
	if r != nil {
		r.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Namespace: "runnel", Subsystem: "raft", Name: "silences_total",
			Help: "Times that another broker was taken for gone, since it was not heard or refused a connection."},
			func() float64 { return float64(l.silences.Load()) }))
	}
}

func (l *liveness) setBrokers(ids []int32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	next := make(map[int32]*peer, len(ids))
	l.ids = nil
	for _, id := range ids {
		if id == l.self || next[id] != nil {
			continue
		}
		p := l.peers[id]
		if p == nil {
			p = &peer{id: id}
		}
		next[id] = p
		l.ids = append(l.ids, id)
	}
	slices.Sort(l.ids)
	l.gen++
	l.peers = next
	if len(l.ids) > 0 && !l.judged {
		l.clockOff.Store(true)
	}
}

// brokers gives the other brokers' ids, rising. The slice must not be changed.
func (l *liveness) brokers() []int32 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.ids[:len(l.ids):len(l.ids)]
}

// heard takes note of a packet and tells whether it may be used: false if it is of a boot that is over.
func (l *liveness) heard(from int32, pk *Packet) bool {
	now := l.env.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.peers[from]
	if p == nil {
		return true
	}
	if pk.Nonce != p.nonce {
		// Of two boots, that of the first packet need not be the earlier one: what a dead process sent may be read after the first
		// words of its successor. The one that goes on speaking while the other is silent is alive.
		if past := slices.Index(p.old, pk.Nonce); past >= 0 {
			if now.Sub(p.heardAt) < l.silent {
				return false
			}
			p.old = slices.Delete(p.old, past, past+1)
		}
		if p.nonce != 0 {
			p.old = append(p.old, p.nonce)
			if len(p.old) > oldBoots {
				p.old = p.old[1:]
			}
			p.nowRestarted = true
			l.kick()
		}
		p.nonce, p.ackedAt, p.refusedAt = pk.Nonce, time.Time{}, time.Time{}
	}
	if !p.refusedAt.IsZero() {
		if now.Sub(p.refusedAt) < refusedGrace {
			return true
		}
		p.refusedAt = time.Time{}
	}
	p.heardAt = now
	if !p.up && !p.nowBack {
		p.nowBack = true
		l.kick()
	}
	if hb := pk.Heartbeat; hb != nil {
		p.aheadMS = hb.ClockMS - l.steadyMS(now)
		if hb.Ack && (hb.EchoNonce == 0 || hb.EchoNonce == l.nonce) {
			if now.Sub(p.ackedAt) > l.silent {
				l.kick() // an election may have waited for it
			}
			p.ackedAt = now
		}
	}
	return true
}

func (l *liveness) refuse(broker int32) {
	now := l.env.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	if p := l.peers[broker]; p != nil && p.refusedAt.IsZero() {
		p.refusedAt = now
		p.nowRefused = true
		l.kick()
	}
}

func (l *liveness) reach(broker int32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if p := l.peers[broker]; p != nil && !p.nowReached {
		p.nowReached = true
		l.kick()
	}
}

// events tells what changed since the last call, in the order of broker ids, and judges the clock.
func (l *liveness) events(now time.Time) []peerEvent {
	l.mu.Lock()
	defer l.mu.Unlock()
	var es []peerEvent
	for _, id := range l.ids {
		p := l.peers[id]
		hears := l.hearsLocked(p, now)
		e := peerEvent{broker: id, restarted: p.nowRestarted, reached: p.nowReached, up: hears && !p.up, down: p.up && !hears || p.nowRefused}
		if e.down || e.up || e.restarted || e.reached {
			es = append(es, e)
		}
		if e.down {
			l.silences.Add(1)
		}
		if e.down || e.up || e.restarted {
			l.log.Info("a broker came or went", "peer", id, "up", e.up, "down", e.down, "restarted", e.restarted, "refused", p.nowRefused)
		}
		p.up, p.nowRefused, p.nowRestarted, p.nowReached, p.nowBack = hears, false, false, false, false
	}
	l.judgeClockLocked(now)
	return es
}

// forgive takes silence of d away: this process was itself stalled.
func (l *liveness) forgive(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range l.peers {
		if p.up {
			p.heardAt = p.heardAt.Add(d)
			p.ackedAt = p.ackedAt.Add(d)
		}
	}
}

func (l *liveness) hearsLocked(p *peer, now time.Time) bool {
	return p.nonce != 0 && p.refusedAt.IsZero() && now.Sub(p.heardAt) < l.silent
}

// hears tells whether a broker's packets arrive. It is true for this broker.
func (l *liveness) hears(broker int32) bool {
	if broker == l.self {
		return true
	}
	now := l.env.Now()
	l.mu.RLock()
	defer l.mu.RUnlock()
	p := l.peers[broker]
	return p != nil && l.hearsLocked(p, now)
}

// pacemaker is the broker with the lowest id of those that are heard, this one included.
func (l *liveness) pacemaker() int32 {
	now := l.env.Now()
	l.mu.RLock()
	defer l.mu.RUnlock()
	for _, id := range l.ids {
		if id > l.self {
			break
		}
		if l.hearsLocked(l.peers[id], now) {
			return id
		}
	}
	return l.self
}

// alive tells whether packets pass both ways. It is true for this broker.
func (l *liveness) alive(broker int32) bool {
	now := l.env.Now()
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.withinLocked(broker, now, l.silent)
}

// withinLocked tells whether packets passed both ways within d.
func (l *liveness) withinLocked(broker int32, now time.Time, d time.Duration) bool {
	if broker == l.self {
		return true
	}
	p := l.peers[broker]
	return p != nil && p.nonce != 0 && p.refusedAt.IsZero() && now.Sub(p.ackedAt) < d && now.Sub(p.heardAt) < d
}

// heartbeat makes the next heartbeat to a broker.
func (l *liveness) heartbeat(to int32, now time.Time) *Heartbeat {
	l.mu.Lock()
	defer l.mu.Unlock()
	hb := &Heartbeat{ClockMS: l.env.Wall().UnixMilli()}
	if p := l.peers[to]; p != nil {
		p.seq++
		hb.Seq = p.seq
		hb.Ack = l.hearsLocked(p, now)
	}
	return hb
}

// judgeClockLocked compares the own clock with the median of all clocks that are heard. With an even number the worse
// of the two middle ones counts: of two brokers nobody knows who is right. Who hears none has learnt nothing.
func (l *liveness) judgeClockLocked(now time.Time) {
	own := l.ownAheadMS()
	skews := make([]int64, 1, len(l.ids)+1) // the own clock is 0 from itself
	for _, id := range l.ids {
		if p := l.peers[id]; l.hearsLocked(p, now) {
			skews = append(skews, p.aheadMS-own)
		}
	}
	n := len(skews)
	if n == 1 && len(l.ids) > 0 {
		return
	}
	slices.Sort(skews)
	earlier, later := skews[(n-1)/2], skews[n/2]
	off := tooFar(later) || tooFar(earlier)
	if off && (!l.clockOff.Load() || !l.judged) {
		l.log.Warn("this broker's clock is over a minute from its peers': no retention and no producer expiry until it is set right",
			"median_skew_ms", later)
	}
	l.judged = n > 1
	if off {
		own += later // of two the one that has records kept for longer
	}
	l.aheadMS.Store(own)
	l.clockOff.Store(off)
}

func tooFar(skewMS int64) bool {
	return skewMS > maxClockSkew.Milliseconds() || skewMS < -maxClockSkew.Milliseconds()
}

// clockOK tells whether the own clock may decide on time (RULES 15).
func (l *liveness) clockOK() bool { return !l.clockOff.Load() }

// steadyMS is the time of day as it would be if nobody had set the clock since begun.
func (l *liveness) steadyMS(now time.Time) int64 {
	return l.begun.UnixMilli() + now.Sub(l.begun).Milliseconds()
}

// ownAheadMS is by how much the clock was set forward since begun.
func (l *liveness) ownAheadMS() int64 { return l.env.Wall().UnixMilli() - l.steadyMS(l.env.Now()) }

// nowMS is the time of day, by the own clock or, if it is not right, the peers'. A clock that is set counts once it was compared with them: what is
// written in between would be as much too old or too new as it was set by.
func (l *liveness) nowMS() int64 { return l.steadyMS(l.env.Now()) + l.aheadMS.Load() }
