package stream

import (
	"slices"
	"sync"
	"time"
)

// Waits are how long probes waited for their acknowledgement in a while.
type Waits struct {
	Probes    int
	P50, P99  time.Duration
	Longest   time.Duration
	Partition int32 // where the longest was
}

// waits collects them.
type waits struct {
	mu        sync.Mutex
	all       []time.Duration
	longest   time.Duration
	partition int32
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
	took := at.Sub(w.open[p])
	delete(w.open, p)
	w.all = append(w.all, took)
	w.atLeast(p, took)
}

func (w *waits) atLeast(p int32, d time.Duration) {
	if d > w.longest {
		w.longest, w.partition = d, p
	}
}

// take gives the waits since the last take. A probe in flight has waited until now at least.
func (w *waits) take(now time.Time) Waits {
	w.mu.Lock()
	defer w.mu.Unlock()
	for p, at := range w.open {
		w.atLeast(p, now.Sub(at))
	}
	out := Waits{Probes: len(w.all), Longest: w.longest, Partition: w.partition}
	slices.Sort(w.all)
	if n := len(w.all); n > 0 {
		out.P50, out.P99 = w.all[n/2], w.all[min(n-1, n*99/100)]
	}
	w.all, w.longest, w.partition = nil, 0, 0
	return out
}
