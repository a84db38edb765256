package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/runnel-io/runnel/bench/peers/kafkapeer"
	"github.com/runnel-io/runnel/bench/peers/natspeer"
	"github.com/runnel-io/runnel/bench/peers/runnelpeer"
	"github.com/runnel-io/runnel/bench/peers/system"
	"github.com/runnel-io/runnel/cmd/brokerctl/load"
)

// baseline is the system that the others are compared with. It comes first in each run.
const baseline = "runnel"

// column is a system under measure and what has come of it.
type column struct {
	kind    system.Kind
	version string
	options []system.Option
	skipped string          // why it is not measured
	broken  []string        // runs that failed as a whole, with the reason
	probes  map[string]cell // by row: each client option tried once, shortly, in the first run
	cells   map[string]cell // by row: the measurements
}

// cell holds measurements by client option, one for each run that the option took part in.
type cell map[string][]measurement

func note(to map[string]cell, row string, m measurement) {
	if to[row] == nil {
		to[row] = cell{}
	}
	to[row][m.Option] = append(to[row][m.Option], m)
}

func kinds(root string) []system.Kind {
	return []system.Kind{runnelpeer.New(root), natspeer.New(true), natspeer.New(false), kafkapeer.New(true), kafkapeer.New(false)}
}

// run is the whole comparison.
func run(ctx context.Context, o options, dir string) error {
	picked, err := pick(o.rows, o.quick)
	if err != nil {
		return err
	}
	columns, err := fetch(ctx, o)
	if err != nil {
		return err
	}
	for _, c := range columns {
		fmt.Println(describe(c))
	}
	began := time.Now()
	done, last := 0, time.Duration(0) // how long the run before took
	for done < o.runs {
		runBegan := time.Now()
		if done > 0 && time.Since(began)+last > o.limit {
			fmt.Printf("stopped after %d of %d runs: another would not end within %v\n", done, o.runs, o.limit)
			break
		}
		half := 0.0 // of the baseline's greatest rate in this run
		for _, c := range columns {
			if c.skipped != "" {
				continue
			}
			err := runColumn(ctx, o, filepath.Join(dir, fmt.Sprintf("%s-%d", c.kind.Name(), done+1)), c, picked, done, half)
			if ctx.Err() != nil {
				return errors.Join(ctx.Err(), err)
			}
			if err != nil { // the others' figures are good all the same
				c.broken = append(c.broken, fmt.Sprintf("run %d: %v", done+1, err))
				fmt.Fprintf(os.Stderr, "run %d  %s FAILED: %v\n", done+1, c.kind.Name(), err)
			}
			if c.kind.Name() == baseline {
				half = best(c, "200b-1", done) / 2
			}
		}
		done++
		last = time.Since(runBegan)
	}
	fmt.Println(render(picked, columns))
	fmt.Println(renderOptions(picked, columns))
	if err := save(ctx, o, picked, columns, done); err != nil {
		return err
	}
	return failures(picked, columns)
}

// fetch gets the systems that were asked for; one that cannot be had is skipped with one line.
func fetch(ctx context.Context, o options) ([]*column, error) {
	var columns []*column
	var names []string
	for _, k := range kinds(o.root) {
		names = append(names, k.Name())
		if o.systems != "" && !slices.Contains(strings.Split(o.systems, ","), k.Name()) {
			continue
		}
		c := &column{kind: k, probes: map[string]cell{}, cells: map[string]cell{}}
		for _, opt := range k.Options() {
			if o.clientOptions == "" || opt.Use != system.Many || len(throughput(k)) == 1 || slices.Contains(strings.Split(o.clientOptions, ","), opt.Name) {
				c.options = append(c.options, opt)
			}
		}
		var err error
		if c.version, err = k.Fetch(ctx, o.cache); err != nil {
			if k.Name() == baseline {
				return nil, err
			}
			c.skipped = strings.ReplaceAll(err.Error(), "\n", " ")
		}
		columns = append(columns, c)
	}
	if len(columns) == 0 {
		return nil, fmt.Errorf("no system %q; the systems are %s", o.systems, strings.Join(names, ", "))
	}
	return columns, nil
}

// throughput answers the options that throughput rows try.
func throughput(k system.Kind) []system.Option {
	return slices.DeleteFunc(k.Options(), func(o system.Option) bool { return o.Use != system.Many })
}

// startLimit bounds the start of three servers. Three JVMs on a busy machine take their time.
const startLimit = 3 * time.Minute

// runColumn is one run of one system: started, measured row by row, stopped, its data removed.
func runColumn(ctx context.Context, o options, dir string, c *column, picked []row, n int, half float64) (err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	startCtx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	servers, err := c.kind.Start(startCtx, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, servers.Stop(), os.RemoveAll(dir)) }()
	if err := prime(ctx, o, c, servers); err != nil {
		return err
	}
	for _, r := range picked {
		if r.id == openLoop && c.kind.Name() == baseline {
			half = best(c, "200b-1", n) / 2
		}
		if r.anySync && !c.kind.Strict() {
			continue
		}
		if n == 0 && o.probe > 0 {
			probe(ctx, o, c, r, servers)
		}
		for _, opt := range chosen(c, r, n) {
			if err := ctx.Err(); err != nil {
				return err
			}
			m := measureRow(ctx, o, c, r, servers, opt, n, half)
			note(c.cells, r.id, m)
			progress(n, c, r, m)
		}
	}
	return nil
}

func progress(n int, c *column, r row, m measurement) {
	fmt.Fprintf(os.Stderr, "run %d  %-14s %-16s %-14s %s\n", n+1, c.kind.Name(), r.id, m.Option, oneLine(r, m))
}

func oneLine(r row, m measurement) string {
	switch {
	case m.Failed != "":
		return "FAILED: " + strings.ReplaceAll(m.Failed, "\n", " ")
	case m.Skipped != "":
		return m.Skipped
	case m.Acked > 0:
		text := fmt.Sprintf("%s, %d acknowledged and read back", r.figure.text(m), m.ReadBack)
		if c := commits(m); c != "" {
			text += ", " + c
		}
		return text
	}
	return r.figure.text(m)
}

// prime loads a system that has just started.
func prime(ctx context.Context, o options, c *column, servers system.Servers) error {
	if o.prime == 0 {
		return nil
	}
	r, err := pick("200b-4", false)
	if err != nil {
		return err
	}
	config := r[0].config
	config.Duration = o.prime
	m := measureSettling(ctx, task{System: c.kind.Name(), Addresses: servers.Addresses(), Option: defaultOption(c, system.Many), Config: config}, servers)
	if m.Failed != "" {
		return fmt.Errorf("the load before the first measurement: %s", m.Failed)
	}
	return nil
}

// probe tries each client option of a row that has a choice.
func probe(ctx context.Context, o options, c *column, r row, servers system.Servers) {
	names := candidates(c, r)
	if len(names) < 2 {
		return
	}
	o.duration, o.warmUp = o.probe, o.probe/4
	for _, name := range names {
		m := measureRow(ctx, o, c, r, servers, name, 0, 0)
		note(c.probes, r.id, m)
		fmt.Fprintf(os.Stderr, "probe  %-14s %-16s %-14s %s\n", c.kind.Name(), r.id, name, oneLine(r, m))
	}
}

// measureRow is one measurement.
func measureRow(ctx context.Context, o options, c *column, r row, servers system.Servers, option string, n int, half float64) measurement {
	config := r.config
	config.Duration, config.WarmUp = o.duration, o.warmUp
	switch {
	case r.id == failover:
		return measureFailover(ctx, c.kind.Name(), servers, option)
	case r.openLoop():
		if r.id == openLoop {
			config.Rate = half
		}
		most := best(c, "200b-1", n)
		if config.Rate == 0 || most == 0 {
			return measurement{Option: option, Skipped: "needs row 200b-1 of Runnel and of this system"}
		}
		if most < config.Rate*1.1 {
			return measurement{Option: option, Skipped: fmt.Sprintf("not reached: %s/s is above its %s/s", thousands(config.Rate), thousands(most))}
		}
	case config.Mode == load.Consume:
		config.Records = fill(config.Records, best(c, producing(r.config.RecordSize), n))
	}
	return measureSettling(ctx, task{System: c.kind.Name(), Addresses: servers.Addresses(), Option: option, Config: config}, servers)
}

// near is the part of the best figure of the probes that an option must reach to be measured.
const near = 0.85

// candidates are the client options that a row chooses from.
func candidates(c *column, r row) []string {
	if r.openLoop() || r.id == failover {
		return nil // what was best in the closed loop; one way
	}
	var use system.Use
	switch r.config.Mode {
	case load.Produce:
		use = system.Many
	case load.Latency, load.EndToEnd:
		use = system.Single
	case load.Consume:
		use = system.Read
	}
	var names []string
	for _, o := range c.options {
		if o.Use == use {
			names = append(names, o.Name)
		}
	}
	return names
}

// chosen answers the client options that a row is measured with: of its candidates those that came near the best of the
// probes. All go on if no probe succeeded, or none was made.
func chosen(c *column, r row, n int) []string {
	if names := candidates(c, r); len(names) > 0 {
		probes := c.probes[r.id]
		top, ok := bestSummary(r.figure, probes, c.options)
		if !ok {
			return names
		}
		return slices.DeleteFunc(names, func(name string) bool {
			s, ok := summarise(r.figure, name, probes[name])
			return !ok || ratio(r.figure, s.Mid, top.Mid) < near
		})
	}
	if r.id == failover {
		return []string{defaultOption(c, system.Single)}
	}
	return []string{cmp.Or(bestOption(c, r.config.RecordSize, n), defaultOption(c, system.Many))}
}

func defaultOption(c *column, use system.Use) string {
	for _, o := range c.options {
		if o.Use == use {
			return o.Name
		}
	}
	return ""
}

func (m measurement) ok() bool { return m.Failed == "" && m.Skipped == "" }

// best is the greatest rate of a row in run n, over all options.
func best(c *column, id string, n int) float64 {
	top := 0.0
	for _, ms := range c.cells[id] {
		if n < len(ms) && ms[n].ok() {
			top = max(top, ms[n].RecordsPerSecond)
		}
	}
	return top
}

// producing answers the one-producer row of this record size, whose rates tell what a system takes.
func producing(recordSize int) string {
	for _, r := range rows() {
		if r.config.Mode == load.Produce && r.config.RecordSize == recordSize && !r.openLoop() {
			return r.id
		}
	}
	return ""
}

// bestOption is the option with the greatest rate in the one-producer row of this record size in run n, "" if none is known.
func bestOption(c *column, recordSize, n int) string {
	name, top := "", 0.0
	for _, o := range c.options { // in order, not that of the map
		ms := c.cells[producing(recordSize)][o.Name]
		if n < len(ms) && ms[n].ok() && ms[n].RecordsPerSecond > top {
			name, top = o.Name, ms[n].RecordsPerSecond
		}
	}
	return name
}
