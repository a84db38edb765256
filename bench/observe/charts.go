package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/runnel-io/runnel/bench/observe/dashboards"
	"github.com/runnel-io/runnel/bench/observe/svg"
	"github.com/runnel-io/runnel/bench/proc"
)

// picture is a panel that is drawn for people.
type picture struct {
	file, dashboard, panel string
	log                    bool
}

var pictures = []picture{
	{"records", "Overview", "Records acknowledged", false},
	{"produce", "Overview", "Produce", true},
	{"leaders", "Partitions and Raft", "Leaders", false},
	{"sync", "Storage", "Commit to disk, 99%", true},
	{"disk", "Storage", "Free", false},
	{"replicas", "Moves and balance", "Replicas by state", false},
}

// draw draws panels by their own queries over the whole run.
func (r *run) draw(ctx context.Context, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	to := time.Now()
	brokers := strings.Join(r.targets(), "|") // those of the cluster, without the one beside them
	note := fmt.Sprintf("Drawn from the panel's query on data of a real run of make observe: %s, %d processors (%s), commit %s.",
		r.began.UTC().Format("2006-01-02 15:04 UTC"), runtime.NumCPU(), proc.CPUModel(), proc.Commit(ctx))
	for _, p := range pictures {
		panel, ok := find(p)
		if !ok {
			return fmt.Errorf("dashboard %s has no panel %s", p.dashboard, p.panel)
		}
		c := svg.Chart{Title: p.dashboard + ": " + panel.Title, Note: note, Unit: unit(panel.Unit), Log: p.log, From: r.began, To: to}
		for _, q := range panel.Queries {
			lines, err := r.prom.query(ctx, grafana.Replace(strings.ReplaceAll(q.Expr, "$broker", brokers)), r.began, to)
			if err != nil {
				return err
			}
			for _, l := range lines {
				c.Lines = append(c.Lines, r.line(q, l))
			}
		}
		slices.SortStableFunc(c.Lines, func(a, b svg.Line) int { return strings.Compare(a.Name, b.Name) })
		for _, m := range r.marks {
			c.Marks = append(c.Marks, svg.Mark{At: m.at, Name: m.what})
		}
		if err := save(filepath.Join(dir, p.file+".svg"), c); err != nil {
			return err
		}
	}
	return nil
}

func save(path string, c svg.Chart) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(c.Write(f), f.Close())
}

func find(p picture) (dashboards.Panel, bool) {
	for _, d := range dashboards.All() {
		for _, panel := range d.Panels() {
			if d.Title == p.dashboard && panel.Title == p.panel {
				return panel, true
			}
		}
	}
	return dashboards.Panel{}, false
}

// line names a series by its legend; an address becomes the broker's number.
func (r *run) line(q dashboards.Query, s series) svg.Line {
	name := label.ReplaceAllStringFunc(q.Legend, func(m string) string { return s.labels[m[2:len(m)-2]] })
	for _, b := range r.cluster.Brokers {
		name = strings.ReplaceAll(name, b.HTTP, fmt.Sprintf("broker %d", b.Number))
	}
	out := svg.Line{Name: name}
	for _, p := range s.points {
		out.Points = append(out.Points, svg.Point{At: p.at, Value: p.value})
	}
	return out
}

func unit(u dashboards.Unit) svg.Unit {
	units := map[dashboards.Unit]svg.Unit{
		dashboards.Bytes: svg.Bytes("bytes"), dashboards.BytesPerSecond: svg.Bytes("bytes/s"), dashboards.Seconds: svg.Seconds(), dashboards.Share: svg.Percent(),
		dashboards.RecordsPerSecond: svg.Plain("records/s"), dashboards.RequestsPerS: svg.Plain("requests/s"), dashboards.EventsPerSecond: svg.Plain("events/s"),
	}
	if known, ok := units[u]; ok {
		return known
	}
	return svg.Plain("number")
}
