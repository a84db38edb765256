package main

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// limitBatch is the batch that the raw disk writes: the SDK's largest by default.
const limitBatch = 256 << 10

// rawDisk appends to three files at once, one fdatasync a batch, and answers MB/s of one file: what the disk would do for a
// log that is written three times, with nothing else to do.
func rawDisk(dir string, d time.Duration) (mbPerSecond float64, err error) {
	noise := make([]byte, limitBatch)
	for i := range noise {
		noise[i] = byte(rand.Uint32())
	}
	var wg sync.WaitGroup
	var written [3]int64
	var errs [3]error
	end := time.Now().Add(d)
	for i := range written {
		wg.Go(func() {
			path := filepath.Join(dir, "raw-"+string(rune('a'+i)))
			written[i], errs[i] = appendUntil(path, noise, end)
			errs[i] = errors.Join(errs[i], os.Remove(path))
		})
	}
	wg.Wait()
	return float64(min(written[0], written[1], written[2])) / d.Seconds() / 1e6, errors.Join(errs[:]...)
}

func appendUntil(path string, batch []byte, end time.Time) (n int64, err error) {
	f, err := os.Create(path)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	for time.Now().Before(end) {
		if _, err := f.Write(batch); err != nil {
			return n, err
		}
		if err := unix.Fdatasync(int(f.Fd())); err != nil {
			return n, err
		}
		n += int64(len(batch))
	}
	return n, nil
}
