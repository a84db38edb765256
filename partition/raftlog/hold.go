package raftlog

import (
	"slices"
	"time"
)

// The lease on the tail of a shipment (RULES 8). It ends when nobody has read for a while, after a time in any case, and
// when it keeps more on disk than retention can bear.
const (
	holdIdle   = time.Minute    // renewed by each read; also how long it lingers for the learner to come
	holdLonger = 2 * time.Hour  // from its beginning
	holdBytes  = int64(1) << 30 // of entries that would be gone without it
)

// hold keeps FirstIndex at or below an index. Guarded by Log.mu.
type hold struct {
	from  uint64
	until time.Time // renewed
	end   time.Time // never beyond this
}

func (l *Log) addHoldLocked(from uint64) *hold {
	now := l.s.o.Clock.Now()
	h := &hold{from: from, until: now.Add(holdIdle), end: now.Add(holdLonger)}
	l.holds = append(l.holds, h)
	return h
}

func (l *Log) renewHold(h *hold) {
	l.mu.Lock()
	defer l.mu.Unlock()
	h.until = l.s.o.Clock.Now().Add(holdIdle)
}

func (l *Log) dropHold(h *hold) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.holds = slices.DeleteFunc(l.holds, func(o *hold) bool { return o == h })
}

// lingerHold moves a lease up to index from and lets it run out by itself.
func (l *Log) lingerHold(h *hold, from uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	h.from = max(h.from, from)
	h.until = l.s.o.Clock.Now().Add(holdIdle)
}

// holdLocked is the index that FirstIndex must not pass, and false if there is none. Leases that are over go.
func (l *Log) holdLocked() (lowest uint64, held bool) {
	if len(l.holds) == 0 {
		return 0, false
	}
	now := l.s.o.Clock.Now()
	l.holds = slices.DeleteFunc(l.holds, func(h *hold) bool {
		if now.After(h.until) || now.After(h.end) {
			return true
		}
		kept := int64(0)
		for i := 0; i+1 < len(l.segs); i++ {
			if l.segs[i].last >= h.from && l.segs[i+1].base <= l.logStart {
				kept += l.segs[i].bytes
			}
		}
		if kept > holdBytes {
			l.log.Warn("gives up the lease on the tail of a shipment: retention needs the space", "index", h.from, "bytes", kept)
			return true
		}
		return false
	})
	for i, h := range l.holds {
		if i == 0 || h.from < lowest {
			lowest = h.from
		}
	}
	return lowest, len(l.holds) > 0
}
