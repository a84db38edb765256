package sim

import (
	"bytes"
	"runtime"
	"strconv"
	"sync"
)

// turns has goroutines go on one at a time, and only between two events of the world: those of the product that wait on channels
// (env.Env.Resumed), and those of the workload. Each comes to take when it begins and when a wait of its is over, and is let through when all
// others are blocked again, the oldest first. So what a goroutine does is a part of the history like an event: it may use the world.
type turns struct {
	settle func() // returns when every other goroutine is blocked

	mu      sync.Mutex
	waiting []*turn
}

type turn struct {
	id   uint64
	come chan struct{}
}

// take waits for the turn of the calling goroutine. One of a boot that is over ends here: SIGKILL spares no thread.
func (t *turns) take(b *boot) {
	w := &turn{id: goroutineID(), come: make(chan struct{})}
	t.mu.Lock()
	t.waiting = append(t.waiting, w)
	t.mu.Unlock()
	<-w.come
	if b != nil && b.over {
		runtime.Goexit()
	}
}

// next removes the oldest that waits, nil if there is none.
func (t *turns) next() *turn {
	t.mu.Lock()
	defer t.mu.Unlock()
	first := -1
	for i, w := range t.waiting {
		if first < 0 || w.id < t.waiting[first].id {
			first = i
		}
	}
	if first < 0 {
		return nil
	}
	w := t.waiting[first]
	t.waiting = append(t.waiting[:first], t.waiting[first+1:]...)
	return w
}

// run lets everyone through that waits. The world calls it between two events.
func (t *turns) run() {
	for {
		t.settle()
		w := t.next()
		if w == nil {
			return
		}
		close(w.come)
	}
}

// start runs f on a goroutine, of a boot unless that is nil. What f defers is done even if the boot ends.
func (c *Cluster) start(b *boot, f func()) {
	go func() {
		c.turns.take(b)
		f()
	}()
}

// goroutineID is the number that the runtime gives a goroutine. Numbers rise in the order of making as long as there is one processor
// (Run sees to that), so their order is the same in each run of a history.
func goroutineID() uint64 {
	var b [64]byte
	f := bytes.Fields(b[:runtime.Stack(b[:], false)])
	id, err := strconv.ParseUint(string(f[1]), 10, 64)
	if err != nil {
		panic("sim: the goroutine's number is not where it was: " + string(b[:]))
	}
	return id
}
