package main

import (
	"slices"
	"time"
)

// outage is a time in which a partition acknowledged nothing, although clients had sent it something.
type outage struct {
	Slot       int
	Begin, End time.Duration // since the run's beginning
}

func (o outage) long() time.Duration { return o.End - o.Begin }

const (
	// worthTelling is the shortest outage that the time line shows.
	worthTelling = 500 * time.Millisecond
	// after a fault an outage may begin that it has caused: an election, a replacement.
	after = time.Second
)

// outages finds the gaps between acknowledgements, which are times since the round's beginning. Each slot has records under way all the time, so
// any gap is one.
func outages(acks [][]time.Duration, round time.Duration) []outage {
	var out []outage
	for slot, at := range acks {
		slices.Sort(at)
		for i := 1; i < len(at); i++ {
			if at[i]-at[i-1] >= worthTelling {
				out = append(out, outage{slot, round + at[i-1], round + at[i]})
			}
		}
	}
	return out
}

// longest is the longest outage that began while faults of a kind were on, or just after. Several faults may be on at a time; each is
// charged with it.
func longest(outages []outage, faults []fired, kind string) (worst outage) {
	for _, f := range faults {
		if f.Kind != kind {
			continue
		}
		for _, o := range outages {
			if o.Begin >= f.Begin-after/4 && o.Begin <= f.End+after && o.long() > worst.long() {
				worst = o
			}
		}
	}
	return worst
}
