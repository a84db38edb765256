package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"

	"github.com/runnel-io/runnel/bench/peers/system"
)

// summary is a row of a column: the median run of its best option, and the least and greatest.
type summary struct {
	Option           string
	Mid, Least, Most measurement
	Runs             int
}

// summarise answers the runs of one option in the order of the figure; ok is false if none succeeded.
func summarise(f figure, option string, ms []measurement) (s summary, ok bool) {
	good := slices.DeleteFunc(slices.Clone(ms), func(m measurement) bool { return !m.ok() })
	if len(good) == 0 {
		return summary{}, false
	}
	slices.SortStableFunc(good, func(a, b measurement) int {
		switch {
		case f.of(a) < f.of(b):
			return -1
		case f.of(a) > f.of(b):
			return 1
		}
		return 0
	})
	// Of an even number the one that is better for the system.
	mid := len(good) / 2
	if f.lower {
		mid = (len(good) - 1) / 2
	}
	return summary{Option: option, Mid: good[mid], Least: good[0], Most: good[len(good)-1], Runs: len(good)}, true
}

// bestSummary is that of the option with the best median among those with most good runs.
func bestSummary(f figure, c cell, options []system.Option) (out summary, ok bool) {
	for _, o := range options {
		s, good := summarise(f, o.Name, c[o.Name])
		if !good || ok && s.Runs < out.Runs {
			continue
		}
		if better := f.of(s.Mid) > f.of(out.Mid) != f.lower; !ok || s.Runs > out.Runs || better {
			out, ok = s, true
		}
	}
	return out, ok
}

// ratio tells how many times as good a is as b: as fast, or as short.
func ratio(f figure, a, b measurement) float64 {
	x, y := f.of(a), f.of(b)
	if f.lower {
		x, y = y, x
	}
	if y == 0 {
		return 0
	}
	return x / y
}

// render makes the table: for each system the median and, below, least and greatest; for each peer Runnel's ratio to it.
func render(picked []row, columns []*column) string {
	t := table.NewWriter()
	head := table.Row{"Row"}
	for _, c := range columns {
		head = append(head, c.kind.Name()+" "+c.version)
	}
	t.AppendHeader(head)
	t.Style().Options.SeparateRows = true
	for _, r := range picked {
		line := table.Row{r.title}
		var base *summary
		for _, c := range columns {
			if c.kind.Name() != baseline {
				continue
			}
			if s, ok := bestSummary(r.figure, c.cells[r.id], c.options); ok {
				base = &s
			}
		}
		for _, c := range columns {
			line = append(line, renderCell(r, c, base))
		}
		t.AppendRow(line)
	}
	return t.Render() + "\nMedian, [least – greatest], and how many times as good Runnel is (rates: Runnel / peer; times: peer / Runnel)." +
		"\nCommits are the durable transactions of all replicas' logs together; a record is in three of them."
}

func renderCell(r row, c *column, base *summary) string {
	if c.skipped != "" {
		return "skipped"
	}
	if r.anySync && !c.kind.Strict() {
		return "as the column before"
	}
	s, ok := bestSummary(r.figure, c.cells[r.id], c.options)
	if !ok {
		return why(c.cells[r.id])
	}
	lines := []string{r.figure.text(s.Mid)}
	if s.Runs > 1 {
		lines = append(lines, fmt.Sprintf("[%s – %s]", r.figure.text(s.Least), r.figure.text(s.Most)))
	}
	if c := commits(s.Mid); c != "" {
		lines = append(lines, c)
	}
	if c.kind.Name() == baseline {
		return strings.Join(lines, "\n")
	}
	if base != nil {
		lines = append(lines, fmt.Sprintf("× %.1f (%s)", ratio(r.figure, base.Mid, s.Mid), s.Option))
	} else {
		lines = append(lines, "("+s.Option+")")
	}
	return strings.Join(lines, "\n")
}

// commits tells what the servers' disks did for a measurement; empty if they do not say.
func commits(m measurement) string {
	if m.RecordsPerCommit == 0 {
		return ""
	}
	per := fmt.Sprintf("%.1f", m.RecordsPerCommit)
	if m.RecordsPerCommit >= 100 {
		per = thousands(m.RecordsPerCommit)
	}
	return fmt.Sprintf("%s commits/s, %s records each", thousands(m.CommitsPerSecond), per)
}

// why a cell has no figure.
func why(c cell) string {
	for _, ms := range c {
		for _, m := range ms {
			switch {
			case m.Failed != "":
				return "failed"
			case m.Skipped != "":
				return m.Skipped
			}
		}
	}
	return "not measured"
}

// renderOptions lists what each client option gave in the rows that had a choice.
func renderOptions(picked []row, columns []*column) string {
	t := table.NewWriter()
	t.AppendHeader(table.Row{"Row", "System", "Client option", "Probe", "Median", "Runs"})
	for _, r := range picked {
		for _, c := range columns {
			for _, o := range c.options {
				tried := c.probes[r.id][o.Name]
				if len(tried) == 0 {
					continue
				}
				figures := [2]string{"failed", "not measured"}
				if s, ok := summarise(r.figure, o.Name, tried); ok {
					figures[0] = r.figure.text(s.Mid)
				}
				s, ok := summarise(r.figure, o.Name, c.cells[r.id][o.Name])
				if ok {
					figures[1] = r.figure.text(s.Mid)
				}
				t.AppendRow(table.Row{r.id, c.kind.Name(), o.Name, figures[0], figures[1], s.Runs})
			}
		}
	}
	if t.Length() == 0 {
		return ""
	}
	return t.Render()
}

// describe tells a system's version and all settings.
func describe(c *column) string {
	if c.skipped != "" {
		return fmt.Sprintf("%s is skipped: %.300s", c.kind.Name(), c.skipped)
	}
	lines := []string{fmt.Sprintf("%s %s: %s", c.kind.Name(), c.version, system.Describe(c.kind.Settings()))}
	for _, o := range c.options {
		lines = append(lines, fmt.Sprintf("  client option %s: %s", o.Name, o.Settings))
	}
	return strings.Join(lines, "\n")
}

// failures joins the runs that failed, for the exit status.
func failures(picked []row, columns []*column) error {
	var failed []string
	for _, c := range columns {
		for _, b := range c.broken {
			failed = append(failed, c.kind.Name()+", "+b)
		}
		for _, r := range picked {
			for _, o := range c.options {
				for i, m := range c.cells[r.id][o.Name] {
					if m.Failed != "" {
						failed = append(failed, fmt.Sprintf("%s, %s, %s, run %d: %s", c.kind.Name(), r.id, o.Name, i+1, m.Failed))
					}
				}
			}
		}
	}
	if len(failed) == 0 {
		return nil
	}
	return fmt.Errorf("%d runs failed:\n%s", len(failed), strings.Join(failed, "\n"))
}
