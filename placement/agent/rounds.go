package agent

import (
	"cmp"
	"slices"
	"sync/atomic"
	"time"

	"github.com/runnel-io/runnel/partition/raftlog"
)

// partitionEvery is how many seconds pass between two visits of a partition. It divides the minute in which partition spreads the
// expiry of producers, and keeps thousands of idle ones cheap: nothing that a partition decides by time is due to the second.
const partitionEvery = 5

// rounds are the replicas that run, by the second of five in which their turn is. Tick goes through them each second, and with
// thousands of them a slice is a tenth of the work that a map is. They are gathered anew when the running set has changed.
type rounds struct {
	stale atomic.Bool
	due   [partitionEvery][]*live // of Tick alone
}

// serve lets requests reach a replica.
func (a *Agent) serve(l *live) {
	a.running.Store(l.group, l)
	a.rounds.stale.Store(true) // after the change that it tells of
}

func (a *Agent) unserve(l *live) {
	a.running.CompareAndDelete(l.group, l)
	a.rounds.stale.Store(true)
}

// gather renews the rounds if the running set has changed.
func (r *rounds) gather(a *Agent) {
	if !r.stale.Swap(false) {
		return
	}
	for i := range r.due {
		clear(r.due[i]) // those that are gone must not stay reachable
		r.due[i] = r.due[i][:0]
	}
	a.running.Range(func(_, v any) bool {
		l := v.(*live)
		i := l.group % partitionEvery
		r.due[i] = append(r.due[i], l)
		return true
	})
	for _, ls := range r.due {
		slices.SortFunc(ls, func(x, y *live) int { return cmp.Compare(x.group, y.group) })
	}
}

// round gives a fifth of the partitions their second and looks after their replicas. The others are only looked at, at one word.
func (a *Agent) round(now time.Time) {
	a.rounds.gather(a)
	turn := turnOf(now)
	for i, ls := range a.rounds.due {
		if uint64(i) != turn { //nolint:gosec // small
			for _, l := range ls {
				l.partition.WakeLate()
			}
			continue
		}
		for _, l := range ls {
			l.partition.Tick(now)
			a.lookAfter(l)
		}
	}
}

// turnOf tells which fifth a second is for: that in which second plus group divides by five.
func turnOf(now time.Time) uint64 {
	return (partitionEvery - uint64(now.Unix())%partitionEvery) % partitionEvery
}

// lookAfter notices what nobody tells: that a replica has stopped for a reason that does not forbid it to run again, and that voters
// of a group that it leads can never catch up.
func (a *Agent) lookAfter(l *live) {
	if err := l.raft.Healthy(); err != nil {
		if !raftlog.Lasting(err) {
			a.runAgain(l, err)
		}
		return
	}
	st := l.raft.Status()
	lacks := len(lackingVoters(st)) > 0 || len(a.outsiders(l, st)) > 0
	if !lacks && !l.lacked {
		return
	}
	l.lacked = lacks
	a.mu.Lock()
	defer a.mu.Unlock()
	if lacks && l.replica.live == l {
		a.lacking[l] = true
	} else {
		delete(a.lacking, l)
	}
}
