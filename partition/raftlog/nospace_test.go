package raftlog

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// A disk that is full in the midst of a commit, though it had blocks to give before, stops the replica, and no longer than until its log is opened
// again: nothing that counts was overwritten.
func TestAFullDiskStopsAReplicaOnlyUntilItIsOpenedAgain(t *testing.T) {
	dir := t.TempDir()
	full := false
	s := openStore(t, dir, func(o *Options) {
		o.Hooks = Hooks{Commit: func(_ string, commit func() error) error {
			if full {
				return syscall.ENOSPC
			}
			return commit()
		}}
	})
	l := openLog(t, s, LogOptions{})
	appendAll(t, l, Write{Entries: batches(t, 2, 1, 0, 3, 10)})
	full = true
	var p *PoisonedError
	if err := l.Append([]Write{{Entries: batches(t, 5, 1, 3, 1, 10)}}); !errors.As(err, &p) || Lasting(err) {
		t.Fatalf("append on a full disk: %v", err)
	}
	full = false
	if err := l.Append([]Write{{Entries: batches(t, 5, 1, 3, 1, 10)}}); !errors.As(err, &p) {
		t.Fatalf("the log went on after a failed commit: %v", err)
	}
	crash(t, s)
	s = openStore(t, dir)
	l = openLog(t, s, LogOptions{})
	if last, err := l.LastIndex(); err != nil || last != 4 {
		t.Fatalf("last index %d, %v", last, err)
	}
	appendAll(t, l, Write{Entries: batches(t, 5, 1, 3, 1, 10)})
}

// Terms and votes can be written when no other file can: their blocks were taken before.
func TestMetaHoldsSpaceOnTheDisk(t *testing.T) {
	dir := t.TempDir()
	for range 2 { // made, and opened again
		s := openStore(t, dir)
		st, err := os.Stat(filepath.Join(dir, "meta.db"))
		must(t, err)
		if blocks := st.Sys().(*syscall.Stat_t).Blocks * 512; blocks < metaSpace {
			t.Errorf("meta.db has %d bytes on the disk", blocks)
		}
		crash(t, s)
	}
}

// A file system that finds only at the sync that it is full has perhaps lost what was written, and what is in memory of it counts as clean: such a
// replica must not go on with it.
func TestASyncThatFailsForWantOfSpaceIsNoFullDisk(t *testing.T) {
	fail := false
	s := openStore(t, t.TempDir(), func(o *Options) {
		o.Hooks.Commit = func(path string, commit func() error) error {
			err := commit()
			if fail && filepath.Ext(path) == segSuffix {
				return syscall.ENOSPC // as bbolt gives what fdatasync answers
			}
			return err
		}
	})
	l := openLog(t, s, LogOptions{})
	appendAll(t, l, Write{Entries: batches(t, 2, 1, 0, 3, 10)})
	fail = true
	if err := l.Append([]Write{{Entries: batches(t, 5, 1, 3, 1, 10)}}); err == nil || !Lasting(err) {
		t.Fatalf("a sync that failed: %v", err)
	}
	must(t, l.Close())
	var q *QuarantinedError
	if _, err := s.OpenLog(testGroup, testReplica, LogOptions{}); !errors.As(err, &q) {
		t.Errorf("it is opened again: %v", err)
	}
	for _, c := range []struct {
		err     error
		lasting bool
	}{
		{&fs.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}, false},
		{&fs.PathError{Op: "sync", Path: "x", Err: syscall.ENOSPC}, true},
	} {
		if Lasting(c.err) != c.lasting {
			t.Errorf("%v lasts: %v", c.err, !c.lasting)
		}
	}
}
