package sim

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/runnel-io/runnel/partition/env/sim"
)

// logHandler writes what the product logs between the lines of the history. It is no part of the history's hash.
type logHandler struct {
	b     *boot
	w     *sim.World
	out   io.Writer
	attrs string
}

func (h *logHandler) Enabled(_ context.Context, l slog.Level) bool {
	return l >= slog.LevelInfo && !h.b.over // what a dead process has left to say is not said
}

func (h *logHandler) Handle(_ context.Context, r slog.Record) error {
	var b strings.Builder
	r.Attrs(func(a slog.Attr) bool {
		fmt.Fprintf(&b, " %s=%v", a.Key, a.Value)
		return true
	})
	_, err := fmt.Fprintf(h.out, "%12s   %s%s %s%s\n", h.w.Now(), r.Level, h.attrs, r.Message, b.String())
	return err
}

func (h *logHandler) WithAttrs(as []slog.Attr) slog.Handler {
	n := *h
	for _, a := range as {
		n.attrs += fmt.Sprintf(" %s=%v", a.Key, a.Value)
	}
	return &n
}

func (h *logHandler) WithGroup(string) slog.Handler { return h }
