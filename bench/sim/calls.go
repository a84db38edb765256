package sim

import (
	"bytes"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/runnel-io/runnel/partition/env"
)

// calls runs what blocks by design on goroutines that move only between two events of the world.
type calls struct {
	settle func() // returns when every other goroutine is blocked
	world  string // id of the world's goroutine

	// gate is held while an event runs. A call that an event released in its midst waits here before it touches the world.
	gate sync.Mutex
	live atomic.Int64

	starting []*call
	next     int
	requests int // live calls that belong to the controller

	mu    sync.Mutex
	ended []*call
}

type call struct {
	id      int
	request bool
	run     func() (then func())
	then    func()
}

func newCalls(settle func()) *calls { return &calls{settle: settle, world: goroutineID()} }

// start has run called on its own goroutine after the present event, and what it returns on the world after that.
func (c *calls) start(request bool, run func() (then func())) {
	c.next++
	if request {
		c.requests++
	}
	c.starting = append(c.starting, &call{id: c.next, request: request, run: run})
}

// between is called between two events with the gate held.
func (c *calls) between() {
	for len(c.starting) > 0 || c.live.Load() > 0 {
		var one *call
		if len(c.starting) > 0 { // one at a time: each runs until it blocks
			one, c.starting = c.starting[0], c.starting[1:]
			c.live.Add(1)
		}
		c.gate.Unlock()
		if one != nil {
			go c.do(one)
		}
		c.settle()
		c.gate.Lock()
		c.mu.Lock()
		ended := c.ended
		c.ended = nil
		c.mu.Unlock()
		slices.SortFunc(ended, func(a, b *call) int { return a.id - b.id })
		for _, e := range ended {
			c.live.Add(-1)
			if e.request {
				c.requests--
			}
			if e.then != nil {
				e.then()
			}
		}
		if len(c.starting) == 0 && len(ended) == 0 {
			return
		}
	}
}

func (c *calls) do(x *call) {
	x.then = x.run()
	c.mu.Lock()
	c.ended = append(c.ended, x)
	c.mu.Unlock()
}

// enter lets a call wait until the event in progress is over; the world's own goroutine passes.
func (c *calls) enter() (leave func()) {
	if c.live.Load() == 0 || goroutineID() == c.world {
		return func() {}
	}
	c.gate.Lock()
	return c.gate.Unlock
}

func goroutineID() string {
	var b [64]byte
	f := bytes.Fields(b[:runtime.Stack(b[:], false)])
	if _, err := strconv.Atoi(string(f[1])); err != nil {
		panic("sim: the goroutine's id is not where it was: " + string(b[:]))
	}
	return string(f[1])
}

// gated is an Env for code that calls use too.
func (c *calls) gated(e *env.Env) *env.Env {
	return &env.Env{Clock: gatedClock{c, e.Clock}, Executor: e.Executor, Rand: gatedRand{c, e.Rand}, Log: e.Log}
}

type gatedClock struct {
	c *calls
	env.Clock
}

func (g gatedClock) Now() time.Time {
	defer g.c.enter()()
	return g.Clock.Now()
}

func (g gatedClock) AfterFunc(d time.Duration, f func()) env.Timer {
	defer g.c.enter()()
	return gatedTimer{g.c, g.Clock.AfterFunc(d, f)}
}

type gatedTimer struct {
	c *calls
	t env.Timer
}

func (g gatedTimer) Stop() bool {
	defer g.c.enter()()
	return g.t.Stop()
}

func (g gatedTimer) Reset(d time.Duration) bool {
	defer g.c.enter()()
	return g.t.Reset(d)
}

type gatedRand struct {
	c *calls
	env.Rand
}

func (g gatedRand) Int64N(n int64) int64 {
	defer g.c.enter()()
	return g.Rand.Int64N(n)
}

func (g gatedRand) Uint64() uint64 {
	defer g.c.enter()()
	return g.Rand.Uint64()
}
