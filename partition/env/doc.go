// Package env is the seam through which time, chance and execution reach the core (partition and everything below it,
// placement/controller and placement/agent).
//
// The core never starts a goroutine for a unit of work, never reads the machine's clock and never draws from a global
// random source. It is given an Env and builds on three things:
//
//   - Clock: the time, and timers whose callbacks must not block;
//   - Rand: random numbers, safe for concurrent use;
//   - Executor: tasks. A task is a function that is run again whenever someone wakes it, never concurrently with
//     itself. That is all the concurrency the core knows: state owned by one task needs no lock.
//
// What must wait, such as a call to another broker, has a goroutine; it says each time that it goes on (Env.Resumed).
//
// # Data flow
//
// NewReal gives a pool of workers for each Class. A pool is a queue of woken tasks: a task stands in it at most once,
// so the queue is bounded by the number of tasks; a task woken while it runs goes back to the tail when its run ends, so one
// busy task cannot starve the others. The model is the scheduler of CockroachDB's kvserver.
//
// Package sim gives the same Env from one goroutine, a virtual clock and a seed: every wake and every timer is an event
// whose order is drawn from the seed, so one seed is one history.
//
// # Invariants
//
//   - After Wake, run is called at least once more, unless the task is stopped or its pool is.
//   - A task never runs concurrently with itself, and one run happens before the next (the pool's lock orders them).
//   - After Stop returned, run is not running and never runs again.
//
// Callers: cmd/brokerd builds the real Env once; tests build real or simulated ones.
package env
