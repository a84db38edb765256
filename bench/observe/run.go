package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/runnel-io/runnel/bench/proc"
	"github.com/runnel-io/runnel/rpc/client"
)

const (
	brokers   = 3
	diskBytes = 1 << 30
	reserve   = 128 << 20
)

// run is a run.
type run struct {
	o       options
	dir     string
	cluster *proc.Cluster
	disks   []*disk
	cl      *client.Client
	load    *load
	prom    *server
	rules   []rule
	began   time.Time
	marks   []mark
	rows    []row
}

// mark is when something was done.
type mark struct {
	at   time.Time
	what string
}

// row is a line of the verdict.
type row struct {
	kind, name, text string
	red              bool
}

func (r *run) say(kind, name string, red bool, format string, args ...any) {
	one := row{kind, name, fmt.Sprintf(format, args...), red}
	r.rows = append(r.rows, one)
	fmt.Println(one)
}

func (r row) String() string {
	verdict := "ok "
	if r.red {
		verdict = "red"
	}
	return fmt.Sprintf("%s  %-5s  %-30s  %s", verdict, r.kind, r.name, r.text)
}

func observe(ctx context.Context, o options, dir string) (err error) {
	r := &run{o: o, dir: dir}
	if r.rules, err = readRules(o.config); err != nil {
		return err
	}
	if r.o.brokerd == "" {
		if r.o.brokerd, err = proc.Build(ctx, dir, "brokerd"); err != nil {
			return err
		}
	}
	defer func() { err = errors.Join(err, r.unmount()) }()
	for n := range brokers {
		d, err := newDisk(filepath.Join(dir, fmt.Sprintf("disk-%d", n+1)), filepath.Join(dir, fmt.Sprintf("broker-%d", n+1)), diskBytes)
		if err != nil {
			return err
		}
		r.disks = append(r.disks, d)
	}
	r.cluster, err = proc.Start(ctx, proc.Options{Dir: dir, Brokers: brokers, Brokerd: r.o.brokerd, Args: []string{
		"--disk-reserve-bytes", fmt.Sprint(reserve), "--memory-tail-bytes", "1MiB", "--memory-produce-bytes", "1MiB",
		"--recovery-rate-bytes", "4MiB", "--metrics-partitions",
	}})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.cluster.KillAll()) }()
	if r.prom, err = startPrometheus(ctx, filepath.Join(dir, "prometheus"), o.config, r.targets()); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.prom.stop()) }()
	if r.cl, err = client.New(r.cluster.Seeds()); err != nil {
		return err
	}
	defer r.cl.Close()
	if err := r.until(ctx, "prometheus reaches all brokers", func() (bool, error) {
		up, err := r.prom.scraped(ctx)
		return up == brokers, err
	}); err != nil {
		return err
	}
	r.began = time.Now()
	if err := createTopics(ctx, r.cl); err != nil {
		return err
	}
	if r.load, err = startLoad(ctx, r.cluster.Seeds()); err != nil {
		return err
	}
	if err := r.all(ctx); err != nil {
		r.load.stop()
		return err
	}
	r.load.stop()
	if err := r.panels(ctx); err != nil {
		return err
	}
	if o.charts != "" {
		if err := r.draw(ctx, o.charts); err != nil {
			return err
		}
	}
	return r.verdict()
}

// targets are the brokers' addresses for Prometheus.
func (r *run) targets() (out []string) {
	for _, b := range r.cluster.Brokers {
		out = append(out, b.HTTP)
	}
	return out
}

func (r *run) unmount() error {
	var errs []error
	for _, d := range r.disks {
		errs = append(errs, syscall.Unmount(d.mount, syscall.MNT_DETACH))
	}
	return errors.Join(errs...)
}

// within bounds each wait for something to come about.
const within = 45 * time.Second

// until waits until ok says so. What it waits for in vain is an error.
func (r *run) until(ctx context.Context, what string, ok func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		yes, err := ok()
		if yes && err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("waited in vain until %s: %w", what, errors.Join(ctx.Err(), err))
		}
	}
}

// all does the steps, one after the other.
func (r *run) all(ctx context.Context) error {
	caused := map[string]bool{}
	for _, s := range steps() {
		if err := r.step(ctx, s); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		for _, a := range s.alerts {
			caused[a] = true
		}
	}
	for _, rule := range r.rules {
		if !caused[rule.Alert] {
			r.say("alert", rule.Alert, true, "no step makes it fire")
		}
	}
	return nil
}

// step does one thing, sees that its alerts fire and did not before, and undoes it.
func (r *run) step(ctx context.Context, s step) (err error) {
	before, err := r.quiet(ctx, s.alerts)
	if err != nil {
		return err
	}
	began := time.Now()
	r.marks = append(r.marks, mark{began, s.name})
	undo, err := s.do(ctx, r)
	if undo != nil {
		defer func() { err = errors.Join(err, undo(ctx)) }()
	}
	if err != nil {
		return err
	}
	left := map[string]bool{}
	for _, a := range s.alerts {
		left[a] = true
		if before[a] {
			r.say("alert", a, true, "fired before: %s", s.name)
			delete(left, a)
		}
	}
	wait := r.until(ctx, "all its alerts fire", func() (bool, error) {
		now, err := r.prom.firing(ctx)
		for a := range left {
			if now[a] {
				r.say("alert", a, false, "fired after %4.1f s: %s", time.Since(began).Seconds(), s.name)
				delete(left, a)
			}
		}
		return len(left) == 0, err
	})
	for a := range left {
		r.say("alert", a, true, "did not fire: %s", s.name)
	}
	if len(left) == 0 || ctx.Err() != nil {
		return wait
	}
	return nil // red, and the rest is of interest too
}

// quiet waits until none of some alerts fires, as one may by the way of an earlier step, and answers those that go on.
func (r *run) quiet(ctx context.Context, alerts []string) (still map[string]bool, err error) {
	wait := r.until(ctx, "no alert of the step fires", func() (bool, error) {
		if still, err = r.prom.firing(ctx); err != nil {
			return false, err
		}
		for _, a := range alerts {
			if still[a] {
				return false, fmt.Errorf("%s fires", a)
			}
		}
		return true, nil
	})
	if ctx.Err() != nil {
		return nil, wait
	}
	return still, err
}

func (r *run) verdict() error {
	count := map[string]int{}
	var red []string
	for _, one := range r.rows {
		count[one.kind]++
		if one.red {
			red = append(red, one.String())
		}
	}
	fmt.Printf("%d alerts, %d queries of panels, %.0f s\n", count["alert"], count["panel"], time.Since(r.began).Seconds())
	if len(red) > 0 {
		return errors.New("not all is seen:\n  " + strings.Join(red, "\n  "))
	}
	return nil
}
