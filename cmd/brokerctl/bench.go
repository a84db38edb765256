package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/runnel-io/runnel/cmd/brokerctl/load"
	"github.com/runnel-io/runnel/partition/record"
	"github.com/runnel-io/runnel/rpc/client"
)

func (a *app) benchCmd() *cobra.Command {
	return noun("bench", "Measure the cluster with a load of its own topic",
		a.benchModeCmd(load.Produce, "As many records as go through, or a --rate: throughput, and latency from send to ack"),
		a.benchModeCmd(load.Latency, "One record at a time for each producer, each on a partition of its own"),
		a.benchModeCmd(load.Consume, "Fill a topic (not measured), then read it over and over"),
		a.benchModeCmd(load.EndToEnd, "Produce at a rate and measure from send to consumer"))
}

// benchDefaults are where the modes differ.
type benchDefaults struct {
	partitions int32
	rate       float64
}

func defaultsOf(m load.Mode) benchDefaults {
	if m == load.EndToEnd {
		return benchDefaults{partitions: 12, rate: 1000}
	}
	return benchDefaults{partitions: 12}
}

func (a *app) benchModeCmd(mode load.Mode, short string) *cobra.Command {
	c := load.Config{Mode: mode}
	var compression string
	var config []string
	d := defaultsOf(mode)
	cmd := &cobra.Command{
		Use: string(mode), Short: short, Args: nothing, ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if c.Compression, err = record.ParseCodec(compression); err != nil {
				return fmt.Errorf("-z: %w", err)
			}
			if c.TopicConfig, err = keyValues("--config", config); err != nil {
				return err
			}
			flags := cmd.Flags()
			if c.Records > 0 && !flags.Changed("duration") {
				c.Duration = 0
			}
			if c.Linger < 0 {
				return fmt.Errorf("--linger is %v: use 0 or more", c.Linger)
			}
			c.Timeout = a.timeout
			return a.bench(cmd.Context(), c)
		},
	}
	f := cmd.Flags()
	f.IntVar(&c.RecordSize, "record-size", 200, "bytes of a record's value")
	f.IntVar(&c.Producers, "producers", 1, "producers")
	f.IntVar(&c.Consumers, "consumers", 1, "consumers")
	f.IntVar(&c.Clients, "clients", 0, "clients that the producers share, each with its own connections (default one for each producer; latency and e2e: one)")
	f.Int32Var(&c.Partitions, "partitions", d.partitions, "partitions of the topic")
	f.Int32Var(&c.ReplicationFactor, "replication-factor", 0, "replicas of each partition (default the smaller of 3 and the number of brokers)")
	f.DurationVar(&c.Duration, "duration", 10*time.Second, "measured time; with --records unlimited unless set")
	f.DurationVar(&c.WarmUp, "warm-up", 0, "time under load before the measured time")
	f.Float64Var(&c.Rate, "rate", d.rate, "records a second of all producers together; latency counts from when a record was due (0: as fast as acks allow)")
	f.IntVar(&c.BatchBytes, "batch-bytes", client.DefaultBatchBytes, "largest batch of a client")
	f.IntVar(&c.BufferBytes, "buffer-bytes", 16<<20, "bytes that a client may have unacknowledged")
	f.DurationVar(&c.Linger, "linger", mode.Linger(), "how long a batch waits for more records; 0: not at all")
	f.StringVarP(&compression, "compression", "z", "none", "none, gzip, snappy, lz4 or zstd")
	f.StringVar(&c.Topic, "topic", "", "existing topic to use; it stays, with what was written (default a new one, removed afterwards)")
	f.Int64Var(&c.Records, "records", 0, "stop after so many records; consume: fill the topic with so many")
	f.StringArrayVar(&config, "config", nil, "setting of the new topic, name=value (repeatable; see topic create --help)")
	mustComplete(cmd, "compression", "none", "gzip", "snappy", "lz4", "zstd")
	mustCompleteWith(cmd, "topic", a.completeTopic)
	return cmd
}

func (a *app) bench(ctx context.Context, c load.Config) (err error) {
	seeds, err := a.seeds()
	if err != nil {
		return err
	}
	secure, err := a.tls.config(a.getenv)
	if err != nil {
		return err
	}
	var opts []client.Option
	if secure != nil {
		opts = append(opts, client.WithTLS(secure))
	}
	adm, err := client.New(seeds, append(opts, client.WithFailFast())...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, adm.Close()) }()
	p := progress{w: a.errOut, terminal: a.errTTY}
	res, runErr := load.Run(ctx, load.SDK(seeds, adm, opts...), c, p.line)
	p.end()
	return a.benched(res, runErr)
}

// benched prints what a run measured, and answers how it went.
func (a *app) benched(res load.Result, runErr error) error {
	if runErr != nil && res.Records == 0 { // it did not come to a measurement
		return runErr
	}
	printErr := a.printBench(res)
	if runErr == nil && res.Errors > 0 {
		runErr = fmt.Errorf("the run had %s, the first: %s", plural(res.Errors, "error"), res.FirstError)
	}
	return errors.Join(runErr, printErr)
}

func (a *app) printBench(r load.Result) error {
	if a.output == "json" {
		return printJSON(a.out, r)
	}
	return benchTable(a.out, r)
}

func benchTable(w io.Writer, r load.Result) error {
	rate := "as fast as acks allow"
	if r.Rate > 0 {
		rate = fmt.Sprintf("%g records/s", r.Rate)
		if r.Rate == 1 {
			rate = "1 record/s"
		}
	}
	_, err := fmt.Fprintf(w, "%s: %s, %s, %s, %s, replication factor %d, %s\n", r.Mode, plural(int64(r.RecordSize), "byte"),
		plural(int64(r.Producers), "producer"), plural(int64(r.Consumers), "consumer"),
		plural(int64(r.Partitions), "partition"), r.ReplicationFactor, rate)
	if err != nil {
		return err
	}
	g := newGrid("RECORDS/S", "MB/S", "P50", "P90", "P99", "P99.9", "MAX", "ERRORS", "RECORDS", "SECONDS")
	g.add(count(int64(r.RecordsPerSecond)), right(fmt.Sprintf("%.1f", r.MBPerSecond)),
		latency(r.P50US), latency(r.P90US), latency(r.P99US), latency(r.P999US), latency(r.MaxUS),
		count(r.Errors), count(r.Records), right(fmt.Sprintf("%.2f", r.Seconds)))
	return g.print(w)
}

// latency writes microseconds as milliseconds.
func latency(us *int64) right {
	if us == nil {
		return "-"
	}
	return right(fmt.Sprintf("%.2f ms", float64(*us)/1000))
}

// progress prints how a bench is going: one line that changes on a terminal, a line a second elsewhere.
type progress struct {
	w        io.Writer
	terminal bool
	dirty    bool // the terminal's line is not ended yet
}

// line is called by the run's reporter, by one goroutine that is gone when load.Run returns.
func (p *progress) line(s load.Snapshot) {
	text := fmt.Sprintf("%4.0fs %s", s.Elapsed.Seconds(), s.Phase)
	if s.RecordsPerSecond > 0 || s.Phase == "measuring" {
		text += fmt.Sprintf("  %s/s  %.1f MB/s", plural(int64(s.RecordsPerSecond), "record"), s.MBPerSecond)
	}
	if s.P99 > 0 {
		text += fmt.Sprintf("  p99 %.2f ms", float64(s.P99.Microseconds())/1000)
	}
	if s.Errors > 0 {
		text += "  " + plural(s.Errors, "error")
	}
	if p.terminal {
		p.print("\r\x1b[K" + text)
		p.dirty = true
		return
	}
	p.print(text + "\n")
}

// end ends a line that is still open.
func (p *progress) end() {
	if p.dirty {
		p.print("\r\x1b[K")
	}
}

func (p *progress) print(s string) {
	_, _ = io.WriteString(p.w, s) // who closed stderr does not want to know
}
