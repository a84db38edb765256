package controller

import (
	"github.com/runnel-io/runnel/placement"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

const (
	// maxPending bounds the commands that wait or are in flight; further requests are refused as OVERLOADED.
	maxPending = 1024
	// maxTurnBytes bounds what one turn proposes; a single larger command goes alone.
	maxTurnBytes = 1 << 20
)

// pipeline holds the commands of one leader session on their way into the log. All of it is guarded by Controller.mu.
type pipeline struct {
	// term is that of the session; 0 while there is none.
	term uint64
	// version changes whenever ahead does, so that a planner sees that it was overtaken.
	version uint64
	// ahead is the applied state with every pending command folded in: what a new request is planned on.
	ahead *placement.State
	seq   uint64

	queue  []*proposal // not proposed yet
	turn   []*proposal // given to the worker, fate not known yet
	flight []*proposal // in this leader's log, not applied yet
}

type proposal struct {
	seq  uint64
	data []byte
	// done takes exactly one outcome.
	done chan outcome
}

// outcome is what became of a command.
type outcome struct {
	result placement.Result
	state  *placement.State // right after the command
	err    *runnelv1.Error
	index  uint64 // in the log; 0 if that is not known
}

type applied struct {
	seq uint64
	outcome
}

func (p *pipeline) pending() int { return len(p.queue) + len(p.turn) + len(p.flight) }

func (p *pipeline) open(term uint64, s *placement.State) {
	p.term = term
	p.ahead = s
	p.version++
}

// push queues a command that leads to the state ahead.
func (p *pipeline) push(q *proposal, ahead *placement.State) {
	p.queue = append(p.queue, q)
	p.ahead = ahead
	p.version++
}

func (p *pipeline) take() [][]byte {
	if len(p.queue) == 0 || p.term == 0 {
		return nil
	}
	n, size := 0, 0
	for n < len(p.queue) && (n == 0 || size+len(p.queue[n].data) <= maxTurnBytes) {
		size += len(p.queue[n].data)
		n++
	}
	data := make([][]byte, n)
	for i, q := range p.queue[:n] {
		data[i] = q.data
	}
	p.turn = append(p.turn, p.queue[:n]...)
	p.queue = append([]*proposal(nil), p.queue[n:]...)
	return data
}

// proposed tells the fate of the turn. What was dropped goes back to the head of the queue: order is what the planned
// state rests on.
func (p *pipeline) proposed(err error) {
	if err == nil {
		p.flight = append(p.flight, p.turn...)
	} else {
		p.queue = append(p.turn, p.queue...)
	}
	p.turn = nil
}

// complete answers the proposal whose command was applied. One of an earlier session is not found: it was answered as
// indeterminate when that session ended.
func (p *pipeline) complete(a applied) {
	for i, q := range p.flight {
		if q.seq == a.seq {
			p.flight = append(p.flight[:i:i], p.flight[i+1:]...)
			q.done <- a.outcome
			return
		}
	}
}

// settle drops the planned state when nothing is pending: it is the applied one then.
func (p *pipeline) settle(s *placement.State) {
	if p.term != 0 && p.pending() == 0 && p.ahead != s {
		p.ahead = s
		p.version++
	}
}

// close ends the session. What never reached the log failed for certain; what did may still be committed by the next
// leader.
func (p *pipeline) close(queued, inFlight *runnelv1.Error) {
	for _, q := range append(p.turn, p.queue...) {
		q.done <- outcome{err: queued}
	}
	for _, q := range p.flight {
		q.done <- outcome{err: inFlight}
	}
	p.queue, p.turn, p.flight = nil, nil, nil
	p.term, p.ahead = 0, nil
	p.version++
}
