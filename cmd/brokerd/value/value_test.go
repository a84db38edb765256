package value

import (
	"strings"
	"testing"
	"time"
)

func TestValuesAreReadWithinTheirBounds(t *testing.T) {
	for _, x := range []struct {
		k    Kind
		good []string
		bad  map[string]string
	}{
		{Bytes(1 << 10), []string{"1024", "1KiB", " 2 MiB ", "1G"}, map[string]string{"1023": "below the least of 1024", "-1": "no size", "1.5KiB": "no size", "": "no size", "9999999TiB": "no size"}},
		{Duration(time.Second), []string{"1s", "5m30s"}, map[string]string{"999ms": "below the least of 1s", "5": "no duration", "-5s": "no duration", "": "no duration"}},
		{Number(1, 9), []string{"1", " 9 "}, map[string]string{"0": "no number from 1 to 9", "10": "no number", "2.5": "no number", "": "no number"}},
		{Switch, []string{"true", "0"}, map[string]string{"perhaps": "neither true nor false", "": "neither"}},
		{Choice("a", "b"), []string{"a", "B"}, map[string]string{"c": "not one of a, b", "": "not one of"}},
		{Text, []string{"", "anything"}, nil},
	} {
		for _, s := range x.good {
			if err := x.k.Check(s); err != nil {
				t.Errorf("%s %q: %v", x.k.Type, s, err)
			}
		}
		for s, want := range x.bad {
			if err := x.k.Check(s); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s %q: %v, want %q", x.k.Type, s, err, want)
			}
		}
	}
}

func TestAShortSizeIsReadBackAsTheSame(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 1023: "1023", 1 << 20: "1MiB", 3 << 30: "3GiB", 1<<30 + 1: "1073741825", 5 << 40: "5TiB"} {
		got := ShortBytes(n)
		if back, err := Bytes(0).Bytes(got); got != want || err != nil || back != n {
			t.Errorf("%d is %s, which is %d: %v", n, got, back, err)
		}
	}
}

func TestTheNearestNameIsTheOneThatWasMeant(t *testing.T) {
	among := []string{"recovery.parallel", "recovery.rate.bytes", "log.level"}
	for name, want := range map[string]string{
		"recovery.rate": "recovery.rate.bytes", "log.levle": "log.level", "Log.Level": "log.level", "x": "", "": "", strings.Repeat("recovery", 1000): "",
	} {
		if got := Nearest(name, among); got != want {
			t.Errorf("%.20s: %q, want %q", name, got, want)
		}
	}
}
