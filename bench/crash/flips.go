package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
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
	noticed    int // flips because of which a replica, or the broker, gave itself up
	healed     int // of those: flips after which all that was given up was installed anew and is right
	unstarted  int // of those: flips because of which the store does not open and says what to do
	harmless   int // flips that change nothing
	toFollower int // flips where the damaged log was shipped to another broker
	byKind     map[string]*tally
}

// tally counts flips of one kind of bytes.
type tally struct{ tried, noticed int }

// flips flips bits, each in a fresh copy of the files as they were at some moment of the recording.
func (r *recording) flips(ctx context.Context, work string, workers, n int, seed uint64) (*flipResult, error) {
	jobs, err := r.moments(12)
	if err != nil {
		return nil, err
	}
	bases := make([]*base, len(jobs))
	defer func() {
		for _, b := range bases {
			b.close()
		}
	}()
	for i, j := range jobs {
		if bases[i], err = newBase(j, filepath.Join(work, fmt.Sprintf("peer-%d", i))); err != nil {
			return nil, err
		}
	}
	res := &flipResult{result: result{facts: facts{}}, byKind: map[string]*tally{}}
	var mu sync.Mutex
	var wg sync.WaitGroup
	errs := make([]error, workers)
	for w := range workers {
		wg.Go(func() {
			for i := w; i < n && ctx.Err() == nil && errs[w] == nil; i += workers {
				b := bases[i%len(bases)]
				f := b.pick(i/len(bases), rand.New(rand.NewPCG(seed, uint64(i))))
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
				res.count(b, f, v)
				if follower {
					res.toFollower++
				}
				mu.Unlock()
				if hangs(v) {
					return
				}
			}
		})
	}
	wg.Wait()
	return res, errors.Join(errors.Join(errs...), ctx.Err())
}

// count takes in one flip.
func (res *flipResult) count(b *base, f flip, v *verifier) {
	res.tried++
	res.take(b.at, f.String(), v)
	s := b.layouts[f.file].at(f.off)
	kind := s.what
	if s.duty == steering {
		kind += ", steering"
	}
	t := res.byKind[kind]
	if t == nil {
		t = &tally{}
		res.byKind[kind] = t
	}
	t.tried++
	switch {
	case len(v.found) > 0:
	case v.noticed():
		res.noticed++
		t.noticed++
		if v.refused[replicaID{}] != nil {
			res.unstarted++
		} else {
			res.healed++ // or it was a violation
		}
	default:
		res.harmless++
	}
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

// base is a moment of the recording, the same files undamaged in a store that is open, as those of a peer are, and what the bytes of those
// files are that anybody reads.
type base struct {
	job
	peer    *verifier
	files   []string           // that hold anything
	read    []string           // of which somebody reads
	layouts map[string]*layout // of these
}

func newBase(j job, dir string) (_ *base, err error) {
	if err := fill(dir, j.img); err != nil {
		return nil, err
	}
	b := &base{job: j, layouts: map[string]*layout{}}
	b.peer = &verifier{want: j.want, dir: filepath.Join(dir, "data"), facts: facts{}, deep: true}
	defer func() {
		if err != nil {
			b.peer.close()
		}
	}()
	b.peer.open()
	if len(b.peer.found) > 0 {
		return nil, fmt.Errorf("the state %s is broken without a flip: %v", j.at, b.peer.found)
	}
	newest := map[string]bool{"data/meta.db": false}
	for id, l := range b.peer.logs {
		hs, _, err := l.InitialState()
		if err != nil {
			return nil, err
		}
		l.SetApplied(hs.GetCommit())
		segs := l.Segments()
		for i, s := range segs {
			newest[fmt.Sprintf("data/replicas/%s/%020d.seg", id.folder(), s.FirstIndex)] = i == len(segs)-1
		}
	}
	for _, f := range j.img.Files() {
		if len(j.img.Pages(f)) == 0 {
			continue
		}
		b.files = append(b.files, f)
		if is, ok := newest[f]; ok {
			l, err := layoutOf(j.img, f, f == "data/meta.db", is)
			if err != nil {
				return nil, err
			}
			b.read, b.layouts[f] = append(b.read, f), l
		}
	}
	if len(b.read) != len(newest) {
		return nil, fmt.Errorf("%d files are read at %s, %d of them were found", len(newest), j.at, len(b.read))
	}
	return b, nil
}

func (b *base) close() {
	if b != nil {
		b.peer.close()
	}
}

// pick takes the files in turn. Seven flips of ten are of bytes that are read, as often of each kind, however few there are of it. Of the others
// half are of what bbolt steers by, and the rest anywhere, most in pages that were ever written.
func (b *base) pick(turn int, rnd *rand.Rand) flip {
	k := rnd.IntN(20)
	if k < 17 {
		f := flip{file: b.read[turn%len(b.read)], bit: uint(rnd.IntN(8))}
		of := b.layouts[f.file].of(read)
		if k >= 14 {
			of = b.layouts[f.file].of(steering)
		}
		kinds := slices.Sorted(maps.Keys(of))
		spans := of[kinds[rnd.IntN(len(kinds))]]
		s := spans[rnd.IntN(len(spans))]
		f.off = s.from + rnd.Int64N(s.to-s.from)
		return f
	}
	f := flip{file: b.files[turn%len(b.files)], bit: uint(rnd.IntN(8))}
	if k == 19 {
		f.off = rnd.Int64N(b.img.Size(f.file))
		return f
	}
	pages := b.img.Pages(f.file)
	f.off = pages[rnd.IntN(len(pages))]*boltPage + rnd.Int64N(boltPage)
	return f
}

// runFlip opens a folder with one flipped bit. Everything is read, the store goes on, and what gave itself up is healed. With ship, the log
// is first given to another broker.
func runFlip(b *base, f flip, dir string, ship bool) (v *verifier, shipped bool, err error) {
	if err := fill(dir, b.img.Flip(f.file, f.off, f.bit)); err != nil {
		return nil, false, err
	}
	v = &verifier{want: b.want, dir: filepath.Join(dir, "data"), facts: facts{}, peer: b.peer, deep: true}
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
	if len(v.found) > 0 {
		return v, shipped, nil
	}
	switch s := b.layouts[f.file].at(f.off); {
	case s.duty == read && !v.noticed():
		v.bad("I4", "nobody noticed, and it is %s: bytes %d to %d", s.what, s.from, s.to-1)
	case s.duty == unused && v.noticed():
		v.bad("I4", "nobody uses this byte, and yet something is given up: %v", v.refused)
	}
	return v, shipped, nil
}

// replicaOf tells whose file it is.
func replicaOf(file string) (id replicaID, ok bool) {
	name := filepath.Base(filepath.Dir(file))
	n, err := fmt.Sscanf(name, "%016x-%016x", &id.group, &id.replica)
	return id, err == nil && n == 2 && len(name) == 33
}
