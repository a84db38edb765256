package env

import "sync"

// pool is a queue of woken tasks and the workers that take them.
type pool struct {
	mu   sync.Mutex
	work sync.Cond // signalled when queue grows or stopping is set

	// queue holds each woken task at most once (task.state says so), hence is bounded by the number of tasks.
	queue    ring
	stopping bool
	workers  sync.WaitGroup
}

// state of a task; guarded by its pool's mutex.
type taskState uint8

const (
	idle         taskState = iota
	queued                 // stands in the queue
	running                // a worker runs it
	runningWoken           // a worker runs it, and it was woken meanwhile: goes back to the queue
)

type task struct {
	pool *pool
	name string
	run  func()

	// Guarded by pool.mu.
	state   taskState
	stopped bool
	done    chan struct{} // made by a Stop that has to wait; closed when the run ends
}

func newPool(workers int) *pool {
	p := &pool{}
	p.work.L = &p.mu
	for range workers {
		p.workers.Go(p.worker)
	}
	return p
}

func (p *pool) worker() {
	// No deferred unlock: a panic in a run must show as itself.
	p.mu.Lock()
	for {
		for p.queue.len() == 0 && !p.stopping {
			p.work.Wait()
		}
		if p.stopping {
			p.mu.Unlock()
			return
		}
		t := p.queue.pop()
		if t.stopped {
			t.state = idle
			continue
		}
		t.state = running
		p.mu.Unlock()
		t.run()
		p.mu.Lock()
		woken := t.state == runningWoken
		t.state = idle
		if t.done != nil {
			close(t.done)
			t.done = nil
		}
		if woken && !t.stopped {
			t.state = queued
			p.queue.push(t)
			// No signal: this worker is about to look at the queue itself.
		}
	}
}

func (p *pool) waiting() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.queue.len()
}

func (p *pool) stop() {
	p.mu.Lock()
	p.stopping = true
	p.work.Broadcast()
	p.mu.Unlock()
	p.workers.Wait()
}

func (t *task) Wake() {
	p := t.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	if t.stopped || p.stopping {
		return
	}
	switch t.state {
	case idle:
		t.state = queued
		p.queue.push(t)
		p.work.Signal()
	case running:
		t.state = runningWoken
	}
}

func (t *task) Stop() {
	p := t.pool
	p.mu.Lock()
	t.stopped = true
	if t.state != running && t.state != runningWoken {
		p.mu.Unlock()
		return
	}
	if t.done == nil {
		t.done = make(chan struct{})
	}
	done := t.done
	p.mu.Unlock()
	<-done
}

// ring is a growing circular queue.
type ring struct {
	buf        []*task // len is a power of two
	head, size int
}

func (r *ring) len() int { return r.size }

func (r *ring) push(t *task) {
	if r.size == len(r.buf) {
		buf := make([]*task, max(64, 2*len(r.buf)))
		for i := range r.size {
			buf[i] = r.buf[(r.head+i)&(len(r.buf)-1)]
		}
		r.buf, r.head = buf, 0
	}
	r.buf[(r.head+r.size)&(len(r.buf)-1)] = t
	r.size++
}

func (r *ring) pop() *task {
	t := r.buf[r.head]
	r.buf[r.head] = nil
	r.head = (r.head + 1) & (len(r.buf) - 1)
	r.size--
	return t
}
