package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/runnel-io/runnel/bench/proc"
	"github.com/runnel-io/runnel/bench/source"
	"github.com/runnel-io/runnel/bench/stream"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// steps is the whole show.
func steps(ctx context.Context, o options, dir, brokerd string, files []*source.File) error {
	po := proc.Options{Dir: dir, Brokers: 3, Brokerd: brokerd, Args: []string{"--replacement-after", o.replaceAfter.String()}}
	so := stream.Options{Topic: topic, Partitions: int32(o.partitions), Files: files, Load: o.rounds, Rate: o.rate}
	return start(ctx, o, po, so, func(r *run) error {
		loading := time.Now()
		if err := r.stream.Loaded(ctx); err != nil {
			return err
		}
		fmt.Printf("three brokers, %d partitions x 3 replicas, %d records loaded in %.1f s; then %d records/s, and one at a time on each partition\n\n",
			o.partitions, r.stream.Acked(), time.Since(loading).Seconds(), o.rate)
		const header = "%-34s %8s %7s %8s %8s %9s %8s %9s %9s %5s %6s\n"
		fmt.Printf(header, "step", "settled", "moved", "p99.9", "longest", "of", "sent", "replicas", "leaders", "lost", "twice")
		fmt.Printf(header, "", "after s", "MiB", "wait, ms", "wait, ms", "partition", "after s", "apart", "apart", "", "")
		for _, s := range []struct {
			name string
			run  func(context.Context) (step, error)
		}{
			{"3 brokers", r.nothing}, {"2 brokers join", r.join}, {"1 killed for good (the controller)", r.kill},
			{"1 loses its disk and comes back", r.wipe}, {"1 drained and removed", r.drain},
		} {
			if err := r.step(ctx, s.name, s.run); err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
		}
		return r.verdict(ctx)
	})
}

// step is what follows what was done: the condition of its end, beside that the cluster has settled, and what is done then.
type step struct {
	done func(*picture) string // empty once it is
	end  func(context.Context) error
}

// step does something and waits until the cluster has settled.
func (r *run) step(ctx context.Context, name string, do func(context.Context) (step, error)) error {
	before, err := r.received(ctx)
	if err != nil {
		return err
	}
	r.stream.Waits()
	began := time.Now()
	s, err := do(ctx)
	if err != nil {
		return err
	}
	first, last, err := r.settle(ctx, s)
	if err != nil {
		return err
	}
	took := time.Since(began)
	waits := r.stream.Waits()
	after, err := r.received(ctx)
	if err != nil {
		return err
	}
	if s.end != nil {
		if err := s.end(ctx); err != nil {
			return err
		}
	}
	lost, duplicated := r.stream.Seen()
	fmt.Printf("%-34s %8.1f %7.1f %8.1f %8d %9d %8.1f %9s %9s %5d %6d\n", name, took.Seconds(), moved(before, after)/(1<<20),
		ms(waits.P999), waits.Longest.Milliseconds(), waits.Partition, max(0, waits.Sent.Sub(began).Seconds()),
		fmt.Sprintf("%d -> %d", first.spread(first.replicas), last.spread(last.replicas)),
		fmt.Sprintf("%d -> %d", first.spread(first.leaders), last.spread(last.leaders)), lost, duplicated)
	if lost+duplicated > 0 {
		return errors.New("records were lost or came twice")
	}
	return r.stream.Err()
}

// settle waits until the step is done and nothing more is to be done, twice in a row. It answers the first and the last picture.
func (r *run) settle(ctx context.Context, s step) (first, last *picture, err error) {
	ctx, cancel := context.WithTimeout(ctx, r.o.patience)
	defer cancel()
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	why := "the cluster tells nothing"
	for quiet := 0; quiet < 2; {
		p, err := r.look(ctx)
		switch {
		case err != nil:
			if ctx.Err() == nil {
				why = err.Error()
			}
		default:
			if first == nil {
				first = p
			}
			last, why = p, p.unsettled()
			if why == "" && s.done != nil {
				why = s.done(p)
			}
		}
		quiet++
		if why != "" {
			quiet = 0
		}
		select {
		case <-tick.C:
		case <-r.stream.Failed():
			return nil, nil, fmt.Errorf("%w (the cluster: %s)", r.stream.Err(), why)
		case <-ctx.Done():
			return nil, nil, fmt.Errorf("not settled after %s: %s", r.o.patience, why)
		}
	}
	return first, last, nil
}

func (r *run) nothing(context.Context) (step, error) { return step{}, nil }

func (r *run) join(ctx context.Context) (step, error) {
	for range 2 {
		if _, err := r.cluster.Add(); err != nil {
			return step{}, err
		}
	}
	if err := r.cluster.Ready(ctx); err != nil {
		return step{}, err
	}
	return step{done: func(p *picture) string { return p.members(5) }}, nil
}

// members says whether so many brokers are alive, each with replicas.
func (p *picture) members(n int) string {
	alive := 0
	for _, b := range p.brokers {
		if b.GetAlive() && !b.GetDraining() && p.replicas[b.GetId()] > 0 {
			alive++
		}
	}
	if alive != n {
		return fmt.Sprintf("%d of %d brokers hold replicas", alive, n)
	}
	return ""
}

// kill ends the broker that leads the controller group.
func (r *run) kill(ctx context.Context) (step, error) {
	p, err := r.look(ctx)
	if err != nil {
		return step{}, err
	}
	status, err := r.cl.Admin().ClusterStatus(ctx, &runnelv1.ClusterStatusRequest{})
	if err != nil {
		return step{}, err
	}
	for _, b := range r.cluster.Brokers {
		if id := p.idOf(b); id == status.GetControllerId() {
			return step{done: func(p *picture) string { return p.left(id) + p.members(4) }, end: func(ctx context.Context) error { return r.remove(ctx, id) }}, b.Kill()
		}
	}
	return step{}, fmt.Errorf("no process is broker %d, the controller", status.GetControllerId())
}

// left says whether a broker holds nothing any more.
func (p *picture) left(id int32) string {
	if n := p.replicas[id]; n > 0 {
		return fmt.Sprintf("broker %d still has %d replicas; ", id, n)
	}
	return ""
}

// wipe has one of the first three brokers lose its disk.
func (r *run) wipe(ctx context.Context) (step, error) {
	p, err := r.look(ctx)
	if err != nil {
		return step{}, err
	}
	for _, b := range r.cluster.Brokers {
		if !b.Running() {
			continue
		}
		old := p.idOf(b)
		if err := errors.Join(b.Kill(), b.Wipe(), b.Start()); err != nil {
			return step{}, err
		}
		if err := b.Ready(ctx); err != nil {
			return step{}, err
		}
		return step{done: func(p *picture) string { return p.left(old) + p.members(4) }, end: func(ctx context.Context) error { return r.remove(ctx, old) }}, nil
	}
	return step{}, errors.New("no broker runs")
}

// drain empties the last broker that joined, removes it and ends its process.
func (r *run) drain(ctx context.Context) (step, error) {
	p, err := r.look(ctx)
	if err != nil {
		return step{}, err
	}
	b := r.cluster.Brokers[len(r.cluster.Brokers)-1]
	id := p.idOf(b)
	if _, err := r.cl.Admin().DrainBroker(ctx, &runnelv1.DrainBrokerRequest{Broker: id}); err != nil {
		return step{}, err
	}
	return step{
		done: func(p *picture) string { return p.left(id) + p.members(3) },
		end: func(ctx context.Context) error {
			if err := r.remove(ctx, id); err != nil {
				return err
			}
			return b.Stop(ctx)
		},
	}, nil
}

// remove removes an empty broker, as soon as it may be.
func (r *run) remove(ctx context.Context, id int32) error {
	ctx, cancel := context.WithTimeout(ctx, r.o.patience)
	defer cancel()
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	var last error
	for {
		call, done := context.WithTimeout(ctx, 10*time.Second)
		_, err := r.cl.Admin().RemoveBroker(call, &runnelv1.RemoveBrokerRequest{Broker: id})
		done()
		if err == nil {
			return nil
		}
		if ctx.Err() == nil {
			last = err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("broker %d cannot be removed: %w", id, last)
		}
	}
}
