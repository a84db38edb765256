package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/runnel-io/runnel/bench/crash/disk"
)

const boltPage = 4096

// flip is one bit of one file.
type flip struct {
	file string
	off  int64
	bit  uint
}

func (f flip) String() string { return fmt.Sprintf("%s:%d:%d", f.file, f.off, f.bit) }

func parseFlip(s string) (f flip, err error) {
	parts := strings.Split(s, ":")
	if len(parts) == 3 {
		f.file = parts[0]
		var bit uint64
		if f.off, err = strconv.ParseInt(parts[1], 10, 64); err == nil {
			bit, err = strconv.ParseUint(parts[2], 10, 3)
			f.bit = uint(bit)
		}
		if err == nil {
			return f, nil
		}
	}
	return f, fmt.Errorf("the flip %q is not like data/meta.db:4096:7", s)
}

// flipResult is what flipping bits showed.
type flipResult struct {
	result
	detected, harmless int
	toFollower         int // flips where the damaged log was shipped to another broker
	byKind             map[string]int
}

// flips flips bits, each in a fresh copy of the files as they were at some moment of the recording.
func (r *recording) flips(ctx context.Context, work string, workers, n int, seed uint64) (*flipResult, error) {
	bases, err := r.moments(12)
	if err != nil {
		return nil, err
	}
	res := &flipResult{result: result{facts: facts{}}, byKind: map[string]int{}}
	var mu sync.Mutex
	var wg sync.WaitGroup
	errs := make([]error, workers)
	for w := range workers {
		wg.Go(func() {
			for i := w; i < n && ctx.Err() == nil && errs[w] == nil; i += workers {
				b := bases[i%len(bases)]
				rnd := rand.New(rand.NewPCG(seed, uint64(i)))
				f, kind := pickFlip(b.img, i/len(bases), rnd)
				follower := false
				v, err := bounded(func() (v *verifier, err error) {
					v, follower, err = runFlip(b, f, filepath.Join(work, strconv.Itoa(w)), i%3 == 2)
					return v, err
				})
				if err != nil {
					errs[w] = err
					return
				}
				mu.Lock()
				res.take(b.at, f.String(), v)
				res.tried++
				res.byKind[kind]++
				if follower {
					res.toFollower++
				}
				switch {
				case len(v.found) > 0:
				case len(v.refused) > 0 || v.wiped:
					res.detected++
				default:
					res.harmless++
				}
				mu.Unlock()
				if hangs(v) {
					return
				}
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return res, ctx.Err()
}

// moments are states without damage, spread over the recording, in which there is something to damage.
func (r *recording) moments(n int) (out []job, err error) {
	var marks []int
	for i, e := range r.events {
		if e.Kind == disk.Mark && i < r.cluster && len(r.ledgers[i].replicas) >= 3 {
			marks = append(marks, i)
		}
	}
	if len(marks) < n {
		return nil, fmt.Errorf("the recording has only %d promises", len(marks))
	}
	at := map[int]bool{}
	for i := range n {
		at[marks[(i+1)*len(marks)/n-1]] = true
	}
	err = r.walk(func(n int, d *disk.Disk) bool {
		if at[n] {
			p := place{event: n, mode: disk.All}
			out = append(out, job{at: p, img: p.cut(d, 0), want: r.ledgers[n]})
		}
		return true
	})
	return out, err
}

// pickFlip takes the files in turn. Most flips go where they can do harm: into what bbolt steers by, into its meta pages, into
// bytes that are not zero.
func pickFlip(img *disk.Image, turn int, rnd *rand.Rand) (flip, string) {
	var files []string
	for _, f := range img.Files() {
		if len(img.Pages(f)) > 0 {
			files = append(files, f)
		}
	}
	f := flip{file: files[turn%len(files)], bit: uint(rnd.IntN(8))}
	kind := f.aim(img, rnd)
	return f, kind
}

// aim picks a byte.
func (f *flip) aim(img *disk.Image, rnd *rand.Rand) string {
	pages := img.Pages(f.file)
	no := pages[rnd.IntN(len(pages))]
	page := img.Page(f.file, no)
	switch k := rnd.IntN(10); {
	case k < 1:
		f.off = int64(rnd.IntN(2))*boltPage + int64(rnd.IntN(80))
		return "meta page"
	case k < 4:
		elements := 16 + 16*int(binary.LittleEndian.Uint16(page[10:]))
		f.off = no*boltPage + int64(rnd.IntN(min(elements, boltPage)))
		return "page header and elements"
	case k < 8:
		at := rnd.IntN(boltPage)
		for page[at] == 0 {
			at = (at + 1) % boltPage
		}
		f.off = no*boltPage + int64(at)
		return "byte in use at some time"
	}
	f.off = rnd.Int64N(img.Size(f.file))
	return "any byte of the file"
}

// runFlip opens a folder with one flipped bit. Either everything is read and the store goes on, or, with ship, the log is first
// given to another broker.
func runFlip(b job, f flip, dir string, ship bool) (v *verifier, shipped bool, err error) {
	if err := fill(dir, b.img.Flip(f.file, f.off, f.bit)); err != nil {
		return nil, false, err
	}
	v = &verifier{want: b.want, dir: filepath.Join(dir, "data"), facts: facts{}, damage: true, deep: true}
	defer func() {
		if p := recover(); p != nil {
			v.bad("I4", "the store panics: %v", p)
		}
	}()
	if id, ok := replicaOf(f.file); ok && ship {
		if shipped, err = shipDamaged(v, id, dir); err != nil || len(v.found) > 0 {
			return v, shipped, err
		}
	}
	v.open()
	v.goOn(uint64(f.off))
	v.close()
	return v, shipped, nil
}

// replicaOf tells whose file it is.
func replicaOf(file string) (id replicaID, ok bool) {
	name := filepath.Base(filepath.Dir(file))
	n, err := fmt.Sscanf(name, "%016x-%016x", &id.group, &id.replica)
	return id, err == nil && n == 2 && len(name) == 33
}
