package multiraft

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/runnel-io/runnel/partition/env"
)

// maxTimed bounds the proposals of one group whose time is taken. More are in flight only while nothing commits, and then the oldest tell
// enough.
const maxTimed = 256

// proposals takes the time from proposal to commit on a leader. It asks the clock once a turn and once a commit, never for a record. It
// belongs to the worker.
type proposals struct {
	// at is when the newest proposal was stepped into raft, zero if its index is known: Ready tells it.
	at    time.Time
	timed []proposal // rising; those before head are over
	head  int
}

// proposal is the index of a proposal's last entry, and when it was made.
type proposal struct {
	index uint64
	at    time.Time
}

// made notes that raft took a proposal. One that was not placed yet stands for this one too.
func (p *proposals) made(clock env.Clock) {
	if p.at.IsZero() {
		p.at = clock.Now()
	}
}

// placed notes that the log reaches up to last now.
func (p *proposals) placed(last uint64) {
	if p.at.IsZero() {
		return
	}
	if len(p.timed)-p.head < maxTimed {
		p.timed = append(p.timed, proposal{last, p.at})
	}
	p.at = time.Time{}
}

// committed notes that everything up to commit is.
func (p *proposals) committed(commit uint64, clock env.Clock, seconds prometheus.Observer) {
	if p.head == len(p.timed) || p.timed[p.head].index > commit {
		return
	}
	now := clock.Now()
	for p.head < len(p.timed) && p.timed[p.head].index <= commit {
		seconds.Observe(now.Sub(p.timed[p.head].at).Seconds())
		p.head++
	}
	if p.head == len(p.timed) {
		p.timed, p.head = p.timed[:0], 0
	} else if p.head >= maxTimed { // of a leader that never gets through all: the array must not grow
		p.timed = append(p.timed[:0], p.timed[p.head:]...)
		p.head = 0
	}
}

// clear forgets those of a leadership that is over: their fate is not known here.
func (p *proposals) clear() { *p = proposals{timed: p.timed[:0]} }
