package main

import (
	"encoding/json"
	"fmt"
	"html/template"
	"os"
	"time"

	"github.com/runnel-io/runnel/bench/check"
)

// bar is something on the time line, in pixels.
type bar struct {
	X, W, Y int
	Color   string
	Text    string
}

type row struct {
	Y    int
	Name string
}

type page struct {
	Seed          uint64
	Width, Height int
	Rows          []row
	Bars          []bar
	Seconds       []row // ticks: Y is x
	Violations    []check.Violation
	Links         []string
}

const (
	perSecond = 12 // pixels
	rowHeight = 18
	leftSide  = 160
)

var pageTemplate = template.Must(template.New("timeline").Parse(`<!doctype html>
<html><head><meta charset="utf-8"><title>Faults and outages</title>
<style>body{font:13px sans-serif}svg text{font:11px sans-serif}</style></head><body>
<h1>Faults and outages, seed {{.Seed}}</h1>
<ul>{{range .Violations}}<li>{{.}}</li>{{end}}</ul>
<p>{{range .Links}}<a href="{{.}}">{{.}}</a> {{end}}</p>
<svg width="{{.Width}}" height="{{.Height}}" xmlns="http://www.w3.org/2000/svg">
{{$h := .Height}}{{range .Seconds}}<line x1="{{.Y}}" y1="0" x2="{{.Y}}" y2="{{$h}}" stroke="#ddd"/><text x="{{.Y}}" y="10">{{.Name}}</text>
{{end}}{{range .Rows}}<text x="4" y="{{.Y}}">{{.Name}}</text>
{{end}}{{range .Bars}}<rect x="{{.X}}" y="{{.Y}}" width="{{.W}}" height="14" fill="{{.Color}}"><title>{{.Text}}</title></rect>
{{end}}</svg></body></html>
`))

// timeline writes a page of the round's faults, by kind, and of its outages and of where promises were broken, by partition. links are pages
// beside it.
func (r *run) timeline(path string, h check.History, links []string) (err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := page{Seed: r.o.seed, Violations: r.violations, Links: links}
	p.Width = leftSide + int((r.now()-r.since).Seconds()+1)*perSecond
	y := rowHeight
	line := func(name string) {
		y += rowHeight
		p.Rows = append(p.Rows, row{y, name})
	}
	add := func(begin, end time.Duration, color, text string) {
		if end < r.since {
			return // of a round before
		}
		x := leftSide + int(max(0, begin-r.since).Seconds()*perSecond)
		p.Bars = append(p.Bars, bar{X: x, W: max(2, int((end-begin).Seconds()*perSecond)), Y: y - 11, Color: color, Text: text})
	}
	for _, k := range r.o.kinds {
		line(k)
		for _, f := range r.fired {
			if f.Kind == k {
				add(f.Begin, f.End, "#c33", fmt.Sprintf("%.1f to %.1f s: %s", f.Begin.Seconds(), f.End.Seconds(), f.What))
			}
		}
	}
	for i, s := range r.slots {
		line(fmt.Sprintf("%d: %s/%d", i, s.Topic, s.Partition))
		for _, o := range r.outages {
			if o.Slot == i {
				add(o.Begin, o.End, "#36c", fmt.Sprintf("no record acknowledged from %.1f to %.1f s", o.Begin.Seconds(), o.End.Seconds()))
			}
		}
		for _, v := range r.violations {
			if !v.Placed || int(v.Partition) != i {
				continue
			}
			// A record near the offset: the first that was acknowledged there or behind it.
			at, found := check.Append{}, false
			for _, a := range h.Appends {
				if a.Partition == v.Partition && a.Outcome == check.OK && a.Offset >= v.Offset && (!found || a.Offset < at.Offset) {
					at, found = a, true
				}
			}
			if found {
				add(r.since+at.Invoke, r.since+at.Return, "#000", fmt.Sprintf("the record at offset %d was sent at %.1f s: %s", at.Offset, (r.since+at.Invoke).Seconds(), v))
			}
		}
	}
	p.Height = y + rowHeight
	for s := 0; s < (p.Width-leftSide)/perSecond; s += 10 {
		p.Seconds = append(p.Seconds, row{leftSide + s*perSecond, fmt.Sprint(s + int(r.since.Seconds()))})
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := pageTemplate.Execute(f, p); err != nil {
		return err
	}
	return f.Close()
}

// describe writes the history beside the pages, so that a violation can be looked into without a second run.
func (r *run) describe(n int, h check.History) (err error) {
	f, err := os.Create(r.path(fmt.Sprintf("history-%d.json", n)))
	if err != nil {
		return err
	}
	defer f.Close()
	if err := json.NewEncoder(f).Encode(h); err != nil {
		return err
	}
	return f.Close()
}
