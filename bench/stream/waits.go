package stream

import (
	"slices"
	"sync"
	"time"
)

// Waits are how long probes waited for their acknowledgement in a while.
type Waits struct {
	Probes         int
	P50, P99, P999 time.Duration
	Longest        time.Duration
	Partition      int32     // where the longest was
	Sent           time.Time // when its probe was sent
}

// waits collects them.
type waits struct {
	mu        sync.Mutex
	all       []time.Duration
	longest   time.Duration
	partition int32
	since     time.Time
	open      map[int32]time.Time // by partition: when the probe in flight was sent
}

func (w *waits) sent(p int32, at time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.open[p] = at
}

func (w *waits) acked(p int32, at time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all = append(w.all, at.Sub(w.open[p]))
	w.atLeast(p, w.open[p], at)
	delete(w.open, p)
}

func (w *waits) atLeast(p int32, sent, until time.Time) {
	if d := until.Sub(sent); d > w.longest {
		w.longest, w.partition, w.since = d, p, sent
	}
}

// take gives the waits since the last take. A probe in flight has waited until now at least.
func (w *waits) take(now time.Time) Waits {
	w.mu.Lock()
	defer w.mu.Unlock()
	for p, at := range w.open {
		w.atLeast(p, at, now)
	}
	out := Waits{Probes: len(w.all), Longest: w.longest, Partition: w.partition, Sent: w.since}
	slices.Sort(w.all)
	if n := len(w.all); n > 0 {
		out.P50, out.P99, out.P999 = w.all[n/2], w.all[n*99/100], w.all[n*999/1000]
	}
	w.all, w.longest, w.partition, w.since = nil, 0, 0, time.Time{}
	return out
}
