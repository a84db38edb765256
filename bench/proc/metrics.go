package proc

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// Work is what brokers have done since they started, as their metrics say: of one broker, of all of a cluster, or of a
// while (Since).
type Work struct {
	// Records are those acknowledged by leaders: each counts once, however many replicas it has.
	Records float64 `json:"records"`
	// Commits are durable transactions of replicas' logs, those of the controller's included. Each is two fdatasyncs.
	Commits float64 `json:"commits"`
	// Entries are the raft entries in them, on each replica: a record batch is one.
	Entries float64 `json:"entries"`
	// MetaCommits are durable transactions of meta.db: terms, votes, replicas made and removed.
	MetaCommits float64 `json:"meta_commits"`
}

// counted says which counter goes where.
var counted = map[string]func(*Work) *float64{
	"runnel_partition_produced_records_total": func(w *Work) *float64 { return &w.Records },
	"runnel_raftlog_commits_total":            func(w *Work) *float64 { return &w.Commits },
	"runnel_raftlog_append_entries_total":     func(w *Work) *float64 { return &w.Entries },
	"runnel_raftlog_meta_commits_total":       func(w *Work) *float64 { return &w.MetaCommits },
}

// Since is what was done since before. A broker that was started again meanwhile counts from nothing, so the answer is only
// good if none was.
func (w Work) Since(before Work) Work {
	return Work{
		Records: w.Records - before.Records, Commits: w.Commits - before.Commits,
		Entries: w.Entries - before.Entries, MetaCommits: w.MetaCommits - before.MetaCommits,
	}
}

// RecordsPerCommit is how many records one transaction of one replica made durable, on average, with this many replicas of
// each record; 0 if there was no commit.
func (w Work) RecordsPerCommit(replicas int) float64 {
	if w.Commits == 0 {
		return 0
	}
	return w.Records * float64(replicas) / w.Commits
}

// CommitsPerSecond is how many transactions all brokers together make while they acknowledge so many records a second. It
// goes by the rate of the measured time, because the counters also cover the time before and after.
func (w Work) CommitsPerSecond(recordsPerSecond float64) float64 {
	if w.Records == 0 {
		return 0
	}
	return recordsPerSecond * w.Commits / w.Records
}

// Work reads the broker's metrics.
func (b *Broker) Work(ctx context.Context) (w Work, err error) {
	err = b.scrape(ctx, func(r io.Reader) error {
		w, err = parseWork(r)
		return err
	})
	return w, err
}

// Metric adds up a metric's samples of the broker. One that has none is an error: a renamed metric must not read as 0.
func (b *Broker) Metric(ctx context.Context, name string) (sum float64, err error) {
	found := false
	err = b.scrape(ctx, func(r io.Reader) error {
		return parse(r, func(n, _ string, v float64) {
			if n == name {
				sum, found = sum+v, true
			}
		})
	})
	if err == nil && !found {
		err = fmt.Errorf("broker %d: /metrics has no %s", b.Number, name)
	}
	return sum, err
}

// scrape has f read the broker's metrics.
func (b *Broker) scrape(ctx context.Context, f func(io.Reader) error) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+b.HTTP+"/metrics", nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("broker %d: %w", b.Number, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("broker %d: /metrics answers %s", b.Number, resp.Status)
	}
	if err := f(resp.Body); err != nil {
		return fmt.Errorf("broker %d: %w", b.Number, err)
	}
	return nil
}

// Work adds up what the running brokers did.
func (c *Cluster) Work(ctx context.Context) (Work, error) {
	var all Work
	for _, b := range c.Brokers {
		if !b.Running() {
			continue
		}
		w, err := b.Work(ctx)
		if err != nil {
			return Work{}, err
		}
		for _, field := range counted {
			*field(&all) += *field(&w)
		}
	}
	return all, nil
}

// parseWork finds the counters. One that is missing is an error: a renamed metric must not read as "no commits".
func parseWork(r io.Reader) (w Work, err error) {
	seen := map[string]bool{}
	err = parse(r, func(name, _ string, v float64) {
		if field, ok := counted[name]; ok {
			*field(&w) += v
			seen[name] = true
		}
	})
	if err != nil {
		return Work{}, err
	}
	for name := range counted {
		if !seen[name] {
			return Work{}, fmt.Errorf("/metrics has no %s", name)
		}
	}
	return w, nil
}

// parse gives each sample of Prometheus's text format, its labels as they are written, with the braces.
func parse(r io.Reader, sample func(name, labels string, value float64)) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name := line
		if i := strings.IndexAny(line, "{ "); i >= 0 {
			name = line[:i]
		}
		rest, labels := line[len(name):], ""
		if i := strings.LastIndexByte(rest, '}'); i >= 0 {
			rest, labels = rest[i+1:], rest[:i+1]
		}
		value, _, _ := strings.Cut(strings.TrimSpace(rest), " ") // a time stamp may follow
		v, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return fmt.Errorf("metric %s: %w", name, err)
		}
		sample(name, labels, v)
	}
	return lines.Err()
}
