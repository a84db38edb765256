package main

import (
	"context"
	"slices"
	"time"
)

// What leaks does so with time and with what happens to a process, so I23 needs one that is old. In the second half of each round one broker,
// the elder, is spared by the faults that end processes or hit disks, and not all brokers are killed at once. All else goes on, and hits it too.

// aging tells whether there is an elder. A run that only kills all brokers, again and again, has none.
func (r *run) aging() bool { return !slices.Equal(r.o.kinds, []string{killAll}) }

// oldAge is how long a process must have lived at the end of a round for I23.
func (r *run) oldAge(length time.Duration) time.Duration {
	if !r.aging() {
		return 0
	}
	return length / 2
}

// spares tells whether a fault of this kind must not hit a machine.
func (r *run) spares(m *machine, kind string) bool { return kind != stop && r.elder.Load() == m }

// growOld waits for the second half of a round, and until all brokers were killed at once if that is to be, and chooses the elder.
func (r *run) growOld(ctx context.Context, begin, length time.Duration) {
	nap(ctx, length/2)
	for ctx.Err() == nil && (slices.Contains(r.unfired(begin), killAll) || !r.chooseElder()) {
		nap(ctx, lookEvery)
	}
}

// chooseElder takes the oldest broker that nothing works on now. The one with the small disk is hit by every fault that fills one.
func (r *run) chooseElder() bool {
	var best *machine
	for _, m := range r.machines {
		if m == r.smallMachine || !m.tryTake() {
			continue
		}
		if r.mayAge(m) && (best == nil || m.age() > best.age()) {
			m, best = best, m
		}
		if m != nil {
			m.give()
		}
	}
	if best == nil {
		return false
	}
	defer best.give()
	r.mu.Lock()
	defer r.mu.Unlock()
	if best.leaving { // since a moment ago
		return false
	}
	r.elder.Store(best)
	return true
}

// mayAge tells whether a machine that is taken can be the elder.
func (r *run) mayAge(m *machine) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return m.member.Load() && m.Running() && !m.leaving
}

// leave notes that a machine's broker is to be removed, unless it is the elder.
func (r *run) leave(m *machine) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	m.leaving = m.leaving || r.elder.Load() != m
	return m.leaving
}

// grown tells whether the elder is old enough, if there is to be one.
func (r *run) grown(length time.Duration) bool {
	m := r.elder.Load()
	return !r.aging() || m != nil && m.age() >= r.oldAge(length)
}
