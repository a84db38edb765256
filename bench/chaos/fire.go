package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"syscall"
	"time"
)

// fired is a fault that was.
type fired struct {
	Kind, What string
	Begin, End time.Duration // since the run's beginning
}

const (
	// wholeAmidst is how long the third lane waits until all copies are there while other faults go on. After it the others begin none until
	// they are, or else a short run would see few faults of the third lane. wholeWithin bounds the wait.
	wholeAmidst = 4 * time.Second
	wholeWithin = 60 * time.Second
	// unfitPause is before a lane tries the next fault when one could not be fired.
	unfitPause = 50 * time.Millisecond
)

// fire has all lanes fire until the time is over and their last faults have ended, then heals what is left. On a slow machine a kind may not have had
// its turn by then, or the elder is too young: then there is half as much time again.
func (r *run) fire(ctx context.Context, n int, length time.Duration) error {
	begin := r.now()
	r.elder.Store(nil)
	r.faulted = true
	firing, cancel := context.WithTimeout(ctx, length+length/2)
	defer cancel()
	var wg sync.WaitGroup
	wg.Go(func() {
		nap(firing, length)
		for firing.Err() == nil && (len(r.unfired(begin)) > 0 || !r.grown(length)) {
			nap(firing, lookEvery)
		}
		cancel()
	})
	if r.aging() {
		wg.Go(func() { r.growOld(firing, begin, length) })
	}
	errs := make([]error, len(lanes))
	for number, l := range r.lanes {
		if l == nil {
			continue
		}
		wg.Go(func() {
			if errs[number] = r.fireLane(firing, number, l); errs[number] != nil {
				cancel()
			}
		})
	}
	wg.Wait()
	r.lacks(n, r.unfired(begin)...)
	return errors.Join(append(errs, r.heal(ctx))...)
}

// unfired are the chosen kinds that have not been since a time.
func (r *run) unfired(since time.Duration) (kinds []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, k := range r.o.kinds {
		if !slices.ContainsFunc(r.fired, func(f fired) bool { return f.Kind == k && f.Begin >= since }) {
			kinds = append(kinds, k)
		}
	}
	return kinds
}

func (r *run) fireLane(ctx context.Context, number int, l *lane) error {
	for {
		s := l.next()
		nap(ctx, s.Pause)
		if number == copiesLane {
			if err := r.awaitWhole(ctx); err != nil && ctx.Err() == nil {
				return err
			}
		} else {
			for r.calm.Load() && ctx.Err() == nil {
				nap(ctx, lookEvery)
			}
		}
		if ctx.Err() != nil {
			return nil
		}
		begin := r.now()
		what, err := r.do(ctx, s)
		if errors.Is(err, errUnfit) {
			r.mu.Lock()
			r.unfit[s.Kind]++
			r.mu.Unlock()
			nap(ctx, unfitPause)
			continue
		}
		if err != nil {
			return fmt.Errorf("%s: %w", s.Kind, err)
		}
		end := r.now()
		fmt.Printf("%7.1f s  %-10s %5.1f s  %s\n", begin.Seconds(), s.Kind, (end - begin).Seconds(), what)
		r.mu.Lock()
		r.fired = append(r.fired, fired{s.Kind, what, begin, end})
		r.mu.Unlock()
	}
}

// awaitWhole waits until all copies are there, at first while other faults go on.
func (r *run) awaitWhole(ctx context.Context) error {
	if until(ctx, wholeAmidst, r.unwhole) == nil {
		r.whole()
		return nil
	}
	r.calm.Store(true)
	defer r.calm.Store(false)
	began := r.now()
	if err := until(ctx, wholeWithin, r.unwhole); err != nil && ctx.Err() == nil {
		_, err := r.stuck("not all copies of all partitions are there %s after the last fault of a process or the network: %v", wholeWithin, err)
		return err
	} else if err == nil {
		r.whole()
		fmt.Printf("%7.1f s  all copies are there, %.1f s after other faults were held back\n", r.now().Seconds(), (r.now() - began).Seconds())
	}
	return nil
}

// do fires one fault, and returns when it has ended.
func (r *run) do(ctx context.Context, s step) (string, error) {
	switch s.Kind {
	case kill:
		return r.kill(ctx, s)
	case stop:
		return r.stop(ctx, s)
	case killAll:
		return r.killAll(ctx, s)
	case transfer:
		return r.transfer(ctx, s)
	case slow:
		return r.slow(ctx, s)
	case gossipDrop:
		return r.gossip(ctx, s)
	case eio:
		return r.eio(ctx, s)
	case noSpace:
		return r.noSpace(ctx, s)
	case bitFlip:
		return r.bitFlip(ctx, s)
	case wipe:
		return r.wipe(ctx, s)
	case joinDrain:
		return r.joinDrain(ctx, s)
	case rotate:
		return r.rotate(ctx)
	}
	return r.partition(ctx, s)
}

// heal undoes everything, so that a fault that was cut short leaves nothing.
func (r *run) heal(ctx context.Context) error {
	r.net.HealAll()
	var errs []error
	for _, m := range r.machines {
		if err := m.take(ctx); err != nil {
			return errors.Join(append(errs, err)...)
		}
		if m.member.Load() {
			errs = append(errs, m.empty(), m.boot(), m.Signal(syscall.SIGCONT))
		}
		m.give()
	}
	return errors.Join(errs...)
}
