package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"

	"github.com/runnel-io/runnel/bench/proc"
)

// measured is a row's runs.
type measured struct {
	Row   string    `json:"row"`
	Runs  []result  `json:"runs"`
	Limit []float64 `json:"limit_mb_per_second,omitempty"` // raw disk, beside each run
}

// mid answers the run with the median rate.
func (m measured) mid() result { return m.sorted()[len(m.Runs)/2] }

func (m measured) sorted() []result {
	return slices.SortedFunc(slices.Values(m.Runs), func(a, b result) int { return cmp.Compare(a.RecordsPerSecond, b.RecordsPerSecond) })
}

// progress is what a person reads while the other rows run.
func progress(r row, m measured) string {
	line := fmt.Sprintf("%-20s %s", r.id, r.want(m.mid()))
	if c := m.mid().RecordsPerCommit; c > 0 {
		line += fmt.Sprintf("; %s commits/s of all brokers, %s records a commit", commits(m.mid()), perCommit(m.mid()))
	}
	return line
}

// render makes the table: median, least, greatest, goal, and the share of the raw disk. The commits are the median run's.
func render(picked []row, all []measured) string {
	t := table.NewWriter()
	t.AppendHeader(table.Row{"Row", "Median", "Least", "Greatest", "Of the raw disk", "Commits/s of all brokers", "Records a commit", "Goal"})
	counted := false
	for i, r := range picked {
		m := all[i]
		s := m.sorted()
		share := ""
		if len(m.Limit) > 0 {
			var sum float64
			for _, l := range m.Limit {
				sum += l
			}
			raw := sum / float64(len(m.Limit))
			share = fmt.Sprintf("%.0f%% of %.0f MB/s", 100*m.mid().MBPerSecond/raw, raw)
		}
		if raw := m.mid().RawRead; raw > 0 {
			share = fmt.Sprintf("%.0f%% of %.0f MB/s", 100*m.mid().MBPerSecond/raw, raw)
		}
		counted = counted || m.mid().RecordsPerCommit > 0
		t.AppendRow(table.Row{r.title, r.want(m.mid()), r.want(s[0]), r.want(s[len(s)-1]), share, commits(m.mid()), perCommit(m.mid()), r.goal})
	}
	text := t.Render()
	if counted {
		text += "\nA commit is one durable transaction of one replica's log, two fdatasyncs; each record is in one on each of its three replicas, so" +
			"\nthe records a commit are three times those acknowledged by all commits. Warm-up and the making of the topic are counted too."
	}
	return text
}

// commits and perCommit are empty for a row that writes nothing.
func commits(r result) string {
	if r.RecordsPerCommit == 0 {
		return ""
	}
	return thousands(r.CommitsPerSecond)
}

func perCommit(r result) string {
	switch {
	case r.RecordsPerCommit == 0:
		return ""
	case r.RecordsPerCommit < 10:
		return fmt.Sprintf("%.2f", r.RecordsPerCommit)
	}
	return thousands(r.RecordsPerCommit)
}

// save appends one line of JSON: a run of this program.
func save(ctx context.Context, o options, all []measured) error {
	if err := os.MkdirAll(o.results, 0o755); err != nil {
		return err
	}
	line, err := json.Marshal(struct {
		Time     time.Time  `json:"time"`
		Commit   string     `json:"commit"`
		CPU      string     `json:"cpu"`
		Cores    int        `json:"cores"`
		Go       string     `json:"go"`
		Duration string     `json:"duration"`
		Rows     []measured `json:"rows"`
	}{time.Now().UTC(), proc.Commit(ctx), proc.CPUModel(), runtime.NumCPU(), runtime.Version(), o.duration.String(), all})
	if err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(o.results, "rows.jsonl"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(append(line, '\n'))
	return errors.Join(err, f.Close())
}
