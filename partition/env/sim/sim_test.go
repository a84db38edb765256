package sim

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/runnel-io/runnel/partition/env"
)

// history runs a few tasks, timers and messages and gives the trace they leave.
func history(seed uint64) (uint64, []string) {
	w := New(seed)
	var lines []string
	trace := func(format string, args ...any) {
		w.Trace(format, args...)
		lines = append(lines, fmt.Sprintf(format, args...))
	}
	n := w.NewNetwork()
	e := w.Env()
	for i := range 5 {
		var task env.Task
		runs := 0
		task = e.NewTask(env.ClassRaft, fmt.Sprint(i), func() {
			trace("task %d at %s", i, w.Now())
			n.Send(int32(i), int32((i+1)%5), 0, func() { trace("message from %d", i) })
			if runs++; runs < 4 {
				task.Wake()
			}
		})
		e.AfterFunc(time.Millisecond, task.Wake)
	}
	w.Run(time.Second)
	return w.Hash(), lines
}

func TestOneSeedIsOneHistory(t *testing.T) {
	h1, l1 := history(1)
	h2, l2 := history(1)
	h3, l3 := history(2)
	if h1 != h2 || fmt.Sprint(l1) != fmt.Sprint(l2) {
		t.Error("the same seed gave two histories")
	}
	if h1 == h3 || fmt.Sprint(l1) == fmt.Sprint(l3) {
		t.Error("two seeds gave the same order")
	}
	if len(l1) != 40 {
		t.Errorf("%d events, want 40", len(l1))
	}
}

func TestKilledProcessDoesNothingMore(t *testing.T) {
	w := New(1)
	p := w.Process("p")
	ran := 0
	task := p.Env().NewTask(env.ClassAppend, "t", func() { ran++ })
	p.Env().AfterFunc(time.Second, func() { ran++ })
	task.Wake()
	p.Kill()
	task.Wake()
	w.Run(time.Minute)
	if ran != 0 {
		t.Errorf("a dead process ran %d times", ran)
	}
}

func TestTimersStopAndReset(t *testing.T) {
	w := New(1)
	var fired []time.Duration
	tm := w.Env().AfterFunc(time.Second, func() { fired = append(fired, w.Now()) })
	w.Run(500 * time.Millisecond)
	if !tm.Reset(time.Second) {
		t.Error("a pending timer says it was not")
	}
	w.Run(3 * time.Second)
	if tm.Stop() {
		t.Error("a fired timer says it was pending")
	}
	if tm.Reset(time.Second) {
		t.Error("a fired timer says it was pending")
	}
	tm.Stop()
	w.Run(10 * time.Second)
	if fmt.Sprint(fired) != "[1.5s]" {
		t.Errorf("fired at %v, want once at 1.5s", fired)
	}
}

func TestLanesKeepTheirOrderAndCutLinksDropWhatIsOnItsWay(t *testing.T) {
	w := New(3)
	n := w.NewNetwork()
	n.MaxDelay = 50 * time.Millisecond
	var got []int
	for i := range 100 {
		n.Send(1, 2, 0, func() { got = append(got, i) })
	}
	w.Run(time.Second)
	for i := range got {
		if got[i] != i {
			t.Fatalf("arrived as %v", got)
		}
	}
	if len(got) != 100 {
		t.Fatalf("%d of 100 arrived", len(got))
	}
	n.Send(1, 2, 0, func() { t.Error("arrived over a cut link") })
	n.Block(1, 2, true)
	back := false
	n.Send(2, 1, 0, func() { back = true })
	w.Run(2 * time.Second)
	if !back || n.Lost() != 1 {
		t.Errorf("the other direction works: %t; lost %d, want 1", back, n.Lost())
	}
	n.Down(2, true)
	if n.Send(1, 2, 0, func() {}) {
		t.Error("a send to a dead address was taken")
	}
}

func TestEachLossHasItsCause(t *testing.T) {
	w := New(6)
	n := w.NewNetwork()
	send := func() {
		n.Send(1, 2, 0, func() {})
		n.Send(2, 1, 0, func() {})
		w.Run(w.Now() + time.Second)
	}
	want := func(lost, dropped, there, back uint64) {
		t.Helper()
		if n.Lost() != lost || n.Dropped() != dropped || n.Cut(1, 2) != there || n.Cut(2, 1) != back {
			t.Errorf("lost %d, dropped %d, cut %d and %d; want %d, %d, %d and %d", n.Lost(), n.Dropped(), n.Cut(1, 2), n.Cut(2, 1), lost, dropped, there, back)
		}
	}
	send()
	want(0, 0, 0, 0)
	n.Block(1, 2, true)
	send()
	want(1, 0, 1, 0)
	n.Block(1, 2, false)
	n.Loss = 1000
	send()
	want(3, 2, 1, 0)
	n.Loss = 0
	n.Send(1, 2, 0, func() {})
	n.Down(2, true)
	w.Run(w.Now() + time.Second)
	want(4, 2, 1, 0)
}

func TestDisorderedLanesDeliverTwiceAndOutOfOrder(t *testing.T) {
	w := New(4)
	n := w.NewNetwork()
	n.Twice, n.Reorder, n.Loose = 200, 200, map[int]bool{0: true}
	count := func(lane int) (got []int) {
		for i := range 200 {
			n.Send(1, 2, lane, func() { got = append(got, i) })
		}
		w.Run(w.Now() + time.Second)
		return got
	}
	exact := count(1)
	if !slices.IsSorted(exact) || len(exact) != 200 {
		t.Errorf("an exact lane gave %v", exact)
	}
	loose := count(0)
	twice, reordered := n.Disorder()
	if twice == 0 || len(loose) != 200+int(twice) || reordered == 0 || slices.IsSorted(loose) {
		t.Errorf("%d deliveries, %d of them again, %d out of order, sorted: %t", len(loose), twice, reordered, slices.IsSorted(loose))
	}
}

func TestPausedProcessGoesOnWhereItWas(t *testing.T) {
	w := New(5)
	p := w.Process("p")
	n := w.NewNetwork()
	var done []string
	p.Env().AfterFunc(time.Second, func() { done = append(done, fmt.Sprint("first ", w.Now().Round(time.Second))) })
	p.Env().AfterFunc(2*time.Second, func() { done = append(done, fmt.Sprint("second ", w.Now().Round(time.Second))) })
	p.Pause(true)
	n.Hold(1, true)
	n.Send(2, 1, 0, func() { done = append(done, "packet") })
	w.Run(5 * time.Second)
	if len(done) != 0 {
		t.Fatalf("a paused process did %v", done)
	}
	p.Pause(false)
	n.Hold(1, false)
	w.Run(6 * time.Second)
	if got := fmt.Sprint(done); got != "[first 5s second 5s packet]" && got != "[first 5s packet second 5s]" && got != "[packet first 5s second 5s]" {
		t.Errorf("it did %v", got)
	}
}
