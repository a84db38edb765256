package main

import (
	"context"
	"fmt"
	"time"

	"github.com/runnel-io/runnel/bench/trial"
)

// scene is one thing that is done to the network or to brokers while clients go on.
type scene struct {
	name string
	// most bounds the wait for an acknowledgement; elsewhere that of partitions which the brokers hit did not lead, 0: any.
	most, elsewhere time.Duration
	// do does it and mends it. It answers the numbers of the hosts that were hit.
	do func(ctx context.Context, w *world) (hit []int, err error)
}

const header = "what happens                                              longest wait   elsewhere  whole again     records  lost  doubled"

// play has clients use a topic while a scene goes on, and waits until all is as before.
func (w *world) play(ctx context.Context, s scene) error {
	t, err := trial.Start(ctx, trial.Options{Seeds: seeds("7070"), Dir: w.o.dir, Topic: fmt.Sprintf("scene-%d", len(w.trials)+1), Partitions: partitions})
	if err != nil {
		return err
	}
	leads, err := w.home(ctx, t)
	if err != nil {
		return t.Abort(err)
	}
	from := t.Now()
	hit, err := s.do(ctx, w)
	if err != nil {
		return t.Abort(err)
	}
	mended := t.Now()
	var faults []string
	ready, cancel := context.WithTimeout(ctx, wholeWithin)
	defer cancel()
	if err := w.cluster.Ready(ready); err != nil {
		return t.Abort(err)
	}
	if _, err := w.home(ctx, t); err != nil {
		faults = append(faults, err.Error())
	}
	whole := t.Now() - mended
	if err := t.Advanced(ctx, servesWithin); err != nil {
		faults = append(faults, err.Error())
	}
	to := t.Now()
	v, err := t.End(ctx)
	if err != nil {
		return err
	}
	w.trials = append(w.trials, t)
	was := map[int]bool{}
	for _, n := range hit {
		was[n] = true
	}
	all := v.Longest(from, to, trial.Any)
	others := v.Longest(from, to, func(p int32) bool { return !was[w.ids[leads[p]]] })
	if all.Long > s.most {
		faults = append(faults, fmt.Sprintf("partition %d: a record waited %s, more than %s, sent %.2f s after the beginning", all.Partition, all, s.most, (all.Sent-from).Seconds()))
	}
	if s.elsewhere > 0 && others.Long > s.elsewhere {
		faults = append(faults, fmt.Sprintf("partition %d, which was led elsewhere: a record waited %s, more than %s, sent %.2f s after the beginning",
			others.Partition, others, s.elsewhere, (others.Sent-from).Seconds()))
	}
	elsewhere := "-"
	if s.elsewhere > 0 {
		elsewhere = fmt.Sprintf("%.2f s", others.Long.Seconds())
	}
	w.row(s.name, fmt.Sprintf("%.2f s", all.Long.Seconds()), elsewhere, fmt.Sprintf("%.1f s", whole.Seconds()), v, faults)
	if still := max(all.Still, others.Still); still > 0 {
		fmt.Printf("    the machine hung for %.2f s of the longest wait, which does not count\n", still.Seconds())
	}
	return nil
}

// home waits until all brokers are known where they are and the topic has its leaders and replicas where they belong. It answers who leads.
func (w *world) home(ctx context.Context, t *trial.Trial) (leads map[int32]int32, err error) {
	err = trial.Until(ctx, wholeWithin, func(ctx context.Context) error {
		if err := w.registered(ctx); err != nil {
			return err
		}
		if err := t.Home(ctx, w.cl); err != nil {
			return err
		}
		leads, err = t.Leaders(ctx, w.cl)
		return err
	})
	return leads, err
}

// row prints what was found.
func (w *world) row(name, longest, elsewhere, whole string, v trial.Verdict, faults []string) {
	if err := v.Err(); err != nil {
		faults = append(faults, err.Error())
	}
	verdict := "ok"
	if len(faults) > 0 {
		verdict = "RED"
		w.red++
	}
	fmt.Printf("%-56s %13s %11s %12s %11d %5d %8d  %s\n", name, longest, elsewhere, whole, v.Acked, v.Lost, v.Doubled, verdict)
	for _, f := range faults {
		fmt.Println("    " + f)
	}
}

// again reads the topics of all scenes once more.
func (w *world) again(ctx context.Context) error {
	var sum trial.Verdict
	for _, t := range w.trials {
		v, err := t.Again(ctx)
		if err != nil {
			return err
		}
		sum.Acked, sum.Lost, sum.Doubled = sum.Acked+v.Acked, sum.Lost+v.Lost, sum.Doubled+v.Doubled
		sum.Failed, sum.Violations = append(sum.Failed, v.Failed...), append(sum.Violations, v.Violations...)
	}
	w.row("all of it, read again at the end", "-", "-", "-", sum, nil)
	return nil
}
