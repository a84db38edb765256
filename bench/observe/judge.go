package main

import (
	"context"
	"fmt"
	"math"
	"regexp"
	"strings"
	"time"

	"github.com/runnel-io/runnel/bench/observe/dashboards"
)

// grafana stands for what Grafana puts into a query: All for each variable, and for rates the time that it takes for scrapes each second, but
// not less than what smooths a picture of some minutes.
var grafana = strings.NewReplacer("$broker", ".*", "$topic", ".*", "$__rate_interval", "15s")

// shown tells whether every query of every panel shows something by now, and names one that does not.
func (r *run) shown(ctx context.Context) (bool, error) {
	to := time.Now()
	for _, d := range dashboards.All() {
		for _, p := range d.Panels() {
			for _, q := range p.Queries {
				lines, err := r.prom.query(ctx, grafana.Replace(q.Expr), r.began, to)
				if why := emptiness(q, lines, err); why != "" {
					return false, fmt.Errorf("%s / %s / %s: %s", d.Title, p.Title, q.Legend, why)
				}
			}
		}
	}
	return true, nil
}

// panels runs every query of every panel over the whole run.
func (r *run) panels(ctx context.Context) error {
	to := time.Now()
	for _, d := range dashboards.All() {
		n, bad := 0, 0
		for _, p := range d.Panels() {
			for _, q := range p.Queries {
				lines, err := r.prom.query(ctx, grafana.Replace(q.Expr), r.began, to)
				if ctx.Err() != nil {
					return err
				}
				why := emptiness(q, lines, err)
				r.say("panel", d.Title, why != "", "%s / %s: %s", p.Title, q.Legend, why+seen(lines))
				if n++; why != "" {
					bad++
				}
			}
		}
		fmt.Printf("dashboard %s: %d panels, %d queries, %d red\n", d.Title, len(d.Panels()), n, bad)
	}
	return nil
}

// emptiness tells why a query shows nothing; "" if it does show something.
func emptiness(q dashboards.Query, lines []series, err error) string {
	switch {
	case err != nil:
		return err.Error() + ": "
	case len(lines) == 0:
		return "no data: "
	}
	for _, l := range lines {
		for _, m := range label.FindAllStringSubmatch(q.Legend, -1) {
			if l.labels[m[1]] == "" {
				return fmt.Sprintf("the legend names %s, which the answer does not have: ", m[1])
			}
		}
	}
	if low, high := span(lines); low == 0 && high == 0 && q.Zero == "" {
		return "nothing but zeros: "
	}
	return ""
}

var label = regexp.MustCompile(`\{\{(\w+)\}\}`)

func span(lines []series) (low, high float64) {
	low, high = math.Inf(1), math.Inf(-1)
	for _, l := range lines {
		for _, p := range l.points {
			low, high = min(low, p.value), max(high, p.value)
		}
	}
	return low, high
}

func seen(lines []series) string {
	if len(lines) == 0 {
		return "0 series"
	}
	n := 0
	for _, l := range lines {
		n += len(l.points)
	}
	low, high := span(lines)
	return fmt.Sprintf("%d series, %d points, %.4g to %.4g", len(lines), n, low, high)
}
