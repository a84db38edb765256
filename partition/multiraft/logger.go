package multiraft

import (
	"context"
	"fmt"
	"log/slog"
)

// raftLogger passes raft's log on. Raft tells much that nobody acts on, so all of it but errors is for debugging, and is
// not even put into words unless that is asked for. Panics stay panics: the worker recovers them.
type raftLogger struct{ log *slog.Logger }

func (l raftLogger) write(level slog.Level, v []any) {
	if l.log.Enabled(context.Background(), level) {
		l.log.Log(context.Background(), level, fmt.Sprint(v...))
	}
}

func (l raftLogger) writef(level slog.Level, format string, v []any) {
	if l.log.Enabled(context.Background(), level) {
		l.log.Log(context.Background(), level, fmt.Sprintf(format, v...))
	}
}

func (l raftLogger) Debug(v ...any)                   { l.write(slog.LevelDebug, v) }
func (l raftLogger) Debugf(format string, v ...any)   { l.writef(slog.LevelDebug, format, v) }
func (l raftLogger) Info(v ...any)                    { l.write(slog.LevelDebug, v) }
func (l raftLogger) Infof(format string, v ...any)    { l.writef(slog.LevelDebug, format, v) }
func (l raftLogger) Warning(v ...any)                 { l.write(slog.LevelDebug, v) }
func (l raftLogger) Warningf(format string, v ...any) { l.writef(slog.LevelDebug, format, v) }
func (l raftLogger) Error(v ...any)                   { l.write(slog.LevelError, v) }
func (l raftLogger) Errorf(format string, v ...any)   { l.writef(slog.LevelError, format, v) }
func (l raftLogger) Fatal(v ...any)                   { panic("raft: " + fmt.Sprint(v...)) }
func (l raftLogger) Fatalf(format string, v ...any)   { panic("raft: " + fmt.Sprintf(format, v...)) }
func (l raftLogger) Panic(v ...any)                   { panic("raft: " + fmt.Sprint(v...)) }
func (l raftLogger) Panicf(format string, v ...any)   { panic("raft: " + fmt.Sprintf(format, v...)) }
