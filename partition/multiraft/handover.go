package multiraft

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/runnel-io/runnel/partition/env"
)

const (
	// handOverAtOnce is how many transfers of HandOver run at a time (RULES 25).
	handOverAtOnce = 32
	// handOverFor is for how long HandOver tries again what did not succeed, and waits for the new leaders.
	handOverFor = 2 * time.Second
)

// HandOver hands the leadership of every group led here to a follower that is ready, before this broker stops, and from then on whatever
// comes to be led here. It returns when others lead all groups, or when some were given up, or when ctx ends; the error says how many
// groups still have their leader here. Produces that come meanwhile are queued, not failed.
func (h *Host) HandOver(ctx context.Context) error {
	done := make(chan struct{})
	ho := h.startHandOver(func() { close(done) })
	select {
	case <-done:
	case <-ctx.Done():
	}
	h.env.Resumed()
	return ho.err()
}

// handOver is one run of HandOver. It goes on after that returned, for leaderships that arrive later: an election or a transfer that
// began before the others knew.
type handOver struct {
	env   *env.Env
	log   *slog.Logger
	begun time.Time

	mu       sync.Mutex
	finished func() // nil once it was called
	waiting  []*Group
	running  int // transfers
	open     int // groups that were begun and are not over
	kept     int
}

func (h *Host) startHandOver(finished func()) *handOver {
	ho := &handOver{env: h.env, log: h.log, begun: h.env.Now(), finished: finished}
	ho.mu.Lock()
	h.departure.Store(ho) // first: what is led from here on, its group brings
	for _, g := range h.groups.all() {
		if g.mayGive() {
			ho.waiting = append(ho.waiting, g)
		}
	}
	n := len(ho.waiting)
	ho.mu.Unlock()
	h.log.Info("handing over leadership", "groups", n)
	ho.more()
	return ho
}

// mayGive tells whether the group is led here and others could lead it.
func (g *Group) mayGive() bool {
	v := g.view.Load()
	return v.role == RoleLeader && len(voters(v.conf)) > 1
}

// arrived takes a group that is led here now.
func (ho *handOver) arrived(g *Group) {
	if !g.mayGive() {
		return
	}
	ho.mu.Lock()
	ho.waiting = append(ho.waiting, g)
	ho.mu.Unlock()
	ho.more()
}

// more starts transfers up to the limit, and calls finished when none is left.
func (ho *handOver) more() {
	ho.mu.Lock()
	var start []*Group
	for len(ho.waiting) > 0 && ho.running < handOverAtOnce {
		start = append(start, ho.waiting[0])
		ho.waiting = ho.waiting[1:]
		ho.running++
		ho.open++
	}
	var finished func()
	if ho.open == 0 {
		finished, ho.finished = ho.finished, nil
	}
	kept := ho.kept
	ho.mu.Unlock()
	if finished != nil {
		ho.log.Info("handed over leadership", "kept", kept, "took", ho.env.Now().Sub(ho.begun))
		finished()
	}
	for _, g := range start {
		g.giveAway(&giving{
			until: ho.begun.Add(handOverFor),
			gone: func() {
				ho.mu.Lock()
				ho.running--
				ho.mu.Unlock()
				ho.more()
			},
			done: func(ok bool) {
				ho.mu.Lock()
				ho.open--
				if !ok {
					ho.kept++
				}
				ho.mu.Unlock()
				ho.more()
			},
		})
	}
}

func (ho *handOver) err() error {
	ho.mu.Lock()
	defer ho.mu.Unlock()
	if n := ho.kept + ho.open + len(ho.waiting); n > 0 {
		return fmt.Errorf("the leadership of %d group(s) stayed here: no follower was ready in time; they elect a leader when this broker stops", n)
	}
	return nil
}
