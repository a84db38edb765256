package agent

import (
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/runnel-io/runnel/partition/raftlog"
)

const (
	// What failed is tried again at the next Tick, then after firstRetry, and after twice as long each time.
	firstRetry = time.Second
	maxRetry   = 15 * time.Second
	// settledAfter is how long a replica has to run after a failure until the next failure counts as the first one.
	settledAfter = time.Minute
	// complainEvery is how often the log repeats that a replica still fails.
	complainEvery = time.Minute
)

// retries is how it stands with a replica that failed, guarded by Agent.mu.
type retries struct {
	failures  int // in a row
	notBefore time.Time
	told      time.Time // when the log said so last; zero: not yet
}

// waitError is a failure that only means that something else has to come first: it is no trouble and does not wait long.
type waitError struct{ why string }

func (e *waitError) Error() string { return e.why }

// failLocked notes that something could not be done for a replica.
func (a *Agent) failLocked(r *replica, do want, err error) {
	var q *raftlog.QuarantinedError
	if do == wantRun && errors.As(err, &q) {
		a.loseLocked(r, q.Reason)
		return
	}
	r.fault = err.Error()
	a.faulty[r.id] = r
	if w := (*waitError)(nil); errors.As(err, &w) {
		return
	}
	now := a.cfg.Env.Now()
	t := &r.retries
	t.notBefore = now
	if t.failures > 0 {
		t.notBefore = now.Add(min(firstRetry<<min(t.failures-1, 8), maxRetry))
	}
	t.failures++
	if !t.told.IsZero() && now.Sub(t.told) < complainEvery {
		return
	}
	t.told = now
	wanted := "run"
	if do == wantGone {
		wanted = "delete"
	}
	a.log.Error("a replica resists and will be tried again", "wanted", wanted, "topic", r.topic, "partition", r.number, "group", r.group,
		"replica", r.id, "failures", t.failures, "error", err)
}

// runAgain has a replica run that stopped although it may: its disk was full, or there were no descriptors.
func (a *Agent) runAgain(l *live, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if r := l.replica; r.live == l && r.want == wantRun && r.fault == "" && !r.working && !r.queued {
		a.failLocked(r, wantRun, err)
	}
}

// retry queues what failed and has waited.
func (a *Agent) retry() {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.cfg.Env.Now()
	for _, id := range slices.Sorted(maps.Keys(a.faulty)) {
		switch r := a.faulty[id]; {
		case r.fault != "":
			if !now.Before(r.retries.notBefore) {
				a.enqueueLocked(r)
			}
		case r.working || r.queued:
		case r.live != nil && r.want == wantRun && now.Sub(r.live.since) < settledAfter:
		default:
			if r.live != nil && r.retries.failures > 0 {
				a.log.Info("a replica that failed runs again", "topic", r.topic, "partition", r.number, "group", r.group, "replica", r.id)
			}
			r.retries = retries{}
			delete(a.faulty, id)
		}
	}
	a.queueInstallsLocked()
}
