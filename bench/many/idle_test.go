package main

import (
	"strings"
	"testing"
	"time"
)

func TestIdleIsToldBySpan(t *testing.T) {
	from := time.Unix(100, 0)
	var looks []look
	// Four spans of 5 s: busy for the first, nearly idle after it, and growing.
	for i, cpu := range []time.Duration{10, 15, 16, 17, 18} {
		looks = append(looks, look{at: from.Add(time.Duration(i) * 5 * time.Second), cpu: cpu * time.Second, memory: []int64{int64(90+i) * 1e6, 80e6}, files: []int{4000, 41}})
	}
	text := describe(looks)
	for _, want := range []string{
		"0 to   5 s: 100.0% of a core, memory 91/80 MB", "15 to  20 s:  20.0% of a core, memory 94/80 MB",
		"idle for 20 s: all brokers 40.0% of a core, 20.0% in the last quarter; memory each 90/80 MB at first, 94/80 MB at last; descriptors each 4000/41",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}
