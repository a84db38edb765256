package plan

import (
	"fmt"
	"strings"

	"github.com/runnel-io/runnel/placement"
)

// quorum tells how many of some voters take part now.
type quorum struct {
	serve, of int
	// bad is the broker of one that never will again, whatever else: dead or quarantined; -1 if there is none.
	bad int
	// could counts those that are not bad.
	could int
	// silent holds the ids of the brokers that are not heard.
	silent []string
}

func (w *world) quorum(at []slot) quorum {
	q := quorum{of: len(at), bad: -1}
	for _, s := range at {
		if w.serves(s) {
			q.serve++
		} else if !w.brokers[s.broker].alive {
			q.silent = append(q.silent, fmt.Sprint(w.brokers[s.broker].id))
		}
		if w.bad(s) {
			q.bad = s.broker
		} else {
			q.could++
		}
	}
	return q
}

// ok tells whether a majority serves.
func (q quorum) ok() bool { return q.serve >= majority(q.of) }

// lost tells whether no majority serves, nor will by waiting.
func (q quorum) lost() bool { return !q.ok() && q.bad >= 0 }

// String says what is the matter and what to do when too few serve.
func (q quorum) String() string {
	do := "give up what is lost with `brokerctl partition recover`"
	if len(q.silent) > 0 {
		do = "bring back broker " + strings.Join(q.silent, ", ") + " or " + do
	}
	return fmt.Sprintf("%d of %d replicas serve, which is no majority: %s", q.serve, q.of, do)
}

func majority(n int) int { return n/2 + 1 }

// slots are the replicas of the state as slots; those of brokers that are no members are left out.
func (w *world) slots(rs []placement.Replica) []slot {
	out := make([]slot, 0, len(rs))
	for _, r := range rs {
		if b := w.at(r.Broker); b >= 0 {
			out = append(out, slot{id: r.ID, broker: b})
		}
	}
	return out
}

// stands tells whether a partition's move stands still: a broker that it needs is silent, or a majority is missing. Such a move copies
// nothing. It is not counted as one under way, or a few of them would keep all others from being healed for as long as they last.
func (w *world) stands(p *part) bool {
	m := p.p.Move
	switch {
	case m.Phase == placement.PhaseLeft:
		return false // nothing but a command is missing
	case !w.quorum(w.slots(p.p.Replicas)).ok():
		return true
	case m.Cancelled:
		return false
	case !w.quorum(p.at).ok():
		return true
	case m.Phase == placement.PhaseJoint:
		return false
	}
	for _, s := range w.slots(m.Adds) {
		if !w.serves(s) {
			return true
		}
	}
	return false
}

// lost tells of moves that cannot go on, nor be turned back, since a majority is lost that they need.
func (w *world) lost() {
	for i := range w.topics {
		for n := range w.topics[i].parts {
			p := &w.topics[i].parts[n]
			m := p.p.Move
			if m == nil || m.Phase == placement.PhaseLeft {
				continue
			}
			if q := w.quorum(w.slots(p.p.Replicas)); q.lost() {
				w.block(p, q.bad, fmt.Sprintf("move %d cannot go on: %s", m.ID, q))
				continue
			}
			if q := w.quorum(p.at); m.Phase == placement.PhaseJoint && q.lost() {
				w.block(p, q.bad, fmt.Sprintf("move %d cannot go on: after it, %s", m.ID, q))
			}
		}
	}
}
