package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
)

// printJSON prints one value, indented. Strings stay as they are: no HTML escapes.
func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// grid is a table for a terminal: columns by spaces, numbers to the right, no borders to cut away in a script.
type grid struct {
	header []string
	rows   [][]any
}

func newGrid(header ...string) *grid { return &grid{header: header} }

// add adds a row; integers and counts (see count) stand to the right.
func (g *grid) add(cells ...any) { g.rows = append(g.rows, cells) }

func (g *grid) print(w io.Writer) error {
	t := table.NewWriter()
	style := table.StyleDefault
	style.Name = "plain"
	style.Box = table.BoxStyle{MiddleVertical: "  ", PaddingLeft: "", PaddingRight: ""}
	style.Format.Header = text.FormatDefault
	style.Options = table.Options{SeparateColumns: true}
	t.SetStyle(style)
	head := make(table.Row, len(g.header))
	columns := make([]table.ColumnConfig, len(g.header))
	for i, h := range g.header {
		head[i] = h
		columns[i] = table.ColumnConfig{Number: i + 1, Align: text.AlignLeft, AlignHeader: text.AlignLeft}
		if len(g.rows) > 0 && isNumber(g.rows[0][i]) {
			columns[i].Align, columns[i].AlignHeader = text.AlignRight, text.AlignRight
		}
	}
	t.SetColumnConfigs(columns)
	t.AppendHeader(head)
	for _, r := range g.rows {
		t.AppendRow(r)
	}
	var b strings.Builder
	for line := range strings.Lines(t.Render()) {
		b.WriteString(strings.TrimRight(line, " \n"))
		b.WriteByte('\n')
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// section prints the grid after an empty line and, after it, how many rows are left out; nothing if it has none.
func (g *grid) section(w io.Writer, more int32) error {
	if len(g.rows) == 0 {
		return nil
	}
	if _, err := fmt.Fprintln(w); err != nil {
		return err
	}
	if err := g.print(w); err != nil || more == 0 {
		return err
	}
	_, err := fmt.Fprintf(w, "and %s more\n", count(int64(more)))
	return err
}

// right marks a cell that is formatted already and stands to the right.
type right string

func isNumber(cell any) bool {
	switch cell.(type) {
	case int, int32, int64, uint64, float64, right:
		return true
	}
	return false
}

// count writes a number with a comma every three digits.
func count(n int64) right {
	s := strconv.FormatInt(n, 10)
	sign := ""
	if n < 0 {
		sign, s = "-", s[1:]
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return right(sign + s)
}

// ids writes a list of broker ids.
func ids(list []int32) string {
	if len(list) == 0 {
		return "-"
	}
	s := make([]string, len(list))
	for i, id := range list {
		s[i] = strconv.Itoa(int(id))
	}
	return strings.Join(s, ",")
}

// nameWidth bounds names in tables, so that one long name does not push the rest of every row off the screen. JSON has
// them whole.
const nameWidth = 60

func shortName(s string) string {
	if r := []rune(s); len(r) > nameWidth {
		return string(r[:nameWidth-1]) + "…"
	}
	return s
}

// orDash stands in for an empty cell, so that columns can be counted.
func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// orNone writes a number of which -1 means that there is none or that it is not known.
func orNone(n int64, none string) right {
	if n < 0 {
		return right(none)
	}
	return right(strconv.FormatInt(n, 10))
}

func plural(n int64, one string) string {
	if n == 1 {
		return fmt.Sprintf("%s %s", count(n), one)
	}
	return fmt.Sprintf("%s %ss", count(n), one)
}
