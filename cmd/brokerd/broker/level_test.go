package broker

import (
	"bytes"
	"log/slog"
	"testing"
)

func TestALogLeavesOutWhatIsBelowALevelThatChanges(t *testing.T) {
	var out bytes.Buffer
	level := &slog.LevelVar{}
	inner := slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug})
	log := slog.New(leveled{inner, level}).With("a", 1).WithGroup("g")
	says := func(want bool, say func(string, ...any)) {
		t.Helper()
		out.Reset()
		if say("x"); (out.Len() > 0) != want {
			t.Errorf("at %v it wrote %q", level, out.String())
		}
	}
	says(false, log.Debug)
	says(true, log.Info)
	level.Set(slog.LevelError)
	says(false, log.Warn)
	says(true, log.Error)
	level.Set(slog.LevelDebug)
	says(true, log.Debug)
	// What the log itself leaves out stays out.
	log = slog.New(leveled{slog.NewTextHandler(&out, nil), level})
	says(false, log.Debug)
}
