package sim

import (
	"container/heap"
	"time"

	"github.com/runnel-io/runnel/partition/env"
)

// Process is a set of tasks and timers that die together.
type Process struct {
	w    *World
	name string
	dead bool
	skew time.Duration
	jump time.Duration
	env  *env.Env

	paused bool
	held   []*event // that came due meanwhile

	// Delay, if set, draws the delays of this process's tasks instead of the world's: a hanging disk is a long one.
	Delay func(env.Class) time.Duration
}

// Process makes a living process. The name is for traces.
func (w *World) Process(name string) *Process {
	p := &Process{w: w, name: name}
	p.env = &env.Env{Clock: clock{p}, Executor: executor{p}, Rand: worldRand{w}, Log: discard}
	return p
}

// Env is the process's environment. Set its Log to see what the process says.
func (p *Process) Env() *env.Env { return p.env }

// Kill ends the process as SIGKILL would: none of its tasks and timers runs again. What it wrote to disk stays.
func (p *Process) Kill() { p.dead = true }

// Pause stops the process as SIGSTOP would, or lets it go on: what came due meanwhile is then done at once, in the order in which it came due.
func (p *Process) Pause(on bool) {
	p.paused = on
	if on || p.dead {
		return
	}
	held := p.held
	p.held = nil
	for i, e := range held {
		e.at = max(e.at, p.w.now+time.Duration(i))
		heap.Push(&p.w.events, e)
	}
}

// Dead tells whether the process was killed.
func (p *Process) Dead() bool { return p.dead }

// Skew sets how far the process's clock is ahead of the world's; timers are not affected.
func (p *Process) Skew(d time.Duration) { p.skew = d }

// Jump sets how far the process's time of day is ahead of what it was: its clock was set. Differences of Now do not show it.
func (p *Process) Jump(d time.Duration) { p.jump = d }

type clock struct{ p *Process }

func (c clock) Now() time.Time { return start.Add(c.p.w.now + c.p.skew) }

func (c clock) Wall() time.Time { return c.Now().Add(c.p.jump) }

func (c clock) AfterFunc(d time.Duration, f func()) env.Timer {
	t := &timer{p: c.p, f: f}
	t.e = c.p.w.schedule(c.p, d, f)
	return t
}

type timer struct {
	p *Process
	f func()
	e *event
}

func (t *timer) Stop() bool {
	pending := !t.e.fired && !t.e.cancelled
	t.e.cancelled = true
	return pending
}

func (t *timer) Reset(d time.Duration) bool {
	pending := t.Stop()
	t.e = t.p.w.schedule(t.p, d, t.f)
	return pending
}

type executor struct{ p *Process }

func (x executor) NewTask(class env.Class, name string, run func()) env.Task {
	return &task{p: x.p, class: class, name: x.p.name + "/" + name, run: run}
}

type task struct {
	p       *Process
	class   env.Class
	name    string
	run     func()
	queued  bool
	running bool
	stopped bool
}

func (t *task) Wake() {
	if t.queued || t.stopped || t.p.dead {
		return
	}
	t.queued = true
	delay := t.p.w.Delay
	if t.p.Delay != nil {
		delay = t.p.Delay
	}
	t.p.w.schedule(t.p, delay(t.class), func() {
		t.queued = false
		if t.stopped {
			return
		}
		t.running = true
		t.run()
		t.running = false
	})
}

func (t *task) Stop() {
	if t.running {
		panic("sim: task " + t.name + " stopped from its own run")
	}
	t.stopped = true
}
