package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
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
}

// measured is a row's runs.
type measured struct {
	Row   string    `json:"row"`
	Runs  []result  `json:"runs"`
	Limit []float64 `json:"limit_mb_per_second,omitempty"` // raw disk, beside each run
}

// mid answers the run with the median rate.
func (m measured) mid() result { return m.sorted()[len(m.Runs)/2] }

func (m measured) sorted() []result {
	return slices.SortedFunc(slices.Values(m.Runs), func(a, b result) int {
		switch {
		case a.RecordsPerSecond < b.RecordsPerSecond:
			return -1
		case a.RecordsPerSecond > b.RecordsPerSecond:
			return 1
		}
		return 0
	})
}

// bench runs brokerctl bench once.
func bench(ctx context.Context, brokerctl string, c *proc.Cluster, r row, duration time.Duration, half float64) (result, error) {
	args := append([]string{"--brokers", strings.Join(c.Seeds(), ","), "-o", "json", "bench"}, r.args...)
	for i, a := range args {
		if a == "HALF" {
			args[i] = fmt.Sprintf("%.0f", half)
		}
	}
	args = append(args, "--replication-factor", "3")
	if !slices.Contains(r.args, "--records") {
		args = append(args, "--duration", duration.String(), "--warm-up", "1s")
	}
	cmd := exec.CommandContext(ctx, brokerctl, args...)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Run(); err != nil {
		return result{}, fmt.Errorf("brokerctl %s: %w\n%s", strings.Join(args, " "), err, errOut.String())
	}
	var res result
	if err := json.Unmarshal(out.Bytes(), &res); err != nil {
		return result{}, fmt.Errorf("brokerctl %s printed %q: %w", strings.Join(args, " "), out.String(), err)
	}
	if res.Errors > 0 {
		return res, fmt.Errorf("row %s: %d records were not acknowledged", r.id, res.Errors)
	}
	return res, nil
}
