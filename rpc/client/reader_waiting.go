package client

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// settled is how old a stream has to be before it counts as working although it has delivered nothing yet: one to a dead
// address breaks within that.
const settled = 3 * time.Second

// Waiting tells why the reader cannot read now, for a person: that a partition has no leader, or how its leader fails. It
// is empty when nothing is wrong, also if there is only nothing new to read. Any goroutine may call it.
func (r *Reader) Waiting() string {
	select {
	case <-r.positioned:
	default:
		return r.waitingForStart()
	}
	v := r.c.meta.topic(r.topic)
	now := time.Now()
	first, more := "", 0
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		return ""
	}
	for _, n := range slices.Sorted(maps.Keys(r.parts)) {
		p := r.parts[n]
		why := ""
		switch {
		case p.stopped, p.stream != nil && (p.lastErr == nil || now.Sub(p.stream.opened) >= settled):
			continue
		case int(n) >= len(v.leaders) || v.leaders[n].id == noLeader:
			why = fmt.Sprintf("partition %s has no leader", r.where(p))
		case p.lastErr != nil:
			why = fmt.Sprintf("partition %s: broker %d: %s", r.where(p), v.leaders[n].id, plainReason(p.lastErr))
		default:
			continue // a stream is about to be opened
		}
		if first == "" {
			first = why
		} else {
			more++
		}
	}
	return andMore(first, more)
}

// waitingForStart is Waiting before it is known where the partitions start.
func (r *Reader) waitingForStart() string {
	v := r.c.meta.topic(r.topic)
	if len(v.leaders) == 0 {
		if reason := r.c.refresh.reach.reason(); reason != "" {
			return reason
		}
		return fmt.Sprintf("no broker has told who leads topic %s", r.topic)
	}
	first, more := "", 0
	for n, l := range v.leaders {
		if l.id != noLeader || len(r.cfg.partitions) > 0 && !slices.Contains(r.cfg.partitions, int32(n)) {
			continue
		}
		if first == "" {
			first = fmt.Sprintf("partition %s/%d has no leader", r.topic, n)
		} else {
			more++
		}
	}
	if first != "" {
		return andMore(first, more)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.startErr != nil {
		return plainReason(r.startErr)
	}
	return fmt.Sprintf("the leaders of topic %s have not told its offsets", r.topic)
}

// noteStart keeps why the search for the start goes on.
func (r *Reader) noteStart(e *Error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.startErr = e
}

func andMore(first string, more int) string {
	switch more {
	case 0:
		return first
	case 1:
		return first + " (and 1 more partition waits)"
	}
	return fmt.Sprintf("%s (and %d more partitions wait)", first, more)
}
