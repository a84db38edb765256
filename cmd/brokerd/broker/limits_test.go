package broker

import (
	"bytes"
	"log/slog"
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
		var out bytes.Buffer
		judgeLimits(slog.New(slog.NewTextHandler(&out, nil)), x.files, x.maps)
		if n := strings.Count(out.String(), "level=WARN"); n != len(x.want) {
			t.Errorf("%d files, %d maps: %d warnings: %s", x.files, x.maps, n, out.String())
		}
		for _, w := range x.want {
			if !strings.Contains(out.String(), w) {
				t.Errorf("%q lacks %q", out.String(), w)
			}
		}
	}
}
