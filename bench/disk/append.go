package disk

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/sys/unix"
)

// Appended is what appending came to.
type Appended struct {
	// MBPerSecond of one file, the slowest, in units of 1,000,000 bytes.
	MBPerSecond float64
	// Syncs a second of all files together, and how long one took.
	Syncs float64
	Took  Latency
}

// Latency is the distribution of a duration.
type Latency struct{ P50, P99, Max time.Duration }

// Append appends to so many files below dir at once, one fdatasync a batch, for d: what the disk would do for a log that is
// written so many times. The files are removed.
func Append(dir string, files, batch int, d time.Duration) (Appended, error) {
	noise := make([]byte, batch) // which no disk can compress
	for i := range noise {
		noise[i] = byte(rand.Uint32())
	}
	written := make([]int64, files)
	var a Appended
	hist, took, err := together(files, d, func(i int, until time.Time, hist *hdrhistogram.Histogram) (err error) {
		path := filepath.Join(dir, fmt.Sprintf("raw-%d", i))
		written[i], err = appendUntil(path, noise, until, hist)
		return errors.Join(err, os.Remove(path))
	})
	if err != nil {
		return a, err
	}
	least := written[0]
	for _, n := range written {
		least = min(least, n)
	}
	a.MBPerSecond = float64(least) / took.Seconds() / 1e6
	a.Syncs = float64(hist.TotalCount()) / took.Seconds()
	a.Took = latency(hist)
	return a, nil
}

func appendUntil(path string, batch []byte, until time.Time, hist *hdrhistogram.Histogram) (n int64, err error) {
	f, err := os.Create(path)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	for time.Now().Before(until) {
		if _, err := f.Write(batch); err != nil {
			return n, err
		}
		began := time.Now()
		if err := unix.Fdatasync(int(f.Fd())); err != nil {
			return n, err
		}
		record(hist, time.Since(began))
		n += int64(len(batch))
	}
	return n, nil
}

// together runs f n times at once until d is over and answers what all recorded, and how long it really took: the last batch
// may end late.
func together(n int, d time.Duration, f func(i int, until time.Time, hist *hdrhistogram.Histogram) error) (*hdrhistogram.Histogram, time.Duration, error) {
	var wg sync.WaitGroup
	hists, errs := make([]*hdrhistogram.Histogram, n), make([]error, n)
	began := time.Now()
	until := began.Add(d)
	for i := range n {
		hists[i] = newHistogram()
		wg.Go(func() { errs[i] = f(i, until, hists[i]) })
	}
	wg.Wait()
	took := time.Since(began)
	all := newHistogram()
	for _, h := range hists {
		all.Merge(h)
	}
	return all, took, errors.Join(errs...)
}

// slowestNS is the longest time that is kept; a sync that takes longer counts as this.
const slowestNS = int64(time.Minute)

func newHistogram() *hdrhistogram.Histogram { return hdrhistogram.New(1000, slowestNS, 3) }

func record(h *hdrhistogram.Histogram, d time.Duration) {
	_ = h.RecordValue(min(max(d.Nanoseconds(), 1000), slowestNS)) // cannot fail within these bounds
}

func latency(h *hdrhistogram.Histogram) Latency {
	at := func(p float64) time.Duration { return time.Duration(h.ValueAtPercentile(p)) }
	return Latency{P50: at(50), P99: at(99), Max: time.Duration(h.Max())}
}
