package trial

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/runnel-io/runnel/bench/proc"
)

const (
	// diskEvery is seldom beside the brokers' own commits.
	diskEvery = 50 * time.Millisecond
	// diskStill is longer than a commit takes while nothing hangs.
	diskStill = 100 * time.Millisecond
	// diskPages is how far the file grows before it begins anew. A growing file has the file system's journal committed, as brokers' logs have.
	diskPages = 64
	diskPage  = 4096
)

// disk commits a page now and then where the brokers have their data. While that hangs, or does not even get a processor, no record can be
// acknowledged, whatever the brokers do: the machine that runs the trial is shared, and another's burst of writes keeps its disk busy for a second.
type disk struct {
	now    func() time.Duration
	commit func(page int64) error
	still  []span // of watch until it has ended
}

type span struct{ from, to time.Duration }

// newDisk commits to a file in a folder, which it removes at the end of run.
func newDisk(dir string, now func() time.Duration) (d *disk, run func(ctx context.Context) error, err error) {
	f, err := os.Create(filepath.Join(dir, "disk-watch"))
	if err != nil {
		return nil, nil, fmt.Errorf("watching the disk: %w", err)
	}
	page := make([]byte, diskPage)
	d = &disk{now: now, commit: func(n int64) error {
		if n == 0 {
			if err := f.Truncate(0); err != nil {
				return err
			}
		}
		if _, err := f.WriteAt(page, n*diskPage); err != nil {
			return err
		}
		return f.Sync()
	}}
	return d, func(ctx context.Context) error {
		return errors.Join(d.watch(ctx), f.Close(), os.Remove(f.Name()))
	}, nil
}

// watch returns when ctx ends, and after the commit under way.
func (d *disk) watch(ctx context.Context) error {
	due := d.now()
	for n := int64(0); ; n = (n + 1) % diskPages {
		if err := d.commit(n); err != nil {
			return fmt.Errorf("watching the disk: %w", err)
		}
		now := d.now()
		if now-due > diskStill {
			d.still = append(d.still, span{due, now})
		}
		due = now + diskEvery
		if proc.Wait(ctx, diskEvery) != nil {
			return nil
		}
	}
}

// within is how much of a span the disk was still.
func within(still []span, s span) (sum time.Duration) {
	for _, x := range still {
		sum += max(0, min(x.to, s.to)-max(x.from, s.from))
	}
	return sum
}
