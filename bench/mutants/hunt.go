package main

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// finding is what became of a mutant.
type finding struct {
	entry
	by, why string // one of them
	runs    int
	took    time.Duration
}

// hunt runs the entries.
type hunt struct {
	*lab
	o options

	mu    sync.Mutex
	clean map[string]*cleanRun
}

// cleanRun is a run without a bug, made once.
type cleanRun struct {
	once sync.Once
	result
	err error
}

func (h *hunt) all(ctx context.Context, es []entry) []finding {
	found := make([]finding, len(es))
	next := make(chan int)
	var workers sync.WaitGroup
	for range max(1, h.o.parallel) {
		workers.Go(func() {
			for i := range next {
				found[i] = h.one(ctx, &es[i])
				if ctx.Err() == nil {
					fmt.Println(found[i].line())
				}
			}
		})
	}
	for i := range es {
		next <- i
	}
	close(next)
	workers.Wait()
	return found
}

// one makes an entry's runs until one catches it, and then that one and those before it without the bug.
func (h *hunt) one(ctx context.Context, e *entry) (f finding) {
	f.entry = *e
	began := time.Now()
	defer func() { f.took = time.Since(began) }()
	runs := h.runs(e, h.o.seeds)
	said := ""
	for i := range runs {
		r, err := runs[i].do(ctx, e.name)
		if err != nil {
			f.why = err.Error()
			return f
		}
		f.runs++
		by, why := e.caught(r)
		if by != "" {
			f.by, f.why = by, ""
			break
		}
		if r.code != exitGreen || f.why == "" { // rather what was found instead than that nothing was
			f.why, said = why, r.output
		}
		if r.code != exitGreen && r.code != exitRed {
			break
		}
	}
	if f.by == "" {
		if h.o.verbose {
			fmt.Printf("--- %s: %s\n%s\n", e.name, f.why, tail(said))
		}
		return f
	}
	for i := range runs[:f.runs] {
		c := h.without(ctx, &runs[i])
		if c.err != nil {
			f.by, f.why = "", c.err.Error()
		} else if why := e.green(c.result); why != "" {
			f.by, f.why = "", "it proves nothing: "+why
			if h.o.verbose {
				fmt.Printf("--- %s: %s\n%s\n", e.name, f.why, tail(c.output))
			}
		}
	}
	return f
}

// without gives a run without a bug.
func (h *hunt) without(ctx context.Context, r *run) *cleanRun {
	h.mu.Lock()
	c := h.clean[r.key()]
	if c == nil {
		c = &cleanRun{}
		h.clean[r.key()] = c
	}
	h.mu.Unlock()
	c.once.Do(func() { c.result, c.err = r.do(ctx, "") })
	return c
}

// tail is the end of what a program said.
func tail(s string) string {
	const most = 8000
	return s[max(0, len(s)-most):]
}
