package raftlog

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// What an unclean stop left in memory only is synced by whoever opens the log first. If that open fails for a passing reason, the next one is the
// first.
func TestTheOpenAfterOneThatFailedSyncsToo(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	l := openLog(t, s, LogOptions{})
	appendAll(t, l, Write{Entries: batches(t, 2, 1, 0, 3, 10)})
	crash(t, s)
	var ops []string
	fail := true
	s = openStore(t, dir, func(o *Options) {
		o.Hooks.File = func(op FileOp) error {
			ops = append(ops, op.Kind+" "+filepath.Base(op.Path))
			if fail && op.Kind == "sync" && filepath.Ext(op.Path) == segSuffix {
				return syscall.EMFILE
			}
			return nil
		}
		o.Hooks.FS = func(op FSOp) error {
			ops = append(ops, op.Kind+" "+filepath.Base(op.Path))
			return nil
		}
	})
	var q *QuarantinedError
	if _, err := s.OpenLog(testGroup, testReplica, LogOptions{}); err == nil || errors.As(err, &q) {
		t.Fatalf("the first open: %v", err)
	}
	fail, ops = false, nil
	if _, err := s.OpenLog(testGroup, testReplica, LogOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, what := range []string{segName(2), filepath.Base(s.replicaDir(replicaID{testGroup, testReplica}))} {
		if !slices.ContainsFunc(ops, func(op string) bool { return strings.HasPrefix(op, "sync") && strings.HasSuffix(op, what) }) {
			t.Errorf("%s is not synced: %v", what, ops)
		}
	}
}
