package controller

import (
	"sync"
	"time"

	"github.com/runnel-io/runnel/placement"
)

const (
	// maxSpan is the most that one pass adds to a silence. Somebody passes once a second at least.
	maxSpan = 5 * time.Second
	// newsFor is how long a broker that came, came back or fell silent is news. One that is found restarted within it after it came back
	// came back by that restart.
	newsFor = 10 * time.Second
	// sessionGrace is what a broker has to be silent yet, of ReplaceAfter, when a leader session starts: a leader that was cut off from all
	// others does not hear them all again in the same moment.
	sessionGrace = 10 * time.Second
	// firstMute is how long a broker that came back gets no leaders, twice as long each time that it was there for less than calmFor.
	firstMute = 2 * time.Second
	calmFor   = 30 * time.Second
)

// hearing keeps how long each broker has been silent, and which came back just now. Every member of the controller group listens all the
// time, so that a leader goes on from what it heard before it led, whoever led then. It adds up short spans instead of taking
// the difference to a moment long ago: a member that was itself stopped for an hour, or whose clock jumped, must not take the
// others for dead.
type hearing struct {
	mute time.Duration // never changes

	mu           sync.Mutex
	replaceAfter time.Duration
	last         time.Time
	session      time.Duration // since the leader session started
	brokers      map[int32]*heard
	changes      uint64
}

type heard struct {
	alive  bool
	silent time.Duration
	up     time.Duration // since it came or came back
	muted  time.Duration // that is left
	mute   time.Duration // as of when it came back last
	boot   uint64        // 0 if unknown
}

func newHearing(c Config) *hearing {
	return &hearing{replaceAfter: c.ReplaceAfter, mute: c.MuteAfterReturn, brokers: map[int32]*heard{}}
}

// follow takes in after what silence a broker is replaced.
func (h *hearing) follow(replaceAfter time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.replaceAfter != replaceAfter {
		h.replaceAfter = replaceAfter
		h.changes++
	}
}

// pass takes in who is alive now. It answers a count of the changes so far that a plan depends on, and when the first broker is no longer
// muted; 0 if none is. A broker that is seen for the first time counts as one that came back.
func (h *hearing) pass(now time.Time, brokers map[int32]*placement.Broker, alive func(int32) bool) (changes uint64, unmutes time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	var span time.Duration
	if !h.last.IsZero() {
		span = min(max(0, now.Sub(h.last)), maxSpan)
	}
	if back := h.last.Sub(now); back <= 0 || back > maxSpan { // else another pass took the time a moment later and got in before
		h.last = now
	}
	h.session += span
	for id := range brokers {
		b := h.brokers[id]
		if b == nil {
			b = &heard{alive: alive(id)}
			h.brokers[id] = b
			h.changes++
			if b.alive { // else when it comes
				h.backLocked(b)
			}
		} else {
			h.heardLocked(b, alive(id), span)
		}
		if b.muted > 0 && (unmutes == 0 || b.muted < unmutes) {
			unmutes = b.muted
		}
	}
	for id := range h.brokers {
		if brokers[id] == nil {
			delete(h.brokers, id)
			h.changes++
		}
	}
	return h.changes, unmutes
}

func (h *hearing) heardLocked(b *heard, up bool, span time.Duration) {
	switch {
	case up && !b.alive:
		b.alive, b.silent = true, 0
		h.backLocked(b)
		return
	case up:
		b.up += span
	case b.alive:
		b.alive = false
		h.changes++
	default:
		if b.silent < h.replaceAfter && b.silent+span >= h.replaceAfter {
			h.changes++
		}
		b.silent += span
	}
	if b.muted > 0 && b.muted <= span {
		h.changes++
	}
	b.muted = max(0, b.muted-span)
}

// backLocked takes in that a broker came, came back or was restarted: one that does so again and again gets no leaders for longer.
func (h *hearing) backLocked(b *heard) {
	next := firstMute
	if b.mute > 0 && b.up < calmFor {
		next = 2 * b.mute
	}
	b.mute = min(next, h.mute)
	b.muted, b.up = b.mute, 0
	h.changes++
}

// booted takes in a broker's boot nonce; another one than before means that it was restarted, however quickly.
func (h *hearing) booted(broker int32, boot uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	b := h.brokers[broker]
	if b == nil {
		return
	}
	if b.boot != 0 && b.boot != boot && b.up >= newsFor {
		h.backLocked(b)
	}
	b.boot = boot
}

// began takes in that a leader session starts (sessionGrace).
func (h *hearing) began() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.session = 0
	for _, b := range h.brokers {
		b.silent = min(b.silent, max(0, h.replaceAfter-sessionGrace))
	}
}

// news tells whether a broker came, came back or fell silent lately.
func (h *hearing) news() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, b := range h.brokers {
		if b.alive && b.up < newsFor || !b.alive && b.silent < newsFor {
			return true
		}
	}
	return false
}

func (h *hearing) alive(broker int32) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	b := h.brokers[broker]
	return b != nil && b.alive
}

func (h *hearing) muted(broker int32) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	b := h.brokers[broker]
	return b != nil && b.muted > 0
}

// each gives what is known of every broker.
func (h *hearing) each(f func(broker int32, b heard)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for id, b := range h.brokers {
		f(id, *b)
	}
}

// silences tells for how long the brokers that are not heard have not been in this leader session: for what must be sure.
func (h *hearing) silences() map[int32]time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := map[int32]time.Duration{}
	for id, b := range h.brokers {
		if !b.alive {
			out[id] = min(b.silent, h.session)
		}
	}
	return out
}

// lost tells whether a broker is silent for so long that it is replaced.
func (h *hearing) lost(broker int32) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	b := h.brokers[broker]
	return b != nil && !b.alive && b.silent >= h.replaceAfter
}
