package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/runnel-io/runnel/bench/check"
	"github.com/runnel-io/runnel/bench/crash/disk"
)

// place names one state: after which event the power went, how much of what was unsynced was kept, and for Random the draw.
type place struct {
	event int
	mode  disk.Mode
	draw  uint64
}

func (p place) String() string {
	if p.mode != disk.Random {
		return fmt.Sprintf("%d:%s", p.event, p.mode)
	}
	return fmt.Sprintf("%d:%s:%d", p.event, p.mode, p.draw)
}

func parsePlace(s string) (p place, err error) {
	parts := strings.Split(s, ":")
	bad := fmt.Errorf("the state %q is not like 17:nothing, 17:all or 17:random:3", s)
	if p.event, err = strconv.Atoi(parts[0]); err != nil || len(parts) < 2 {
		return p, bad
	}
	switch {
	case parts[1] == "nothing" && len(parts) == 2:
		p.mode = disk.Nothing
	case parts[1] == "all" && len(parts) == 2:
		p.mode = disk.All
	case parts[1] == "random" && len(parts) == 3:
		p.mode = disk.Random
		if p.draw, err = strconv.ParseUint(parts[2], 10, 64); err != nil {
			return p, bad
		}
	default:
		return p, bad
	}
	return p, nil
}

// cut gives the image at a place; d has stepped through its event.
func (p place) cut(d *disk.Disk, seed uint64) *disk.Image {
	return d.Cut(p.mode, rand.New(rand.NewPCG(seed^uint64(p.event)<<20, p.draw)))
}

// broken is a state in which promises were not kept.
type broken struct {
	at    place
	flip  string // which bit was flipped, if that was it
	found []check.Violation
}

// result is what a run of states showed.
type result struct {
	tried, distinct int
	facts           facts
	broken          []broken
	violations      int
}

func (r *result) take(at place, flip string, v *verifier) {
	r.facts.add(v.facts)
	if len(v.found) == 0 {
		return
	}
	r.violations += len(v.found)
	if len(r.broken) < mostViolations {
		r.broken = append(r.broken, broken{at, flip, v.found})
	}
}

// job is a state to be opened.
type job struct {
	at     place
	img    *disk.Image
	want   *ledger
	deep   bool // read it as consumers do, too
	second bool // go on in it, and open it again
	raft   bool // it is about the three brokers, not the one
}

// states opens the states of a recording until so many distinct ones were seen: after each event nothing unsynced and all of it, then
// random subsets.
func (r *recording) states(ctx context.Context, work string, workers, want int, seed uint64) (*result, error) {
	res := &result{facts: facts{}}
	jobs := make(chan job, 2*workers)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var mu sync.Mutex
	var wg sync.WaitGroup
	known := &checked{}
	for w := range workers {
		wg.Go(func() {
			p := &platter{dir: filepath.Join(work, strconv.Itoa(w))}
			for j := range jobs {
				v, err := bounded(func() (*verifier, error) { return runJob(j, p, known) })
				if err != nil {
					cancel(err)
					continue
				}
				mu.Lock()
				res.take(j.at, "", v)
				full := len(res.broken) >= mostViolations || hangs(v)
				mu.Unlock()
				if full {
					cancel(errEnough)
				}
			}
		})
	}
	err := r.produce(ctx, jobs, want, seed, res)
	close(jobs)
	wg.Wait()
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, errEnough) {
		return res, cause
	}
	return res, err
}

// hangs tells whether a state did not end; its worker's folder is not free then.
func hangs(v *verifier) bool {
	return slices.ContainsFunc(v.found, func(f check.Violation) bool { return f.Invariant == "I21" })
}

var errEnough = fmt.Errorf("%d broken states are enough to know", mostViolations)

// produce makes the jobs. A state is opened once for each set of promises that it must hold, and counts as distinct once.
func (r *recording) produce(ctx context.Context, jobs chan<- job, want int, seed uint64, res *result) error {
	type key struct {
		hash  uint64
		marks int
	}
	opened, images := map[key]bool{}, map[uint64]bool{}
	offer := func(p place, d *disk.Disk) bool {
		img := p.cut(d, seed)
		k := key{img.Hash, r.ledgers[p.event].marks}
		if opened[k] {
			return ctx.Err() == nil
		}
		opened[k], images[img.Hash] = true, true
		res.tried++
		select {
		case jobs <- job{at: p, img: img, want: r.ledgers[p.event], deep: res.tried%4 == 0, second: res.tried%16 == 0, raft: p.event >= r.cluster}:
		case <-ctx.Done():
		}
		return ctx.Err() == nil
	}
	pending := 0 // events with something unsynced
	if err := r.walk(func(n int, d *disk.Disk) bool {
		if d.Pending() > 0 {
			pending++
		}
		return offer(place{event: n, mode: disk.Nothing}, d) && offer(place{event: n, mode: disk.All}, d)
	}); err != nil {
		return err
	}
	// More than one round, since some events have fewer subsets than others.
	for round := uint64(0); round < 40 && len(images) < want && pending > 0 && ctx.Err() == nil; round++ {
		each := uint64((want-len(images))/pending + 1)
		if err := r.walk(func(n int, d *disk.Disk) bool {
			if d.Pending() == 0 {
				return true
			}
			for i := range each {
				if len(images) >= want || !offer(place{event: n, mode: disk.Random, draw: round<<32 | i}, d) {
					return false
				}
			}
			return true
		}); err != nil {
			return err
		}
	}
	res.distinct = len(images)
	return nil
}

// walk steps through the events; f answers false to stop.
func (r *recording) walk(f func(n int, d *disk.Disk) bool) error {
	d := disk.New()
	for n := range r.events {
		if err := d.Step(&r.events[n]); err != nil {
			return fmt.Errorf("event %d: %w", n, err)
		}
		if !f(n, d) {
			return nil
		}
	}
	return nil
}

// checked are the logs that were found to be right: of a state in which a replica's folder, meta.db, and all that was promised of it are
// as in an earlier one, its log need not be opened again.
type checked struct {
	mu   sync.Mutex
	logs map[checkedLog]bool
}

type checkedLog struct {
	id           replicaID
	folder, meta uint64
	want         *expected
	flux         *mark
}

func (c *checked) has(k checkedLog) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.logs[k]
}

func (c *checked) add(ks []checkedLog) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.logs == nil {
		c.logs = map[checkedLog]bool{}
	}
	for _, k := range ks {
		c.logs[k] = true
	}
}

// patience is how long a state may take. It takes milliseconds; what takes so long does not end.
const patience = time.Minute

// bounded gives up on a state that hangs: that is as bad as one that lies. Its goroutine stays behind.
func bounded(run func() (*verifier, error)) (*verifier, error) {
	type outcome struct {
		v   *verifier
		err error
	}
	done := make(chan outcome, 1)
	go func() {
		v, err := run()
		done <- outcome{v, err}
	}()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case o := <-done:
		return o.v, o.err
	case <-timer.C:
		v := &verifier{facts: facts{}}
		v.bad("I21", "the store hangs: it has not answered for %v", patience)
		return v, nil
	}
}

// runJob writes a state into a folder, opens it and checks it.
func runJob(j job, p *platter, known *checked) (v *verifier, err error) {
	img := j.img.Only("data")
	if j.raft {
		img = j.img.Only("broker-")
	}
	if err := p.put(img); err != nil {
		return nil, err
	}
	v = &verifier{want: j.want, dir: filepath.Join(p.dir, "data"), facts: facts{}, deep: j.deep}
	defer func() {
		if r := recover(); r != nil {
			v.bad("I1", "the store panics: %v", r)
		}
		p.used(j.second || len(v.found) > 0)
	}()
	if j.raft {
		v.cluster(p.dir)
		return v, nil
	}
	var seen []checkedLog
	if known != nil && !j.second {
		meta := img.Digest("data/meta.db")
		v.skip = func(id replicaID) bool {
			k := checkedLog{id, img.Digest("data/replicas/" + id.folder()), meta, j.want.replicas[id], j.want.flux[id]}
			if known.has(k) {
				return true
			}
			seen = append(seen, k)
			return false
		}
	}
	v.open()
	if j.second {
		v.goOn(j.img.Hash)
	}
	v.close()
	if len(v.found) == 0 && known != nil {
		known.add(seen)
	}
	return v, nil
}

// fill puts an image into a folder, in place of what is there.
func fill(dir string, img *disk.Image) error {
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return err
	}
	return img.WriteTo(dir)
}

// at gives the job of one place.
func (r *recording) at(p place, seed uint64) (*job, error) {
	var j *job
	err := r.walk(func(n int, d *disk.Disk) bool {
		if n < p.event {
			return true
		}
		j = &job{at: p, img: p.cut(d, seed), want: r.ledgers[n], deep: true, second: true, raft: n >= r.cluster}
		return false
	})
	return j, err
}
