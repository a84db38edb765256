package raftlog

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// A full disk stops the replica, and no longer than until its log is opened again: nothing that counts was overwritten.
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
