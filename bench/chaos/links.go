package main

import (
	"context"
	"fmt"
	"time"

	"github.com/runnel-io/runnel/bench/chaos/proxy"
)

// clients is their number at the proxy.
const clients = 0

// between is both directions between each of a and each of b.
func between(a, b []int) []proxy.Pair {
	var out []proxy.Pair
	for _, x := range a {
		for _, y := range b {
			if x != y {
				out = append(out, proxy.Pair{From: x, To: y}, proxy.Pair{From: y, To: x})
			}
		}
	}
	return out
}

// partitioned is what a kind of partition cuts, and how to say it. order are the members' numbers.
func partitioned(kind string, order []int, variant uint64) ([]proxy.Pair, string) {
	one, rest := order[:1], order[1:]
	switch kind {
	case full:
		return between(one, rest), fmt.Sprintf("broker %d from all others", one[0])
	case half:
		a, b := order[:len(order)/2], order[len(order)/2:]
		return between(a, b), fmt.Sprintf("%v from %v", a, b)
	case oneWay:
		var out []proxy.Pair
		deaf := variant%2 == 0
		for _, x := range rest {
			if deaf {
				out = append(out, proxy.Pair{From: x, To: one[0]})
			} else {
				out = append(out, proxy.Pair{From: one[0], To: x})
			}
		}
		if deaf {
			return out, fmt.Sprintf("broker %d hears no other", one[0])
		}
		return out, fmt.Sprintf("no other hears broker %d", one[0])
	case bridge:
		a, b := rest[:len(rest)/2], rest[len(rest)/2:]
		return between(a, b), fmt.Sprintf("%v from %v, broker %d hears both", a, b, one[0])
	case clientsCut:
		return between([]int{clients}, one), fmt.Sprintf("clients from broker %d", one[0])
	}
	panic("chaos: " + kind + " is no partition")
}

// members are the numbers of the cluster's machines in the step's order.
func (r *run) members(s step) []int {
	var out []int
	for _, n := range s.Order {
		if r.machines[n-1].member.Load() {
			out = append(out, n)
		}
	}
	return out
}

func (r *run) partition(ctx context.Context, s step) (string, error) {
	pairs, what := partitioned(s.Kind, r.members(s), s.Variant)
	reset := s.Variant>>8%2 == 0
	before := r.net.Hits(pairs...)
	r.net.Cut(pairs...)
	nap(ctx, s.For)
	hits := r.net.Hits(pairs...) - before
	r.net.Heal(reset, pairs...)
	if hits == 0 {
		return "", errUnfit // nobody sent anything there
	}
	if reset {
		what += ", connections broken"
	}
	return fmt.Sprintf("%s for %s, %d pieces held up or lost", what, s.For.Round(time.Millisecond), hits), nil
}

func (r *run) slow(ctx context.Context, s step) (string, error) {
	order := r.members(s)
	how := proxy.Slow{Delay: time.Duration(2+s.Variant%40) * time.Millisecond, Rate: 64 << 10 << (s.Variant >> 8 % 5)}
	pairs := between(order[:1], order[1:])
	before := r.net.Hits(pairs...)
	r.net.Slow(how, pairs...)
	nap(ctx, s.For)
	r.net.Slow(proxy.Slow{}, pairs...)
	hits := r.net.Hits(pairs...) - before
	if hits == 0 {
		return "", errUnfit
	}
	return fmt.Sprintf("broker %d, %s and %d KiB/s for %s, %d pieces delayed", order[0], how.Delay, how.Rate>>10, s.For.Round(time.Millisecond), hits), nil
}

// gossip loses datagrams for longer than other faults: brokers ask each other every 2 s.
func (r *run) gossip(ctx context.Context, s step) (string, error) {
	order := r.members(s)
	pairs := between(order, order)
	before := r.net.Counts()
	r.net.Drop(0.8, pairs...)
	nap(ctx, 2*s.For)
	r.net.Drop(0, pairs...)
	lost := r.net.Counts().Lost - before.Lost
	if lost == 0 {
		return "", errUnfit
	}
	return fmt.Sprintf("%d datagrams lost in %s", lost, (2 * s.For).Round(time.Millisecond)), nil
}
