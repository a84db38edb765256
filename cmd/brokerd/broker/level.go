package broker

import (
	"context"
	"log/slog"
)

// leveled leaves out of a log what is below a level that may change.
type leveled struct {
	slog.Handler
	least *slog.LevelVar
}

func (l leveled) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= l.least.Level() && l.Handler.Enabled(ctx, level)
}

func (l leveled) WithAttrs(attrs []slog.Attr) slog.Handler {
	return leveled{l.Handler.WithAttrs(attrs), l.least}
}

func (l leveled) WithGroup(name string) slog.Handler {
	return leveled{l.Handler.WithGroup(name), l.least}
}
