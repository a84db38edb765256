package env

import (
	"context"
	"log/slog"
	"time"
)

// Clock tells the time and makes timers.
type Clock interface {
	// Now is for differences: a clock that is set does not show in them (on a machine they are the monotonic clock's).
	Now() time.Time
	// Wall is the time of day as the machine has it, without a monotonic part. It jumps when the clock is set.
	Wall() time.Time
	// AfterFunc calls f once after d, unless the timer is stopped first. f must not block.
	AfterFunc(d time.Duration, f func()) Timer
}

// Timer is one pending call of AfterFunc.
type Timer interface {
	// Stop prevents the call and tells whether it did. False means that it happened, is happening or was stopped before.
	Stop() bool
	// Reset makes the timer fire after d from now, whether or not it fired before, and tells whether it was pending.
	Reset(d time.Duration) bool
}

// Rand draws random numbers. It is safe for concurrent use.
type Rand interface {
	// Int64N is uniform in [0, n). It panics if n <= 0.
	Int64N(n int64) int64
	// Uint64 is uniform over all 64 bits.
	Uint64() uint64
}

// Class says what a task does with its worker, so that one kind cannot starve another.
type Class int

const (
	// ClassRaft uses the CPU for a short while and never blocks.
	ClassRaft Class = iota
	// ClassAppend blocks on disk writes.
	ClassAppend
	// ClassServe blocks on disk reads or burns CPU for long (decompression).
	ClassServe

	numClasses = int(ClassServe) + 1
)

// String names the class.
func (c Class) String() string {
	switch c {
	case ClassRaft:
		return "raft"
	case ClassAppend:
		return "append"
	case ClassServe:
		return "serve"
	}
	return "unknown"
}

// Executor makes tasks.
type Executor interface {
	// NewTask makes an idle task of a class. The name is for logs and traces.
	NewTask(class Class, name string, run func()) Task
}

// Task is a function that runs whenever it was woken.
type Task interface {
	// Wake has run called at least once after this call, and never concurrently with itself. Wakes coalesce. It may be
	// called from anywhere, also from run, and does nothing after Stop.
	Wake()
	// Stop ends the task: no run starts after it returned, and it waits for one in progress. It must not be called from
	// the task's own run.
	Stop()
}

// Env is what the core is given: time, execution, chance and a logger.
type Env struct {
	Clock
	Executor
	Rand
	Log *slog.Logger
	// Waiting, if set, tells how many tasks of a class wait for a worker. It is for metrics.
	Waiting func(Class) int
	// Turn, if set, is called by Resumed, and returns when the goroutine may go on. A simulation has them go on one at a time, in an
	// order of its own. Nil: at once.
	Turn func()
}

// Resumed is called by the core's few goroutines, those that wait on channels: when one begins, and each time that a wait of it is over.
// No lock may be held.
func (e *Env) Resumed() {
	if e.Turn != nil {
		e.Turn()
	}
}

// Within bounds ctx by the clock: it ends after d at the latest, and when the function is called that comes with it, as it must be.
func (e *Env) Within(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	timer := e.AfterFunc(d, cancel)
	return ctx, func() {
		timer.Stop()
		cancel()
	}
}
