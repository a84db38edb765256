package controller

import (
	"time"

	"github.com/runnel-io/runnel/placement"
)

// hearing keeps how long each broker has been silent, and which came back just now. It adds up short spans instead of taking
// the difference to a moment long ago: a leader that was itself stopped for an hour, or whose clock jumped, must not take the
// others for dead.
type hearing struct {
	replaceAfter, mute time.Duration
	last               time.Time
	brokers            map[int32]*heard
}

type heard struct {
	alive  bool
	silent time.Duration
	muted  time.Duration // that is left
	boot   uint64        // 0 if unknown
}

// maxSpan is the most that one pass adds to a silence. The loop passes once a second at least.
const maxSpan = 5 * time.Second

// pass takes in who is alive now, and tells whether anything changed that a plan depends on. A broker that is new, or seen for
// the first time by this leader, counts as one that came back.
func (h *hearing) pass(now time.Time, brokers map[int32]*placement.Broker, alive func(int32) bool) (changed bool) {
	var span time.Duration
	if !h.last.IsZero() {
		span = min(max(0, now.Sub(h.last)), maxSpan)
	}
	h.last = now
	for id := range brokers {
		b := h.brokers[id]
		if b == nil {
			b = &heard{alive: alive(id), muted: h.mute}
			h.brokers[id] = b
			changed = true
			continue
		}
		if up := alive(id); up != b.alive {
			b.alive = up
			changed = true
			if up {
				b.silent, b.muted = 0, h.mute
				continue
			}
		}
		if b.alive {
			b.silent = 0
			changed = changed || b.muted > 0 && b.muted <= span
			b.muted = max(0, b.muted-span)
			continue
		}
		before := b.silent
		b.silent += span
		changed = changed || before < h.replaceAfter && b.silent >= h.replaceAfter
	}
	if len(h.brokers) > len(brokers) {
		for id := range h.brokers {
			if brokers[id] == nil {
				delete(h.brokers, id)
				changed = true
			}
		}
	}
	return changed
}

// booted takes in a broker's boot nonce; another one than before means that it was restarted, however quickly.
func (h *hearing) booted(broker int32, boot uint64) {
	b := h.brokers[broker]
	if b == nil {
		return
	}
	if b.boot != 0 && b.boot != boot {
		b.muted = h.mute
	}
	b.boot = boot
}

func (h *hearing) alive(broker int32) bool {
	b := h.brokers[broker]
	return b != nil && b.alive
}

func (h *hearing) muted(broker int32) bool {
	b := h.brokers[broker]
	return b != nil && b.muted > 0
}
