package sim

import (
	"container/heap"
	"fmt"
	"hash/fnv"
	"io"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/runnel-io/runnel/partition/env"
)

// World is one simulated history. Not safe for concurrent use.
type World struct {
	seed   uint64
	rand   *rand.Rand
	now    time.Duration // since start
	seq    uint64
	events eventHeap
	hash   uint64
	trace  io.Writer
	root   *Process

	// Delay draws how long a woken task of a class waits before it runs. It may be replaced to model a slow disk.
	Delay func(env.Class) time.Duration
}

// start is the virtual clock's beginning; a round number far from zero so that a forgotten time shows.
var start = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

// New makes a world whose every choice follows from the seed.
func New(seed uint64) *World {
	w := &World{seed: seed, rand: rand.New(rand.NewPCG(seed, 0x5275_6e6e_656c)), hash: fnvOffset}
	w.Delay = w.defaultDelay
	w.root = w.Process("root")
	return w
}

const (
	fnvOffset = 14695981039346656037
	fnvPrime  = 1099511628211
)

func (w *World) defaultDelay(c env.Class) time.Duration {
	switch c {
	case env.ClassAppend:
		return 300*time.Microsecond + time.Duration(w.rand.Int64N(int64(700*time.Microsecond)))
	case env.ClassServe:
		return time.Duration(w.rand.Int64N(int64(500 * time.Microsecond)))
	default:
		return time.Duration(w.rand.Int64N(int64(20 * time.Microsecond)))
	}
}

// Env is the environment of a process that is never killed.
func (w *World) Env() *env.Env { return w.root.Env() }

// Now is the virtual time since the world began.
func (w *World) Now() time.Duration { return w.now }

// Rand is the world's own random source, for faults and workloads.
func (w *World) Rand() env.Rand { return worldRand{w} }

// Log writes every Trace line to out as well; nil turns that off.
func (w *World) Log(out io.Writer) { w.trace = out }

// Trace adds a line to the history: its text and its virtual time go into Hash.
func (w *World) Trace(format string, args ...any) {
	h := fnv.New64a()
	line := fmt.Sprintf(format, args...)
	_, _ = fmt.Fprintf(h, "%d %s", w.now, line) // a hash never fails
	w.mix(h.Sum64())
	if w.trace != nil {
		_, _ = fmt.Fprintf(w.trace, "%12s %s\n", w.now, line) // a lost debug line changes nothing
	}
}

// Hash sums up the history so far: every event run and every Trace line.
func (w *World) Hash() uint64 { return w.hash }

func (w *World) mix(v uint64) { w.hash = (w.hash ^ v) * fnvPrime }

// Step runs the next event and tells whether there was one.
func (w *World) Step() bool {
	for w.events.Len() > 0 {
		e := heap.Pop(&w.events).(*event)
		if !e.due() {
			continue
		}
		w.now = max(w.now, e.at)
		w.mix(uint64(e.at))
		w.mix(e.seq)
		e.fired = true
		e.run()
		return true
	}
	return false
}

// Run runs events until the virtual clock reads until (since the world began).
func (w *World) Run(until time.Duration) {
	for {
		at, ok := w.nextAt()
		if !ok || at > until {
			break
		}
		w.Step()
	}
	w.now = max(w.now, until)
}

// RunUntil runs events until cond holds, for at most max more virtual time, and tells whether it held.
func (w *World) RunUntil(cond func() bool, limit time.Duration) bool {
	end := w.now + limit
	for !cond() {
		at, ok := w.nextAt()
		if !ok || at > end {
			w.now = max(w.now, end)
			return cond()
		}
		w.Step()
	}
	return true
}

// nextAt is the time of the next event that will run.
func (w *World) nextAt() (time.Duration, bool) {
	for w.events.Len() > 0 {
		e := w.events[0]
		if e.due() {
			return e.at, true
		}
		heap.Pop(&w.events)
	}
	return 0, false
}

// schedule queues run at now+d. A nil process is the world itself and never dies.
func (w *World) schedule(p *Process, d time.Duration, run func()) *event {
	w.seq++
	e := &event{at: w.now + max(d, 0), rank: w.rand.Uint64(), seq: w.seq, proc: p, run: run}
	heap.Push(&w.events, e)
	return e
}

// After runs f on the world itself, whatever processes die. For faults and workloads.
func (w *World) After(d time.Duration, f func()) { w.schedule(nil, d, f) }

type event struct {
	at        time.Duration
	rank      uint64 // drawn: the order among equal times
	seq       uint64
	proc      *Process
	run       func()
	cancelled bool
	fired     bool
}

// due tells whether the event, which is taken from the heap otherwise, is to run now. That of a process which is paused is kept for later.
func (e *event) due() bool {
	switch {
	case e.cancelled, e.proc != nil && e.proc.dead:
		return false
	case e.proc != nil && e.proc.paused:
		e.proc.held = append(e.proc.held, e)
		return false
	}
	return true
}

type eventHeap []*event

func (h eventHeap) Len() int { return len(h) }
func (h eventHeap) Less(i, j int) bool {
	if h[i].at != h[j].at {
		return h[i].at < h[j].at
	}
	if h[i].rank != h[j].rank {
		return h[i].rank < h[j].rank
	}
	return h[i].seq < h[j].seq
}
func (h eventHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *eventHeap) Push(x any)   { *h = append(*h, x.(*event)) }
func (h *eventHeap) Pop() any {
	old := *h
	n := len(old) - 1
	e := old[n]
	old[n] = nil
	*h = old[:n]
	return e
}

type worldRand struct{ w *World }

func (r worldRand) Int64N(n int64) int64 { return r.w.rand.Int64N(n) }
func (r worldRand) Uint64() uint64       { return r.w.rand.Uint64() }

var discard = slog.New(slog.DiscardHandler)
