package peer

import (
	"sync"
	"time"
)

// maxQuiet caps the brokers that quiet remembers; strangers can claim any id.
const maxQuiet = 1024

// quiet lets one log line a minute through for each broker.
type quiet struct {
	mu   sync.Mutex
	last map[int32]time.Time
}

func newQuiet() *quiet { return &quiet{last: map[int32]time.Time{}} }

func (q *quiet) allow(broker int32) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := time.Now()
	if now.Sub(q.last[broker]) < logEvery {
		return false
	}
	if len(q.last) >= maxQuiet {
		clear(q.last)
	}
	q.last[broker] = now
	return true
}
