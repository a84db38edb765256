package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// record is one run of this program, a line of peers.jsonl.
type record struct {
	Time     time.Time      `json:"time"`
	Commit   string         `json:"commit"`
	CPU      string         `json:"cpu"`
	Cores    int            `json:"cores"`
	MemoryKB string         `json:"memory_kb"`
	Kernel   string         `json:"kernel"`
	Go       string         `json:"go"`
	Java     string         `json:"java,omitempty"`
	Duration string         `json:"duration"`
	WarmUp   string         `json:"warm_up"`
	Prime    string         `json:"prime"`
	Probe    string         `json:"probe"`
	Runs     int            `json:"runs"`
	Systems  []recordSystem `json:"systems"`
}

type recordSystem struct {
	Name     string            `json:"name"`
	Version  string            `json:"version,omitempty"`
	Skipped  string            `json:"skipped,omitempty"`
	Broken   []string          `json:"broken,omitempty"`
	Settings map[string]string `json:"settings"`
	Options  map[string]string `json:"client_options"`
	Rows     []recordRow       `json:"rows"`
}

type recordRow struct {
	Row string `json:"row"`
	// Option is the client option that counts, and Ratio how many times as good Runnel is; both absent where none is.
	Option string   `json:"option,omitempty"`
	Ratio  *float64 `json:"runnel_ratio,omitempty"`
	Probes cell     `json:"probes,omitempty"`
	Runs   cell     `json:"runs"`
}

// makeRecord gathers everything that was measured.
func makeRecord(o options, picked []row, columns []*column, runs int) record {
	rec := record{Duration: o.duration.String(), WarmUp: o.warmUp.String(), Prime: o.prime.String(), Probe: o.probe.String(), Runs: runs, Cores: runtime.NumCPU(), Go: runtime.Version()}
	base := map[string]summary{}
	for _, c := range columns {
		s := recordSystem{Name: c.kind.Name(), Version: c.version, Skipped: c.skipped, Broken: c.broken, Settings: c.kind.Settings(), Options: map[string]string{}}
		for _, opt := range c.options {
			s.Options[opt.Name] = opt.Settings
		}
		for _, r := range picked {
			row := recordRow{Row: r.id, Probes: c.probes[r.id], Runs: c.cells[r.id]}
			if sum, ok := bestSummary(r.figure, c.cells[r.id], c.options); ok {
				row.Option = sum.Option
				if c.kind.Name() == baseline {
					base[r.id] = sum
				} else if b, ok := base[r.id]; ok {
					x := ratio(r.figure, b.Mid, sum.Mid)
					row.Ratio = &x
				}
			}
			s.Rows = append(s.Rows, row)
		}
		rec.Systems = append(rec.Systems, s)
	}
	return rec
}

// save appends a line.
func save(ctx context.Context, o options, picked []row, columns []*column, runs int) error {
	if o.results == "-" {
		return nil
	}
	if err := os.MkdirAll(o.results, 0o755); err != nil {
		return err
	}
	rec := makeRecord(o, picked, columns, runs)
	rec.Time = time.Now().UTC()
	rec.Commit = output(ctx, "git", "-C", o.root, "rev-parse", "--short=12", "HEAD")
	if output(ctx, "git", "-C", o.root, "status", "--porcelain", "--", "cmd", "partition", "placement", "gossip", "rpc", "proto") != "" {
		rec.Commit += "+changes"
	}
	rec.CPU, rec.MemoryKB = field("/proc/cpuinfo", "model name"), field("/proc/meminfo", "MemTotal")
	rec.Kernel = output(ctx, "uname", "-sr")
	if java, err := exec.CommandContext(ctx, "java", "-version").CombinedOutput(); err == nil {
		rec.Java, _, _ = strings.Cut(string(java), "\n")
	}
	line, err := json.Marshal(rec)
	if err != nil {
		return err
	}
	path := filepath.Join(o.results, "peers.jsonl")
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(append(line, '\n'))
	if err = errors.Join(err, f.Close()); err == nil {
		fmt.Printf("results appended to %s\n", path)
	}
	return err
}

// output of a command, "" if it cannot be had.
func output(ctx context.Context, program string, args ...string) string {
	out, err := exec.CommandContext(ctx, program, args...).Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}

// field finds the first value of a name in a file of "name: value" lines.
func field(path, name string) string {
	raw, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(raw)) {
		if n, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(n) == name {
			return strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB"))
		}
	}
	return ""
}
