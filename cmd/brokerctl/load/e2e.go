package load

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
)

// endToEnd produces at a rate and measures at the consumers.
func (r *run) endToEnd(ctx context.Context) (err error) {
	if r.cfg.Consumers > int(r.partitions) {
		return fmt.Errorf("%d consumers need as many partitions, topic %s has %d: use fewer --consumers or more --partitions",
			r.cfg.Consumers, r.topic, r.partitions)
	}
	st := &stamp{id: rand.Uint64(), began: r.began}
	shares := r.shares(r.cfg.Consumers)
	readCtx, stopReading := context.WithCancel(ctx)
	defer stopReading()
	track := &tracker{done: stopReading}
	track.want.Store(-1)

	readers, closeAll, err := r.openReaders(ctx, shares)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeAll()) }()

	r.openWindow(true)
	r.meters = newMeters(len(shares), r.win)
	acks := newMeters(r.cfg.Clients, r.win)
	var g errgroup.Group
	for i, reader := range readers {
		g.Go(func() error {
			for rec, err := range reader.Records(readCtx) {
				if err != nil {
					if readCtx.Err() == nil {
						r.meters[i].fail(err, 1)
					}
					return nil
				}
				if due, ok := st.open(rec.Value); ok {
					r.meters[i].seen(due, len(rec.Value))
					if r.win.holds(due, due) {
						track.saw()
					}
				}
			}
			return nil
		})
	}
	r.enter(measuring, r.meters...)
	sendErr := r.send(ctx, sendPlan{win: r.win, records: r.cfg.Records, rate: r.cfg.Rate, stamp: st, meters: acks})
	sent := sum(acks)
	if sent.errors > 0 {
		r.meters[0].fail(sent.firstErr, sent.errors)
	}
	// What is acknowledged must arrive; the consumers get a while for the last of it.
	track.expect(sent.records)
	waitCtx, cancel := context.WithTimeout(readCtx, r.cfg.Timeout)
	defer cancel()
	<-waitCtx.Done()
	stopReading()
	err = errors.Join(sendErr, g.Wait())
	if missing := sent.records - track.seen.Load(); missing > 0 && ctx.Err() == nil {
		r.meters[0].fail(fmt.Errorf("of the acknowledged records %d did not reach a consumer within %v", missing, r.cfg.Timeout), missing)
	}
	return err
}

// openReaders opens one client and reader for each share. Of the run's own topic they read everything; of a given one
// from its end.
func (r *run) openReaders(ctx context.Context, shares [][]int32) ([]Reader, func() error, error) {
	var readers []Reader
	var closers []func() error
	closeAll := func() error {
		var errs []error
		for i := len(closers) - 1; i >= 0; i-- {
			errs = append(errs, closers[i]())
		}
		return errors.Join(errs...)
	}
	for _, share := range shares {
		c, err := r.cluster.Consumer()
		if err != nil {
			return nil, nil, errors.Join(err, closeAll())
		}
		closers = append(closers, c.Close)
		reader, err := c.NewReader(r.topic, ReaderOptions{Partitions: share, FromEnd: r.cfg.Topic != ""})
		if err != nil {
			return nil, nil, errors.Join(err, closeAll())
		}
		closers = append(closers, reader.Close)
		readyCtx, cancel := context.WithTimeout(ctx, r.cfg.Timeout)
		err = reader.Ready(readyCtx)
		cancel()
		if err != nil {
			return nil, nil, errors.Join(fmt.Errorf("opening a reader of topic %s: %w", r.topic, err), closeAll())
		}
		readers = append(readers, reader)
	}
	return readers, closeAll, nil
}

// tracker tells when as many records were seen as were acknowledged. Which of the two is known last does not matter:
// each side looks at the other's count after it has changed its own.
type tracker struct {
	seen, want atomic.Int64
	once       sync.Once
	done       func()
}

func (t *tracker) saw() { t.check(t.seen.Add(1), t.want.Load()) }

func (t *tracker) expect(n int64) {
	t.want.Store(n)
	t.check(t.seen.Load(), n)
}

func (t *tracker) check(seen, want int64) {
	if want >= 0 && seen >= want {
		t.once.Do(t.done)
	}
}
