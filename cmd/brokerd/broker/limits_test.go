package broker

import (
	"strings"
	"testing"
)

func TestRule33LowLimitsAreSaidAtStart(t *testing.T) {
	for _, x := range []struct {
		files, maps uint64
		want        []string
	}{
		{1 << 20, 1 << 20, nil},
		{1024, 1 << 20, []string{"LimitNOFILE"}},
		{1024, 65530, []string{"LimitNOFILE", "vm.max_map_count"}},
	} {
		low := judgeLimits(x.files, x.maps)
		if len(low) != len(x.want) {
			t.Errorf("%d files, %d maps: %q", x.files, x.maps, low)
		}
		for _, w := range x.want {
			if !strings.Contains(strings.Join(low, "\n"), w) {
				t.Errorf("%q lacks %q", low, w)
			}
		}
	}
}
