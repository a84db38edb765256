package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"

	"github.com/runnel-io/runnel/bench/proc"
)

type options struct {
	rows     string
	runs     int
	duration time.Duration
	limit    bool
	profile  bool
	temp     string
	results  string
}

func main() {
	var o options
	flag.StringVar(&o.rows, "row", "", "rows to run, comma-separated (default: all)")
	flag.IntVar(&o.runs, "runs", 3, "runs of each row")
	flag.DurationVar(&o.duration, "duration", 5*time.Second, "measured time of a run")
	flag.BoolVar(&o.limit, "limit", false, "measure the raw disk beside each throughput row")
	flag.BoolVar(&o.profile, "profile", false, "take the brokers' profiles while each row runs, once")
	flag.StringVar(&o.temp, "temp", "", "folder for the brokers' data (default: the system's)")
	flag.StringVar(&o.results, "results", "bench/results", "folder that results and profiles go to")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := proc.InTemp(o.temp, "rows", func(dir string) error { return run(ctx, o, dir) }); err != nil {
		fmt.Fprintln(os.Stderr, "rows:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options, dir string) (err error) {
	var names []string
	if o.rows != "" {
		names = strings.Split(o.rows, ",")
	}
	picked, err := pick(names)
	if err != nil {
		return err
	}
	brokerctl, err := proc.Build(ctx, dir, "brokerctl")
	if err != nil {
		return err
	}
	cluster, err := proc.Start(ctx, proc.Options{Dir: dir, Brokers: 3, Args: []string{"--pprof"}})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cluster.KillAll()) }()
	var all []measured
	half := 250_000.0 // until the first row has told its maximum
	for _, r := range picked {
		m := measured{Row: r.id}
		for n := range o.runs {
			if o.limit && r.bound {
				raw, err := rawDisk(dir, 2*time.Second)
				if err != nil {
					return err
				}
				m.Limit = append(m.Limit, raw)
			}
			profiled := make(chan error, 1)
			if o.profile && n == 0 {
				go func() { profiled <- profile(ctx, cluster, o.results, r.id, o.duration) }()
			} else {
				profiled <- nil
			}
			res, err := bench(ctx, brokerctl, cluster, r, o.duration, half)
			if err = errors.Join(err, <-profiled); err != nil {
				return err
			}
			m.Runs = append(m.Runs, res)
		}
		fmt.Fprintf(os.Stderr, "%-20s %s\n", r.id, r.want(m.mid()))
		if r.id == "200b-1" {
			half = m.mid().RecordsPerSecond / 2
		}
		all = append(all, m)
	}
	fmt.Println(render(picked, all))
	return save(ctx, o, all)
}

// render makes the table: median, least, greatest, goal, and the share of the raw disk.
func render(picked []row, all []measured) string {
	t := table.NewWriter()
	t.AppendHeader(table.Row{"Row", "Median", "Least", "Greatest", "Of the raw disk", "Goal"})
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
		t.AppendRow(table.Row{r.title, r.want(m.mid()), r.want(s[0]), r.want(s[len(s)-1]), share, r.goal})
	}
	return t.Render()
}

// save appends one line of JSON: a run of this program.
func save(ctx context.Context, o options, all []measured) error {
	if err := os.MkdirAll(o.results, 0o755); err != nil {
		return err
	}
	commit, err := exec.CommandContext(ctx, "git", "rev-parse", "--short=12", "HEAD").Output()
	if err != nil {
		commit = []byte("unknown")
	}
	line, err := json.Marshal(struct {
		Time     time.Time  `json:"time"`
		Commit   string     `json:"commit"`
		CPU      string     `json:"cpu"`
		Cores    int        `json:"cores"`
		Go       string     `json:"go"`
		Duration string     `json:"duration"`
		Rows     []measured `json:"rows"`
	}{time.Now().UTC(), strings.TrimSpace(string(commit)), cpuModel(), runtime.NumCPU(), runtime.Version(), o.duration.String(), all})
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

func cpuModel() string {
	raw, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "unknown"
	}
	for line := range strings.Lines(string(raw)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}
