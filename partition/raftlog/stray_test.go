package raftlog

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func wantStrays(t *testing.T, s *Store, want int) {
	t.Helper()
	if n, err := s.Strays(); n != want || err != nil {
		t.Fatalf("%d strays, error %v; want %d", n, err, want)
	}
}

// lostMeta opens a store whose meta.db was lost, after it held so many replicas.
func lostMeta(t *testing.T, dir string, replicas uint64, edit ...func(*Options)) *Store {
	t.Helper()
	s := openStore(t, dir)
	for id := range replicas {
		must(t, s.Create(testGroup, id+1, founders()))
	}
	wantStrays(t, s, 0)
	must(t, s.Close())
	must(t, os.Remove(filepath.Join(dir, "meta.db")))
	return openStore(t, dir, edit...)
}

func TestStraysAreKeptWhenANewReplicaHasTheirName(t *testing.T) {
	dir := t.TempDir()
	s := lostMeta(t, dir, 3)
	wantStrays(t, s, 3)
	kept, err := s.KeepStrays()
	must(t, err)
	wantStrays(t, s, 3)
	must(t, s.Create(testGroup, testReplica, founders()))
	wantStrays(t, s, 3)
	for id := range uint64(3) {
		_, err := os.Stat(filepath.Join(kept, filepath.Base(s.replicaDir(replicaID{testGroup, id + 1})), segName(2)))
		must(t, err)
	}
	if again, err := s.KeepStrays(); again != "" || err != nil {
		t.Fatalf("nothing is left to keep: %q, %v", again, err)
	}
	// Another life, with another folder for what the last one left.
	must(t, s.Close())
	must(t, os.Remove(filepath.Join(dir, "meta.db")))
	s = openStore(t, dir)
	wantStrays(t, s, 4)
	if again, err := s.KeepStrays(); again == kept || err != nil {
		t.Fatalf("kept in %s and in %s, error %v", kept, again, err)
	}
	wantStrays(t, s, 4)
}

func TestKeepStraysGoesOnAfterAnError(t *testing.T) {
	renames := 0
	s := lostMeta(t, t.TempDir(), 3, func(o *Options) {
		o.Hooks.FS = func(op FSOp) error {
			if op.Kind != "rename" || filepath.Base(op.Path) == "meta.db.tmp" {
				return nil
			}
			if renames++; renames == 2 {
				return errors.New("the test says so")
			}
			return nil
		}
	})
	if kept, err := s.KeepStrays(); err == nil {
		t.Fatalf("kept in %s without an error", kept)
	}
	wantStrays(t, s, 3)
	_, err := s.KeepStrays()
	must(t, err)
	wantStrays(t, s, 3)
	if strays, _, err := s.strays(); len(strays) > 0 || err != nil {
		t.Fatalf("%v, error %v", strays, err)
	}
}

// What cannot be looked at is not nothing.
func TestStraysThatCannotBeListedAreAnError(t *testing.T) {
	s := openStore(t, t.TempDir())
	must(t, os.RemoveAll(s.replicasDir()))
	wantStrays(t, s, 0)
	must(t, os.WriteFile(s.replicasDir(), nil, 0o600))
	if n, err := s.Strays(); err == nil {
		t.Fatalf("%d strays in what is no folder", n)
	}
	if kept, err := s.KeepStrays(); err == nil {
		t.Fatalf("kept in %q", kept)
	}
}
