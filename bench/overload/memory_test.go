package main

import "testing"

// saw is what a collector makes of a heap: from half of its top to the top, in so many teeth. leak is added over the whole time.
func saw(top, leak int64, teeth int) (out []int64) {
	const n = 600
	for i := range n {
		tooth := int64(i*teeth%n) * (top / 2) / n
		out = append(out, top/2+tooth+leak*int64(i)/n)
	}
	return out
}

func TestMemoryThatClimbsIsFound(t *testing.T) {
	const mb = 1 << 20
	for name, c := range map[string]struct {
		samples []int64
		want    bool
	}{
		"flat":                       {saw(800*mb, 0, 15), false},
		"flat, with a tooth and two": {append(saw(800*mb, 0, 3)[:400], saw(800*mb, 0, 7)[400:]...), false},
		"reached in the first third": {append(saw(100*mb, 0, 15)[:200], saw(800*mb, 0, 15)[200:]...), false},
		"15 MiB a second in 30 s":    {saw(500*mb, 450*mb, 15), true},
		"small, and grows":           {saw(100*mb, 300*mb, 15), true},
	} {
		if got := climbOf(c.samples).tooMuch(); got != c.want {
			t.Errorf("%s: climbs %v: %+v", name, got, climbOf(c.samples))
		}
	}
}
