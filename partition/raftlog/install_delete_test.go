package raftlog

import (
	"errors"
	"os"
	"syscall"
	"testing"
)

func (s *Store) has(id replicaID, suffix string) bool {
	_, err := os.Stat(s.replicaDir(id) + suffix)
	return err == nil
}

// A replica that is being installed cannot be deleted as if it were not there: the install would end in a replica that nobody wants.
func TestDeleteDuringAnInstallIsRefused(t *testing.T) {
	s, to := openStore(t, t.TempDir()), openStore(t, t.TempDir())
	l, _, cp := shippedLog(t, s, 10)
	in := install(t, to)
	if err := to.Delete(testGroup, newReplica); err == nil {
		t.Fatal("deleted while it is being installed")
	}
	must(t, transfer(ship(t, l, cp), in))
	must(t, in.Finish())
	must(t, to.Delete(testGroup, newReplica))
	if len(to.Replicas()) != 0 || to.has(in.id, "") {
		t.Fatal("something is left")
	}
}

// What a failed install left of a replica that never came to be goes with the deletion.
func TestDeleteRemovesWhatAnUnknownReplicaLeft(t *testing.T) {
	to := openStore(t, t.TempDir())
	id := replicaID{testGroup, newReplica}
	for _, suffix := range []string{"", installSuffix} {
		must(t, os.Mkdir(to.replicaDir(id)+suffix, 0o750))
		must(t, os.WriteFile(to.replicaDir(id)+suffix+"/"+segName(2), []byte("stray"), 0o600))
	}
	must(t, to.Delete(testGroup, newReplica))
	if to.has(id, "") || to.has(id, installSuffix) {
		t.Fatal("the folder is still there")
	}
	must(t, to.Delete(testGroup, newReplica))
	must(t, to.Create(testGroup, newReplica, founders()))
}

// A replica may be given up while it is on its way. That it was, the floor alone remembers.
func TestInstallThatADeletionHasOvertakenDoesNotFinish(t *testing.T) {
	s, to := openStore(t, t.TempDir()), openStore(t, t.TempDir())
	l, ents, cp := shippedLog(t, s, 10)
	in := install(t, to)
	in.Wanted(7)
	must(t, transfer(ship(t, l, cp), in))
	must(t, to.RaiseFloor(8))
	if err := in.Finish(); !errors.Is(err, ErrStale) || len(to.Replicas()) != 0 {
		t.Fatalf("finished: %v, %v", err, to.Replicas())
	}
	in.Wanted(9) // the newest state still wants it
	must(t, in.Finish())
	checkInstalled(t, to, ents, cp, 2)
}

// After a failed sync of the folder nobody knows which names are on the disk: nothing of it is used.
func TestInstallEndsWithAFailedSyncOfItsFolder(t *testing.T) {
	s := openStore(t, t.TempDir())
	l, ents, cp := shippedLog(t, s, 10)
	syncs, failAt := 0, 0
	to := openStore(t, t.TempDir(), func(o *Options) {
		o.Hooks.FS = func(op FSOp) error {
			if op.Kind == "syncdir" {
				if syncs++; syncs == failAt {
					return syscall.EIO
				}
			}
			return nil
		}
	})
	for n := 1; ; n++ {
		in := install(t, to)
		must(t, transfer(ship(t, l, cp), in))
		syncs, failAt = 0, n
		err := in.Finish()
		if syncs < n {
			must(t, err)
			if n < 3 {
				t.Fatalf("only %d syncs of a folder", n-1)
			}
			checkInstalled(t, to, ents, cp, 2)
			return
		}
		failAt = 0
		if !errors.Is(err, syscall.EIO) {
			t.Fatalf("sync %d failed: %v", n, err)
		}
		if err := in.Begin(&Manifest{}); !errors.Is(err, ErrClosed) {
			t.Fatalf("sync %d failed, and the installer goes on: %v", n, err)
		}
		if len(to.Replicas()) != 0 || to.has(in.id, "") || to.has(in.id, installSuffix) {
			t.Fatalf("sync %d failed, and something is left", n)
		}
	}
}
