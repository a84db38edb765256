package controller

import (
	"testing"
	"time"
)

// eventually asks a condition, off the worker, until it holds.
func eventually(t *testing.T, cond func() bool) {
	t.Helper()
	end := time.NewTimer(time.Minute) // only a hanging test gets there
	defer end.Stop()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-tick.C:
		case <-end.C:
			t.Fatal("it never happened")
		}
	}
}

// await is eventually with the condition asked on the worker.
func (g *fakeGroup) await(cond func() bool) {
	g.t.Helper()
	eventually(g.t, func() (ok bool) { g.job(func() { ok = cond() }); return ok })
}
