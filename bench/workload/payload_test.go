package workload

import (
	"fmt"
	"testing"
)

func TestAPayloadTellsItsValueOrThatItIsDamaged(t *testing.T) {
	large := 0
	for i := range 200 {
		value := fmt.Sprintf("%d:%d:%d", i%7, i%3, i)
		p := Payload(value)
		if got := Value(p); got != value {
			t.Fatalf("%q came back as %q", value, got)
		}
		if len(p) > largeFiller {
			large++
		}
		for at := range p {
			p[at] ^= 1 << (i % 8)
			if got := Value(p); got == value {
				t.Fatalf("bit %d of byte %d of %q was flipped, and nothing is seen", i%8, at, value)
			}
			p[at] ^= 1 << (i % 8)
			if at > 60 && i > 2 {
				break
			}
		}
	}
	if large == 0 {
		t.Error("no value is large")
	}
	for _, p := range []string{"", Marker, Marker + "1:1:1", "1:1:1|", "|"} {
		if got := Value([]byte(p)); got == "1:1:1" || got == "" {
			t.Errorf("%q is taken for the value %q", p, got)
		}
	}
}
