package load

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
)

// A consumer publishes what it has read after so many records or bytes: seldom enough to cost nothing, often enough for
// the edges of the window.
const (
	publishRecords = 256
	publishBytes   = 64 << 10
)

// consume is the consume mode: fill the topic (not with a given one), then read it, again and again if there is time.
func (r *run) consume(ctx context.Context) error {
	if r.cfg.Topic == "" {
		fill := newMeters(r.cfg.Clients, window{})
		r.enter("filling", fill...)
		if err := r.send(ctx, sendPlan{records: r.cfg.Records, meters: fill}); err != nil {
			return fmt.Errorf("filling topic %s: %w", r.topic, err)
		}
		if t := sum(fill); t.errors > 0 {
			return fmt.Errorf("filling topic %s: records failed: %d of %d: %w", r.topic, t.errors, r.cfg.Records, t.firstErr)
		}
		if ctx.Err() != nil {
			return nil
		}
	}
	offsetsCtx, cancel := context.WithTimeout(ctx, r.cfg.Timeout)
	defer cancel()
	start, end, err := r.cluster.Offsets(offsetsCtx, r.topic)
	if err != nil {
		return fmt.Errorf("looking up the offsets of topic %s: %w", r.topic, err)
	}
	shares := r.shares(min(r.cfg.Consumers, int(r.partitions)))
	if len(shares) < r.cfg.Consumers {
		return fmt.Errorf("%d consumers need as many partitions, topic %s has %d: use fewer --consumers or more --partitions",
			r.cfg.Consumers, r.topic, r.partitions)
	}
	var total int64
	wants := make([]int64, len(shares))
	for i, share := range shares {
		for _, p := range share {
			wants[i] += end[p] - start[p]
		}
		total += wants[i]
	}
	if total == 0 {
		return fmt.Errorf("topic %s is empty: produce into it first, or leave out --topic", r.topic)
	}
	r.openWindow(false)
	if r.cfg.Duration == 0 {
		r.win.to = time.Time{}
	}
	r.meters = newMeters(len(shares), r.win)
	r.enter(measuring, r.meters...)
	var g errgroup.Group
	for i, share := range shares {
		g.Go(func() error { return r.readAgain(ctx, share, wants[i], r.meters[i]) })
	}
	return g.Wait()
}

// shares deals the partitions out to n consumers.
func (r *run) shares(n int) [][]int32 {
	s := make([][]int32, n)
	for p := range r.partitions {
		s[int(p)%n] = append(s[int(p)%n], p)
	}
	return s
}

// readAgain reads its partitions from start to end, want records each time, until the window is over; without a
// Duration once.
func (r *run) readAgain(ctx context.Context, share []int32, want int64, m *meter) (err error) {
	if want == 0 {
		return nil
	}
	c, err := r.cluster.Consumer()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	passCtx := ctx
	if !r.win.to.IsZero() {
		var cancel context.CancelFunc
		passCtx, cancel = context.WithDeadline(ctx, r.win.to)
		defer cancel()
	}
	for {
		got, err := r.readOnce(passCtx, c, share, m)
		switch {
		case passCtx.Err() != nil:
			// The window is over, or the user has had enough. Nothing at all is not a slow cluster, it is a broken one.
			if got == 0 && ctx.Err() == nil && sum([]*meter{m}).allRecords == 0 {
				m.fail(fmt.Errorf("no record of %d arrived within the run", want), want)
			}
			return nil
		case err != nil:
			m.fail(err, 1)
			return nil
		case got != want:
			m.fail(fmt.Errorf("a pass over partitions %v ended early, at record %d of %d", share, got, want), want-got)
			return nil
		case r.win.to.IsZero():
			return nil
		}
	}
}

// readOnce is one pass.
func (r *run) readOnce(ctx context.Context, c Consumer, share []int32, m *meter) (got int64, err error) {
	reader, err := c.NewReader(r.topic, ReaderOptions{Partitions: share, ToEnd: true})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, reader.Close()) }()
	var records, bytes int64
	for rec, err := range reader.Records(ctx) {
		if err != nil {
			m.read(records, bytes, time.Now())
			return got, err
		}
		got++
		records++
		bytes += int64(len(rec.Key) + len(rec.Value))
		if records == publishRecords || bytes >= publishBytes {
			m.read(records, bytes, time.Now())
			records, bytes = 0, 0
		}
	}
	m.read(records, bytes, time.Now())
	return got, nil
}
