package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// A kind of fault, by the name that -faults takes.
const (
	kill       = "kill"       // SIGKILL one broker, start it again
	stop       = "stop"       // SIGSTOP, later SIGCONT
	killAll    = "killall"    // SIGKILL all brokers at once
	transfer   = "transfer"   // leaderships are moved
	full       = "full"       // one broker hears and is heard by no other; clients reach it
	half       = "half"       // two sides that do not hear each other
	oneWay     = "oneway"     // one broker is heard, and hears nobody, or the reverse
	bridge     = "bridge"     // two sides that only one broker between them hears
	slow       = "slow"       // a broker's links have a delay and a rate
	gossipDrop = "gossip"     // most datagrams of gossip are lost
	clientsCut = "clients"    // clients do not reach one broker
	eio        = "eio"        // an fdatasync fails
	noSpace    = "enospc"     // a disk fills up
	bitFlip    = "bitflip"    // a bit of a stored record is flipped
	wipe       = "wipe"       // a disk is lost
	joinDrain  = "join-drain" // a broker joins, another is drained and removed
	rotate     = "rotate"     // certificates, keys and CAs are changed
)

// lanes are the sequences of faults that go on side by side: one fault of each at a time. Those of copiesLane take a copy away for good, or
// move copies, so each of them first waits until all copies are there.
var lanes = [][]string{
	{kill, stop, killAll, transfer},
	{full, half, oneWay, bridge, slow, gossipDrop, clientsCut},
	{eio, noSpace, bitFlip, wipe, joinDrain},
	{rotate},
}

const copiesLane = 2

func kinds() []string { return slices.Concat(lanes...) }

// parseKinds reads -faults: some kinds, or all, or all but some ("all,-eio").
func parseKinds(text string) ([]string, error) {
	if text == "" {
		text = "all"
	}
	var out []string
	for _, k := range strings.Split(text, ",") {
		if k == "all" {
			out = kinds()
			continue
		}
		if i := slices.Index(out, strings.TrimPrefix(k, "-")); strings.HasPrefix(k, "-") && i >= 0 {
			out = slices.Delete(out, i, i+1)
			continue
		}
		if !slices.Contains(kinds(), k) {
			return nil, fmt.Errorf("no fault is called %q: use some of %s", k, strings.Join(kinds(), ","))
		}
		if !slices.Contains(out, k) {
			out = append(out, k)
		}
	}
	return out, nil
}

// step is one fault to come.
type step struct {
	Kind    string
	Order   []int         // broker numbers, from 1, the most wanted first: the first of them that is fit is hit
	For     time.Duration // how long it lasts
	Pause   time.Duration // before it
	Variant uint64        // further choices
}

// lane draws the steps of one lane. A seed always gives the same ones; what each of them meets in the run differs.
type lane struct {
	kinds []string
	round []string // what is left of this round
	rand  *rand.Rand
	slots int
}

// newLane answers nil if none of the kinds belongs to the lane.
func newLane(seed uint64, number int, chosen []string, brokers int) *lane {
	l := &lane{rand: rand.New(rand.NewPCG(seed, uint64(number))), slots: brokers}
	for _, k := range lanes[number] {
		if slices.Contains(chosen, k) {
			l.kinds = append(l.kinds, k)
		}
	}
	if len(l.kinds) == 0 {
		return nil
	}
	return l
}

// next draws the next step. Each kind comes once a round, so that none is left out of a short run; kill and stop, which are quick and
// hit most, come twice.
func (l *lane) next() step {
	if len(l.round) == 0 {
		l.round = slices.Clone(l.kinds)
		for _, k := range l.kinds {
			if k == kill || k == stop {
				l.round = append(l.round, k)
			}
		}
		l.rand.Shuffle(len(l.round), func(i, j int) { l.round[i], l.round[j] = l.round[j], l.round[i] })
	}
	s := step{Kind: l.round[0], Variant: l.rand.Uint64()}
	l.round = l.round[1:]
	s.Order = l.rand.Perm(l.slots)
	for i := range s.Order {
		s.Order[i]++
	}
	s.For = 500*time.Millisecond + time.Duration(l.rand.Int64N(int64(2*time.Second)))
	s.Pause = 200*time.Millisecond + time.Duration(l.rand.Int64N(int64(800*time.Millisecond)))
	return s
}
