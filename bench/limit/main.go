// Command limit measures the raw cost of what Runnel does to a disk, with nothing else to do: three files appended to with one
// fdatasync a batch, for batches of several sizes; a transaction of bbolt, which is what a record that travels alone costs; and what is
// left of the rate after some seconds.
package main

import (
	"context"
	"flag"
	"fmt"
	"slices"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"

	"github.com/runnel-io/runnel/bench/disk"
	"github.com/runnel-io/runnel/bench/proc"
)

const (
	files      = 3   // a log with three replicas on one disk
	recordSize = 200 // of what bbolt commits
)

func main() {
	var d time.Duration
	flag.DurationVar(&d, "duration", 3*time.Second, "measured time of a line")
	proc.Main("limit", 0, func(ctx context.Context, dir string) error { return limit(ctx, dir, d) })
}

func limit(ctx context.Context, dir string, d time.Duration) error {
	t := table.NewWriter()
	t.AppendHeader(table.Row{"Three files, one fdatasync a batch of", "MB/s of one file", "Syncs/s of all", "A sync: p50", "p99", "max"})
	for _, kib := range []int{4, 64, 256, 1024} {
		if err := ctx.Err(); err != nil {
			return err
		}
		a, err := disk.Append(dir, files, kib<<10, d)
		if err != nil {
			return err
		}
		t.AppendRow(table.Row{fmt.Sprintf("%d KiB", kib), fmt.Sprintf("%.1f", a.MBPerSecond), fmt.Sprintf("%.0f", a.Syncs), ms(a.Took.P50), ms(a.Took.P99), ms(a.Took.Max)})
	}
	fmt.Println(t.Render())
	t = table.NewWriter()
	t.AppendHeader(table.Row{fmt.Sprintf("One bbolt commit of %d B (two fdatasyncs)", recordSize), "Commits/s of all", "A commit: p50", "p99", "max"})
	for _, n := range []int{1, files} {
		if err := ctx.Err(); err != nil {
			return err
		}
		c, err := disk.Commit(dir, n, recordSize, d)
		if err != nil {
			return err
		}
		name := "1 committer"
		if n > 1 {
			name = fmt.Sprintf("%d committers, a file each", n)
		}
		t.AppendRow(table.Row{name, fmt.Sprintf("%.0f", c.PerSecond), ms(c.Took.P50), ms(c.Took.P99), ms(c.Took.Max)})
	}
	fmt.Println(t.Render())
	return sustained(ctx, dir)
}

// sustained prints how the rate falls when a disk is written to for long: many let a burst through, and then less.
func sustained(ctx context.Context, dir string) error {
	var rates []float64
	for range 15 {
		if err := ctx.Err(); err != nil {
			return err
		}
		a, err := disk.Append(dir, files, 1<<20, time.Second)
		if err != nil {
			return err
		}
		rates = append(rates, a.MBPerSecond)
	}
	long := slices.Sorted(slices.Values(rates[5:]))
	fmt.Printf("%d files, one fdatasync a batch of 1 MiB, MB/s of one file by second: %.0f; for long: %.0f (median of the last ten)\n", files, rates, long[len(long)/2])
	return nil
}

func ms(d time.Duration) string { return fmt.Sprintf("%.2f ms", float64(d)/1e6) }
