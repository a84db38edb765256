package main

import (
	"strings"
	"testing"
	"time"

	"github.com/runnel-io/runnel/bench/observe/dashboards"
)

func TestAQueryHasToShowSomething(t *testing.T) {
	line := func(v float64) []series {
		return []series{{labels: map[string]string{"instance": "a"}, points: []point{{time.Unix(0, 0), 0}, {time.Unix(1, 0), v}}}}
	}
	for name, c := range map[string]struct {
		query dashboards.Query
		lines []series
		red   string
	}{
		"a line":                     {dashboards.Query{Legend: "{{instance}}"}, line(1), ""},
		"no series":                  {dashboards.Query{Legend: "{{instance}}"}, nil, "no data"},
		"a label that is not there":  {dashboards.Query{Legend: "{{topic}}"}, line(1), "topic"},
		"zeros":                      {dashboards.Query{Legend: "{{instance}}"}, line(0), "zeros"},
		"zeros that are as they are": {dashboards.Query{Legend: "{{instance}}", Zero: "only a defect counts"}, line(0), ""},
	} {
		if why := emptiness(c.query, c.lines, nil); (why == "") != (c.red == "") || !strings.Contains(why, c.red) {
			t.Errorf("%s: %q, want %q", name, why, c.red)
		}
	}
}
