package multiraft

import (
	"context"
	"fmt"
	"sync"
)

// handOverAtOnce is how many transfers of HandOver run at a time (RULES 25).
const handOverAtOnce = 32

// HandOver hands the leadership of every group led here to a follower that is ready, before this broker stops. It
// returns when all are handed over or were given up, or when ctx ends; the error says how many groups still have their
// leader here. Produces that come meanwhile are queued, not failed.
func (h *Host) HandOver(ctx context.Context) error {
	done := make(chan struct{})
	ho := h.startHandOver(func() { close(done) })
	select {
	case <-done:
	case <-ctx.Done():
	}
	return ho.err()
}

// handOver is one run of HandOver.
type handOver struct {
	finished func()

	mu      sync.Mutex
	waiting []*Group
	running int
	kept    int
}

func (h *Host) startHandOver(finished func()) *handOver {
	ho := &handOver{finished: finished}
	for _, g := range h.groups.all() {
		if v := g.view.Load(); v.role == RoleLeader && len(voters(v.conf)) > 1 { // alone, there is nobody to hand over to
			ho.waiting = append(ho.waiting, g)
		}
	}
	h.log.Info("handing over leadership", "groups", len(ho.waiting))
	ho.more(0)
	return ho
}

// more starts transfers up to the limit, after ended of them did; the last one to end calls finished.
func (ho *handOver) more(ended int) {
	ho.mu.Lock()
	ho.running -= ended
	var start []*Group
	for len(ho.waiting) > 0 && ho.running < handOverAtOnce {
		start = append(start, ho.waiting[0])
		ho.waiting = ho.waiting[1:]
		ho.running++
	}
	over := ho.running == 0
	ho.mu.Unlock()
	if over {
		ho.finished()
	}
	for _, g := range start {
		g.giveAway(func(ok bool) {
			if !ok {
				ho.mu.Lock()
				ho.kept++
				ho.mu.Unlock()
			}
			ho.more(1)
		})
	}
}

func (ho *handOver) err() error {
	ho.mu.Lock()
	defer ho.mu.Unlock()
	if n := ho.kept + ho.running + len(ho.waiting); n > 0 {
		return fmt.Errorf("the leadership of %d group(s) stayed here: no follower was ready in time; they elect a leader when this broker stops", n)
	}
	return nil
}

// giveAway hands the leadership to the best follower and tells how that ended. One that does not lead has nothing to
// give.
func (g *Group) giveAway(done func(ok bool)) {
	g.in.control(func() {
		if g.rn == nil || g.role != RoleLeader {
			done(true)
			return
		}
		g.startTransfer(g.successor(), transferAfter, done)
	})
	g.task.Wake()
}
