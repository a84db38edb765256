package main

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// series makes looks each 20 s at brokers that hold so many MiB; the second broker always holds 100.
func series(mibs ...int64) []sample {
	var out []sample
	for i, m := range mibs {
		out = append(out, sample{at: time.Duration(i+1) * 20 * time.Second, records: float64(i) * 20 * 1000, memory: []int64{m << 20, 100 << 20}, disk: int64(i) * 1e9})
	}
	return out
}

func TestFlatIsWithinAFewPercentOfTheFirstHalf(t *testing.T) {
	for _, c := range []struct {
		name   string
		memory []int64
		flat   bool
		text   string
	}{
		{"steady", []int64{200, 300, 310, 300, 340, 300}, true, "broker 1 310 MiB in the first half, 340 in the second (+10%)"},
		{"falling", []int64{500, 500, 300, 300}, true, "(-40%)"},
		{"growing", []int64{200, 300, 310, 320, 360, 300}, false, "more than 15% above"},
		{"large from the start", []int64{601, 300, 300, 300}, false, "above 600 MiB"},
		{"large at the end", []int64{590, 590, 590, 601}, false, "above 600 MiB"},
		{"too few", []int64{1, 1, 1}, false, "3 looks"},
		{"none", nil, false, "0 looks"},
	} {
		v := judge(series(c.memory...))
		if v.flat != c.flat || !strings.Contains(v.text, c.text) || strings.HasPrefix(v.text, "flat:") != c.flat {
			t.Errorf("%s: %+v", c.name, v)
		}
		if !c.flat && strings.Contains(v.text, "broker 2") {
			t.Errorf("%s: the steady broker is blamed: %s", c.name, v.text)
		}
	}
}

func TestTheTableHasALineAMinute(t *testing.T) {
	text := render(series(200, 250, 230, 240, 300))
	lines := strings.Split(text, "\n")
	if len(lines) != 6 { // borders, the head, two minutes
		t.Fatalf("got\n%s", text)
	}
	// The first minute has the looks at 20 and 40 s, the second those from 60 to 100 s.
	for i, want := range [][]string{{"1", "1000", "200-250", "100-100", "1.0"}, {"2", "1000", "230-300", "100-100", "4.0"}} {
		if got := strings.Fields(strings.ReplaceAll(lines[3+i], "|", "")); !slices.Equal(got, want) {
			t.Errorf("line %d is %v, want %v", i+1, got, want)
		}
	}
	if render(nil) == "" {
		t.Error("nothing said of nothing")
	}
}
