package gossip

import (
	"bytes"
	"context"
	"log"
	"log/slog"
	"sync"
	"time"
)

// logsPerSecond bounds what memberlist may log: it writes a line for each bad packet, and anybody can send those.
const logsPerSecond = 10

// bridge turns memberlist's "[LEVEL] memberlist: text" lines into slog records.
type bridge struct {
	log   *slog.Logger
	now   func() time.Time
	heard func(line []byte) // gets each line, also of a level that is not logged; nil: nobody

	mu         sync.Mutex
	second     int64 // the Unix second that written counts
	written    int
	suppressed int
}

// newBridge makes the logger that memberlist gets.
func newBridge(l *slog.Logger, heard func(line []byte)) *log.Logger {
	return log.New(&bridge{log: l, now: time.Now, heard: heard}, "", 0)
}

var levels = []struct {
	tag   string
	level slog.Level
}{
	{"[DEBUG]", slog.LevelDebug},
	{"[INFO]", slog.LevelInfo},
	{"[WARN]", slog.LevelWarn},
	// What memberlist calls an error is mostly a bad packet or a peer that is gone: nothing a person must act on at once.
	{"[ERR]", slog.LevelWarn},
	{"[ERROR]", slog.LevelWarn},
}

// Write gets one line per call, as package log promises.
func (b *bridge) Write(line []byte) (int, error) {
	if b.heard != nil {
		b.heard(line)
	}
	text, level := bytes.TrimSpace(line), slog.LevelInfo
	for _, l := range levels {
		if rest, ok := bytes.CutPrefix(text, []byte(l.tag)); ok {
			text, level = bytes.TrimSpace(rest), l.level
			break
		}
	}
	text, _ = bytes.CutPrefix(text, []byte("memberlist: "))
	ctx := context.Background()
	if !b.log.Enabled(ctx, level) {
		return len(line), nil
	}
	if suppressed, ok := b.admit(); ok {
		if suppressed > 0 {
			b.log.Warn("too many gossip log lines, some were left out", "suppressed", suppressed)
		}
		b.log.Log(ctx, level, string(text), "source", "memberlist")
	}
	return len(line), nil
}

func (b *bridge) admit() (suppressed int, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if s := b.now().Unix(); s != b.second {
		suppressed = b.suppressed
		b.second, b.written, b.suppressed = s, 0, 0
	}
	if b.written >= logsPerSecond {
		b.suppressed++
		return 0, false
	}
	b.written++
	return suppressed, true
}
