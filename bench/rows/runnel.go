package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/runnel-io/runnel/bench/proc"
)

// result is what brokerctl bench prints as JSON, as far as rows use it.
type result struct {
	RecordsPerSecond float64 `json:"records_per_second"`
	MBPerSecond      float64 `json:"mb_per_second"`
	P50              float64 `json:"p50_us"`
	P99              float64 `json:"p99_us"`
	P999             float64 `json:"p999_us"`
	Max              float64 `json:"max_us"`
	Errors           int64   `json:"errors"`

	// Of rows that write; see proc.Work.
	CommitsPerSecond float64    `json:"commits_per_second,omitempty"` // of all brokers
	RecordsPerCommit float64    `json:"records_per_commit,omitempty"` // of one replica
	Work             *proc.Work `json:"work,omitempty"`               // with the warm-up
	// RawRead is what reading the same files from the same disk gave, where a row reads from the disk.
	RawRead float64 `json:"raw_read_mb_per_second,omitempty"`
}

// bencher runs rows on a cluster.
type bencher struct {
	brokerctl string
	cluster   *proc.Cluster
}

// run runs a row once, and leaves the cluster as it found it: brokers that still delete a topic are not those of the other rows.
func (b bencher) run(ctx context.Context, r row, duration time.Duration, half float64) (result, error) {
	topics, err := b.cluster.Topics(ctx)
	if err != nil {
		return result{}, err
	}
	res, err := b.once(ctx, r, duration, half)
	if err != nil {
		return res, err
	}
	if err := b.cluster.Settled(ctx, topics); err != nil {
		return res, fmt.Errorf("after row %s: %w", r.id, err)
	}
	return res, nil
}

func (b bencher) once(ctx context.Context, r row, duration time.Duration, half float64) (result, error) {
	if r.special != nil {
		return r.special(ctx, b)
	}
	args := slices.Clone(r.args)
	for i, a := range args {
		if a == "HALF" {
			args[i] = fmt.Sprintf("%.0f", half)
		}
	}
	args = append(args, "--replication-factor", fmt.Sprint(replicas))
	if !slices.Contains(r.args, "--records") {
		args = append(args, "--duration", duration.String(), "--warm-up", "1s")
	}
	before, err := b.cluster.Work(ctx)
	if err != nil {
		return result{}, err
	}
	res, err := b.bench(ctx, args...)
	if err != nil {
		return res, fmt.Errorf("row %s: %w", r.id, err)
	}
	if !r.writes() {
		return res, nil
	}
	after, err := b.cluster.Work(ctx)
	if err != nil {
		return res, err
	}
	res.count(after.Since(before))
	return res, nil
}

// count puts what the brokers did beside a result.
func (r *result) count(w proc.Work) {
	r.Work = &w
	r.RecordsPerCommit = math.Round(100*w.RecordsPerCommit(replicas)) / 100
	r.CommitsPerSecond = math.Round(10*w.CommitsPerSecond(r.RecordsPerSecond)) / 10
}

// bench runs brokerctl bench once.
func (b bencher) bench(ctx context.Context, args ...string) (result, error) {
	out, err := b.ctl(ctx, append([]string{"bench"}, args...)...)
	if err != nil {
		return result{}, err
	}
	var res result
	if err := json.Unmarshal(out, &res); err != nil {
		return result{}, fmt.Errorf("brokerctl bench %s printed %q: %w", strings.Join(args, " "), out, err)
	}
	if res.Errors > 0 {
		return res, fmt.Errorf("%d records were not acknowledged", res.Errors)
	}
	return res, nil
}

// ctl runs brokerctl and answers what it prints.
func (b bencher) ctl(ctx context.Context, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, b.brokerctl, append([]string{"--brokers", strings.Join(b.cluster.Seeds(), ","), "-o", "json"}, args...)...)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("brokerctl %s: %w\n%s", strings.Join(args, " "), err, errOut.String())
	}
	return out.Bytes(), nil
}
