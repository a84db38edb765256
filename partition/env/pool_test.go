package env

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"
)

func TestTaskNeverRunsConcurrentlyAndLosesNoWake(t *testing.T) {
	defer goleak.VerifyNone(t)
	e, stop := NewReal(RealOptions{Raft: 4})
	defer stop()
	const tasks, wakers, wakes = 10, 4, 500
	var all sync.WaitGroup
	for range tasks {
		var running atomic.Bool
		var pending, seen atomic.Int64
		done := make(chan struct{})
		task := e.NewTask(ClassRaft, "t", func() {
			if running.Swap(true) {
				t.Error("a task ran concurrently with itself")
			}
			more := pending.Swap(0)
			n := seen.Add(more)
			running.Store(false)
			if more > 0 && n == wakers*wakes {
				close(done)
			}
		})
		for range wakers {
			all.Go(func() {
				for range wakes {
					pending.Add(1)
					task.Wake()
				}
			})
		}
		all.Go(func() { <-done; task.Stop() })
	}
	all.Wait()
}

func TestTaskWokenFromItsOwnRunRunsAgain(t *testing.T) {
	e, stop := NewReal(RealOptions{Raft: 1})
	defer stop()
	n := 0
	done := make(chan struct{})
	var task Task
	task = e.NewTask(ClassRaft, "t", func() {
		if n++; n < 5 {
			task.Wake()
			task.Wake() // wakes coalesce
		} else {
			close(done)
		}
	})
	task.Wake()
	<-done
	task.Stop()
	if n != 5 {
		t.Errorf("%d runs, want 5", n)
	}
}

func TestStopWaitsForTheRunAndPreventsTheNext(t *testing.T) {
	e, stop := NewReal(RealOptions{Append: 1})
	defer stop()
	begun, goOn, stopped := make(chan struct{}), make(chan struct{}), make(chan struct{})
	var runs atomic.Int64
	var ended atomic.Bool
	stopping := func(tk Task) bool {
		p := tk.(*task).pool
		p.mu.Lock()
		defer p.mu.Unlock()
		return tk.(*task).stopped
	}
	task := e.NewTask(ClassAppend, "t", func() {
		runs.Add(1)
		close(begun)
		<-goOn
		ended.Store(true)
	})
	task.Wake()
	<-begun
	task.Wake() // would run again
	go func() {
		task.Stop()
		if !ended.Load() {
			t.Error("Stop returned while the task ran")
		}
		close(stopped)
	}()
	for !stopping(task) { // the run ends only once Stop waits for it
		runtime.Gosched()
	}
	close(goOn)
	<-stopped
	task.Wake()
	other := make(chan struct{})
	e.NewTask(ClassAppend, "after", func() { close(other) }).Wake()
	<-other // the only worker passed by what stood in the queue before
	if n := runs.Load(); n != 1 {
		t.Errorf("%d runs, want 1", n)
	}
}

func TestBusyTaskDoesNotStarveOthers(t *testing.T) {
	e, stop := NewReal(RealOptions{Raft: 1})
	defer stop()
	var busy Task
	busy = e.NewTask(ClassRaft, "busy", func() { busy.Wake() })
	busy.Wake()
	done := make(chan struct{})
	e.NewTask(ClassRaft, "other", func() { close(done) }).Wake()
	<-done
	busy.Stop()
}

func TestClassesHaveWorkersOfTheirOwn(t *testing.T) {
	e, stop := NewReal(RealOptions{Raft: 1, Append: 1, Serve: 1})
	defer stop()
	hang := make(chan struct{})
	e.NewTask(ClassAppend, "hanging disk", func() { <-hang }).Wake()
	for _, c := range []Class{ClassRaft, ClassServe} {
		done := make(chan struct{})
		e.NewTask(c, c.String(), func() { close(done) }).Wake()
		<-done
	}
	close(hang)
}

func BenchmarkWake(b *testing.B) {
	e, stop := NewReal(RealOptions{})
	defer stop()
	var wg sync.WaitGroup
	task := e.NewTask(ClassRaft, "t", wg.Done)
	b.ReportAllocs()
	for range b.N {
		wg.Add(1)
		task.Wake()
		wg.Wait()
	}
}
