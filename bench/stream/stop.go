package stream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/runnel-io/runnel/rpc/client"
)

// Abort ends everything at once, because of why. It answers why, with the first error that reached a user where why does not tell it.
// Calling it again is harmless.
func (s *Stream) Abort(why error) error {
	s.stop()
	s.sends.Wait()
	s.reads.Wait()
	if err := s.Err(); err != nil && !errors.Is(why, err) {
		why = errors.Join(why, err)
	}
	s.closed.Do(func() { why = errors.Join(why, s.closeClients()) })
	return why
}

// Stop ends sending, waits until all is acknowledged and until the reader that followed has got it, and answers what that one found. It fails
// with the first error that reached a user, or when ctx ends before.
func (s *Stream) Stop(ctx context.Context) (Verdict, error) {
	s.cancel()
	acknowledged := make(chan struct{})
	go func() { // ends with the sends, which Abort ends
		s.sends.Wait()
		close(acknowledged)
	}()
	select {
	case <-acknowledged:
	case <-ctx.Done():
		return Verdict{}, s.Abort(fmt.Errorf("records are unanswered: %w", ctx.Err()))
	}
	if err := s.followed(ctx); err != nil {
		return Verdict{}, s.Abort(err)
	}
	if err := s.Abort(nil); err != nil {
		return Verdict{}, err
	}
	return s.live.finish(s.o.Files, s.written, s.probed()), nil
}

// Reread reads everything with a client that has seen nothing of what went before. Call it after Stop.
func (s *Stream) Reread(ctx context.Context, seeds []string) (Verdict, error) {
	cl, err := client.New(seeds)
	if err != nil {
		return Verdict{}, err
	}
	defer cl.Close()
	c := newChecker(s.o.Partitions)
	if err := s.read(ctx, cl, c, client.ToEnd()); err != nil {
		return Verdict{}, err
	}
	if err := ctx.Err(); err != nil {
		return Verdict{}, err
	}
	return c.finish(s.o.Files, s.written, s.probed()), nil
}

// followed waits until the reader has come to the end.
func (s *Stream) followed(ctx context.Context) error {
	ends, err := s.prober.ListOffsets(ctx, s.o.Topic, client.AtEnd())
	if err != nil {
		return err
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for p, end := range ends {
		for s.live.next[p].Load() < end {
			select {
			case <-s.failed:
				return s.Err()
			case <-ctx.Done():
				return fmt.Errorf("partition %d: the reader is at offset %d of %d: %w", p, s.live.next[p].Load(), end, ctx.Err())
			case <-tick.C:
			}
		}
	}
	return nil
}

func (s *Stream) probed() []uint32 {
	out := make([]uint32, len(s.probes))
	for p := range s.probes {
		out[p] = s.probes[p].Load()
	}
	return out
}

func (s *Stream) closeClients() error {
	var errs []error
	for _, c := range []*client.Client{s.files, s.prober, s.follow} {
		if c != nil {
			errs = append(errs, c.Close())
		}
	}
	return errors.Join(errs...)
}
