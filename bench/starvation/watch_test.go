package main

import (
	"strings"
	"testing"
	"time"

	"github.com/runnel-io/runnel/bench/stream"
)

func TestWhatMustNotHappenToSlowBrokersIsTold(t *testing.T) {
	calm := found{d: 10 * time.Minute, fewest: 3, waits: stream.Waits{Probes: 1}}
	for name, c := range map[string]struct {
		want string
		bend func(f *found)
	}{
		"nothing happens":             {"", func(*found) {}},
		"gossip suspects":             {"", func(f *found) { f.suspected, f.refuted = 3, 3 }},
		"gossip gives up":             {"gave up", func(f *found) { f.marked = 1 }},
		"gossip knows of two":         {"gave up", func(f *found) { f.fewest = 2 }},
		"a replica moves":             {"moves", func(f *found) { f.moves = 1 }},
		"each partition elects once":  {"", func(f *found) { f.campaigns = 25 }},
		"one elects twice":            {"elections", func(f *found) { f.campaigns = 26 }},
		"silent once a minute":        {"", func(f *found) { f.silent = 10 }},
		"silent more often":           {"silent", func(f *found) { f.silent = 11 }},
		"leaders step down in storms": {"stepped down", func(f *found) { f.stepDowns = 26 }},
		"nobody is answered":          {"acknowledged", func(f *found) { f.waits.Probes = 0 }},
	} {
		f := calm
		c.bend(&f)
		if got := strings.Join(f.judge(3, 24), "; "); (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
