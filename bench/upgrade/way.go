package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/runnel-io/runnel/bench/proc"
	"github.com/runnel-io/runnel/bench/trial"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

const (
	brokers    = 3
	partitions = 6
	homeWithin = time.Minute
	readyIn    = time.Minute
)

// way restarts all brokers with a build, one at a time, while clients go on, and judges.
func (r *run) way(ctx context.Context, name string, to build) error {
	t, err := trial.Start(ctx, trial.Options{Seeds: r.cluster.Seeds(), Dir: r.dir, Topic: fmt.Sprintf("way-%d", len(r.trials)+1), Partitions: partitions, Makers: 1})
	if err != nil {
		return err
	}
	from := t.Now()
	for i, b := range r.cluster.Brokers {
		if err := r.restart(ctx, t, b, to); err != nil {
			return t.Abort(err)
		}
		if mixed := i == 1; mixed { // two of the new kind and one of the old
			if err := errors.Join(r.mixed(ctx, t, name), r.refused(ctx)); err != nil {
				return t.Abort(err)
			}
		}
	}
	end := t.Now()
	v, err := t.End(ctx)
	if err != nil {
		return err
	}
	worst := v.Longest(from, end, trial.Any)
	errs := []error{v.Err()}
	// What the ways before have written, each broker must give, whichever build it is now.
	old := 0
	for _, before := range r.trials {
		x, err := before.Again(ctx)
		if err != nil {
			return fmt.Errorf("reading what was written on an earlier way: %w", err)
		}
		old += x.Acked
		v.Lost, v.Doubled = v.Lost+x.Lost, v.Doubled+x.Doubled
		errs = append(errs, x.Err())
	}
	r.trials = append(r.trials, t)
	fmt.Printf("%-14s all brokers run %s; longest wait %4s; %d records of this way and %d of those before, read from each broker: lost %d, duplicated %d\n",
		name, to.name, worst, v.Acked, old, v.Lost, v.Doubled)
	if worst.Long > r.o.most {
		errs = append(errs, fmt.Errorf("partition %d: a record waited %s, more than %s, sent %.1f s after the beginning",
			worst.Partition, worst, r.o.most, (worst.Sent-from).Seconds()))
	}
	return errors.Join(errs...)
}

// restart ends a broker and starts it with a build, and waits until it is ready and leads again what it led.
func (r *run) restart(ctx context.Context, t *trial.Trial, b *proc.Broker, to build) error {
	if err := b.Stop(ctx); err != nil {
		return err
	}
	b.Run(to.program)
	if err := b.Start(); err != nil {
		return err
	}
	ready, cancel := context.WithTimeout(ctx, readyIn)
	defer cancel()
	if err := b.Ready(ready); err != nil {
		return err
	}
	return trial.Until(ctx, homeWithin, func(ctx context.Context) error { return t.Home(ctx, r.cl) })
}

// mixed lets the mixed cluster work, and sees that brokers of both builds lead partitions, before and after. A leader that was away for a moment, on a
// machine that hung, comes home.
func (r *run) mixed(ctx context.Context, t *trial.Trial, name string) error {
	for range 2 {
		if err := trial.Until(ctx, homeWithin, func(ctx context.Context) error { return r.bothLead(ctx, t, name) }); err != nil {
			return err
		}
		if err := proc.Wait(ctx, r.o.mixed/2); err != nil {
			return err
		}
	}
	return nil
}

// bothLead says how many partitions brokers of each build lead. That one leads none is an error.
func (r *run) bothLead(ctx context.Context, t *trial.Trial, name string) error {
	leads, err := t.Leaders(ctx, r.cl)
	if err != nil {
		return err
	}
	list, err := r.cl.Admin().ListBrokers(ctx, &runnelv1.ListBrokersRequest{})
	if err != nil {
		return err
	}
	s, err := r.cl.Admin().ClusterStatus(ctx, &runnelv1.ClusterStatusRequest{})
	if err != nil {
		return err
	}
	runs := map[int32]string{}
	for _, b := range list.GetBrokers() {
		runs[b.GetId()] = b.GetVersion()
	}
	count := map[string]int{}
	for _, broker := range leads {
		count[runs[broker]]++
	}
	if count[r.previous.name] == 0 || count[r.now.name] == 0 {
		return fmt.Errorf("the cluster is to be mixed, and partitions are led by %v", count)
	}
	fmt.Printf("%-14s mixed: partitions led by %v; the controller is led by %s\n", name, count, runs[s.GetControllerId()])
	return nil
}
