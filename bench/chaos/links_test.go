package main

import (
	"slices"
	"testing"

	"github.com/runnel-io/runnel/bench/chaos/proxy"
)

func TestPartitionsCutWhatTheySay(t *testing.T) {
	order := []int{3, 1, 5, 2, 4}
	for _, c := range []struct {
		kind      string
		variant   uint64
		count     int
		cut, open [][2]int
	}{
		{full, 0, 8, [][2]int{{3, 1}, {1, 3}, {3, 4}}, [][2]int{{1, 5}, {0, 3}, {3, 0}}},
		{half, 0, 12, [][2]int{{3, 5}, {5, 3}, {1, 4}}, [][2]int{{3, 1}, {5, 2}, {0, 1}}},
		{oneWay, 0, 4, [][2]int{{1, 3}, {4, 3}}, [][2]int{{3, 1}, {1, 4}}},
		{oneWay, 1, 4, [][2]int{{3, 1}, {3, 4}}, [][2]int{{1, 3}, {1, 4}}},
		{bridge, 0, 8, [][2]int{{1, 2}, {4, 5}}, [][2]int{{3, 1}, {4, 3}, {1, 5}, {2, 4}}},
		{clientsCut, 0, 2, [][2]int{{0, 3}, {3, 0}}, [][2]int{{0, 1}, {3, 1}}},
	} {
		got, what := partitioned(c.kind, order, c.variant)
		if len(got) != c.count || what == "" {
			t.Errorf("%s cuts %d directions, want %d (%q)", c.kind, len(got), c.count, what)
		}
		for _, p := range c.cut {
			if !slices.Contains(got, proxy.Pair{From: p[0], To: p[1]}) {
				t.Errorf("%s %d does not cut %v", c.kind, c.variant, p)
			}
		}
		for _, p := range c.open {
			if slices.Contains(got, proxy.Pair{From: p[0], To: p[1]}) {
				t.Errorf("%s %d cuts %v", c.kind, c.variant, p)
			}
		}
	}
}
