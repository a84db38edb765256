package svg

import (
	"fmt"
	"html"
	"io"
	"math"
	"strings"
	"time"
)

// Chart is what is drawn.
type Chart struct {
	Title, Note string // the note says where the data is from
	Unit        Unit
	Log         bool // the values' axis goes by powers of ten; what is not above 0 is left out
	From, To    time.Time
	Lines       []Line
	Marks       []Mark
}

// Line is a series. Where two points are more than Gap apart there is no line.
type Line struct {
	Name   string
	Points []Point
}

// Point is a value at a time.
type Point struct {
	At    time.Time
	Value float64
}

// Mark is a moment.
type Mark struct {
	At   time.Time
	Name string
}

// Gap is how long nothing may be known before the line breaks.
const Gap = 3 * time.Second

// The picture, in pixels.
const (
	width   = 840
	plotX   = 70 // of the plot's left edge
	plotR   = 16 // from its right edge to the picture's
	plotY   = 84
	plotH   = 220
	lineH   = 16 // of a line of text
	perChar = 6.3
)

// lines have so many colours, and then again with other dashes.
var dashes = []string{"", "6 3", "2 3"}

const colours = 6

const style = `
 .bg{fill:#ffffff} text{font:12px system-ui,-apple-system,"Segoe UI",Helvetica,Arial,sans-serif;fill:#3c4043}
 .title{font-size:16px;font-weight:600;fill:#202124} .note{font-size:11px;fill:#5f6368}
 .grid{stroke:#e3e5e8} .axis{stroke:#80868b} .mark{stroke:#9aa0a6;stroke-dasharray:1 3} .line{fill:none;stroke-width:1.6;stroke-linejoin:round}
 .c0{stroke:#0b62b0} .c1{stroke:#c8500a} .c2{stroke:#0a7d5b} .c3{stroke:#a1308f} .c4{stroke:#7a5c00} .c5{stroke:#b3261e}
 @media (prefers-color-scheme: dark){
  .bg{fill:#0d1117} text{fill:#c9d1d9} .title{fill:#f0f3f6} .note{fill:#9198a1} .grid{stroke:#272d36} .axis{stroke:#6e7681} .mark{stroke:#6e7681}
  .c0{stroke:#58a6ff} .c1{stroke:#ff9a57} .c2{stroke:#3fcf9b} .c3{stroke:#e58ad6} .c4{stroke:#e3c04a} .c5{stroke:#ff7b72}
 }
`

// Write writes the picture.
func (c Chart) Write(w io.Writer) error {
	var b strings.Builder
	legend := c.legend()
	names := c.names()
	height := plotY + plotH + 44 + lineH*(legend.rows+len(names)) + 10
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" role="img" aria-label=%q>`+"\n<style>%s</style>\n",
		width, height, width, height, html.EscapeString(c.Title), style)
	fmt.Fprintf(&b, `<rect class="bg" width="%d" height="%d"/>`+"\n", width, height)
	text(&b, 16, 26, "title", "start", c.Title)
	text(&b, 16, 44, "note", "start", c.Note)
	text(&b, plotX, plotY-18, "", "end", c.Unit.Name)
	c.grid(&b)
	c.marks(&b)
	for i, l := range c.Lines {
		c.line(&b, i, l)
	}
	y := plotY + plotH + 44
	for i, at := range legend.at {
		ly := y + at.row*lineH
		fmt.Fprintf(&b, `<line class="line c%d"%s x1="%d" y1="%d" x2="%d" y2="%d"/>`+"\n", i%colours, dash(i), at.x, ly-4, at.x+22, ly-4)
		text(&b, at.x+28, ly, "", "start", c.Lines[i].Name)
	}
	for i, n := range names {
		text(&b, plotX, y+(legend.rows+i)*lineH+4, "note", "start", n)
	}
	b.WriteString("</svg>\n")
	_, err := io.WriteString(w, b.String())
	return err
}

func text(b *strings.Builder, x, y int, class, anchor, s string) {
	if class != "" {
		class = fmt.Sprintf(` class="%s"`, class)
	}
	fmt.Fprintf(b, `<text%s x="%d" y="%d" text-anchor="%s">%s</text>`+"\n", class, x, y, anchor, html.EscapeString(s))
}

func dash(line int) string {
	if d := dashes[line%len(dashes)]; d != "" {
		return fmt.Sprintf(` stroke-dasharray="%s"`, d)
	}
	return ""
}

// grid draws both axes.
func (c Chart) grid(b *strings.Builder) {
	for _, v := range c.ticks() {
		y := c.y(v)
		fmt.Fprintf(b, `<line class="grid" x1="%d" y1="%.1f" x2="%d" y2="%.1f"/>`+"\n", plotX, y, width-plotR, y)
		text(b, plotX-8, int(y)+4, "", "end", c.Unit.Format(v))
	}
	bottom := plotY + plotH
	fmt.Fprintf(b, `<line class="axis" x1="%d" y1="%d" x2="%d" y2="%d"/>`+"\n", plotX, bottom, width-plotR, bottom)
	for d := time.Duration(0); d <= c.To.Sub(c.From); d += 30 * time.Second {
		x := c.x(c.From.Add(d))
		fmt.Fprintf(b, `<line class="axis" x1="%.1f" y1="%d" x2="%.1f" y2="%d"/>`+"\n", x, bottom, x, bottom+4)
		text(b, int(x), bottom+18, "", "middle", fmt.Sprintf("%d:%02d", int(d.Minutes()), int(d.Seconds())%60))
	}
}

func (c Chart) x(t time.Time) float64 {
	return plotX + float64(width-plotR-plotX)*float64(t.Sub(c.From))/float64(c.To.Sub(c.From))
}

func (c Chart) y(v float64) float64 {
	ticks := c.ticks()
	low, high := ticks[0], ticks[len(ticks)-1]
	share := (v - low) / (high - low)
	if c.Log {
		share = math.Log(v/low) / math.Log(high/low)
	}
	return plotY + plotH*(1-share)
}

func (c Chart) line(b *strings.Builder, i int, l Line) {
	var d strings.Builder
	var last time.Time
	for _, p := range l.Points {
		if c.Log && p.Value <= 0 {
			continue
		}
		pen := "L"
		if last.IsZero() || p.At.Sub(last) > Gap {
			pen = "M"
		}
		fmt.Fprintf(&d, "%s%.1f %.1f", pen, c.x(p.At), c.y(p.Value))
		last = p.At
	}
	fmt.Fprintf(b, `<path class="line c%d"%s d="%s"/>`+"\n", i%colours, dash(i), d.String())
}

// marks draws a line at each moment, and its number above. Numbers that would touch stand on two levels.
func (c Chart) marks(b *strings.Builder) {
	last, level := -100.0, 0
	for i, m := range c.Marks {
		x := c.x(m.At)
		level = 1 - level
		if x-last > 18 {
			level = 0
		}
		last = x
		fmt.Fprintf(b, `<line class="mark" x1="%.1f" y1="%d" x2="%.1f" y2="%d"/>`+"\n", x, plotY-2, x, plotY+plotH)
		text(b, int(x), plotY-6-level*12, "note", "middle", fmt.Sprint(i+1))
	}
}

// names are the marks' names with their numbers, in lines that fit.
func (c Chart) names() []string {
	var out []string
	for i, m := range c.Marks {
		one := fmt.Sprintf("%d %s", i+1, m.Name)
		if n := len(out); n > 0 && float64(len(out[n-1])+len(one)+4)*perChar*0.85 < width-plotR-plotX {
			out[n-1] += " · " + one
			continue
		}
		out = append(out, one)
	}
	return out
}

type spot struct{ x, row int }

// legend says where each line's name stands, and how many rows that takes.
func (c Chart) legend() (l struct {
	at   []spot
	rows int
}) {
	x, row := plotX, 0
	for _, one := range c.Lines {
		w := 28 + int(float64(len(one.Name))*perChar) + 20
		if x > plotX && x+w > width-plotR {
			x, row = plotX, row+1
		}
		l.at = append(l.at, spot{x, row})
		x += w
	}
	l.rows = row + 1
	return l
}
