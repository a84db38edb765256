package plan

import (
	"math"

	"github.com/runnel-io/runnel/placement"
)

// What heals waits for nothing but what heals. An operator may have asked for hundreds of moves that take hours, and when one of them ends, the
// next has its place before there is a plan. So what heals is proposed beside all else, as much of it as the limits allow, and overtakes
// what has not begun; package placement/controller lets no more begin than the limits allow in all. Everything else counts whatever is
// under way, or waits to be.

// Heals tells whether a move brings a partition back to the replicas that it should have.
func Heals(k placement.Kind) bool {
	return k == placement.KindReplaceDead || k == placement.KindReplaceQuarantined || k == placement.KindReplicationFactor
}

// traffic counts new replicas that are under way to a broker, and from it as a leader.
type traffic struct{ receives, sends int }

// loads are the traffic of all moves, and of those that heal, and how many more new replicas are idle on their way to a broker though all that
// they need is heard: it may be the broker that takes up nothing.
type loads struct {
	all, healing traffic
	idle         int
}

func (l *loads) of(healing bool) *traffic {
	if healing {
		return &l.healing
	}
	return &l.all
}

// room is how many more moves may be proposed, of those that heal or of others.
func (w *world) room(healing bool) int {
	switch {
	case w.v.MaxMoves <= 0:
		return math.MaxInt
	case healing:
		return max(0, w.v.MaxMoves-w.healing)
	}
	return max(0, w.v.MaxMoves-w.moves)
}

func (w *world) hasRoom(healing bool) bool { return w.room(healing) > 0 }

// mayCopy tells whether the limits allow one more copy of the partition to the broker. What is idle on its way there counts, but not for what heals,
// which may have no other place.
func (w *world) mayCopy(p *part, b int, healing bool) bool {
	if w.v.MaxPerBroker <= 0 {
		return true
	}
	src, to := w.source(p), &w.brokers[b]
	receives := to.of(healing).receives
	if !healing {
		receives += to.idle
	}
	return receives < w.v.MaxPerBroker && (src < 0 || w.brokers[src].of(healing).sends < w.v.MaxPerBroker)
}

// goesOn tells whether fewer copies are idle on their way to a broker than one receives at a time.
func (w *world) goesOn(b int) bool {
	return w.v.MaxPerBroker <= 0 || w.brokers[b].idle < w.v.MaxPerBroker
}

// underWay counts the move of a partition, which does not stand still.
func (w *world) underWay(p *part) {
	m := p.p.Move
	if !w.v.Idle[m.ID] {
		w.begin(m.Kind)
	}
	for _, r := range m.Adds {
		if b := w.at(r.Broker); w.v.Idle[m.ID] && b >= 0 {
			w.brokers[b].idle++
		} else {
			w.copies(p, r.Broker, m.Kind)
		}
	}
}

// begin counts a move.
func (w *world) begin(kind placement.Kind) {
	w.moves++
	if Heals(kind) {
		w.healing++
	}
}

// copies books a copy of a partition to a broker on those who receive and send it.
func (w *world) copies(p *part, to int32, kind placement.Kind) {
	b, src := w.at(to), w.source(p)
	if b < 0 {
		return
	}
	for _, healing := range []bool{false, true} {
		if healing && !Heals(kind) {
			break
		}
		w.brokers[b].of(healing).receives++
		if src >= 0 {
			w.brokers[src].of(healing).sends++
		}
	}
}
