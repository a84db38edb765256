package raftlog

import (
	"bytes"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	bolt "go.etcd.io/bbolt"
)

// A flipped bit of meta.db does no harm, or its broker counts as new: never is a vote forgotten, nor a replica, nor the floor.
func TestRule01FlippedBitInMetaIsHarmlessOrAWipedDisk(t *testing.T) {
	dir := filepath.Join(cutDir(t), "data")
	s := openStore(t, dir)
	l := openLog(t, s, LogOptions{})
	must(t, s.SetIdentity(Identity{ClusterID: "c", BrokerID: 1}))
	for i := uint64(1); i <= 40; i++ { // enough for a page of their own
		must(t, s.Create(100+i, i, founders()))
	}
	must(t, s.RaiseFloor(300))
	must(t, s.Quarantine(101, 1, "a reason"))
	for term := uint64(2); term < 6; term++ {
		appendAll(t, l, Write{Term: term, Vote: 1 + term%3})
	}
	must(t, s.Close())
	path := filepath.Join(dir, "meta.db")
	good, err := os.ReadFile(path)
	must(t, err)
	var places []int // in pages that were ever written: what bbolt steers by, and what is not zero
	for page := 0; page < len(good); page += boltPageSize {
		if p := good[page : page+boltPageSize]; !bytes.Equal(p, make([]byte, boltPageSize)) {
			for i, c := range p {
				if i < 96 || c != 0 {
					places = append(places, page+i)
				}
			}
		}
	}
	n := 800
	if testing.Short() {
		n = 150
	}
	stride := max(1, len(places)/n)
	wiped, harmless := 0, 0
	for turn := 0; turn < len(places); turn += stride {
		at := places[turn]
		bad := append([]byte(nil), good...)
		bad[at] ^= 1 << (at % 8)
		must(t, os.Remove(path)) // where bbolt panicked, the file before is still locked
		must(t, os.WriteFile(path, bad, 0o600))
		got, err := Open(Options{Dir: dir, Clock: &testClock{ms: startMS}, Hooks: Hooks{NoSync: true}})
		if err != nil {
			if !strings.Contains(err.Error(), "run the version that wrote it") {
				t.Fatalf("byte %d: %v", at, err)
			}
			wiped++
			continue
		}
		switch {
		case got.Identity().Incarnation != s.Identity().Incarnation:
			wiped++
			if len(got.Replicas()) > 0 || got.Floor() != 0 {
				t.Fatalf("byte %d: a wiped disk knows %v", at, got.Replicas())
			}
		case got.Identity() != s.Identity() || got.Floor() != 300 || !maps.Equal(got.replicas, s.replicas) || !maps.Equal(got.reasons, s.reasons):
			t.Fatalf("byte %d: %+v, floor %d, %d replicas, term and vote %v", at, got.Identity(), got.Floor(), len(got.replicas), got.replicas[l.id])
		default:
			harmless++
		}
		if err := got.Close(); err != nil && !isCorrupt(err) { // bbolt met it when it wrote: the next start will, too
			t.Fatalf("byte %d: %v", at, err)
		}
	}
	if wiped < n/20 || harmless < n/20 {
		t.Fatalf("%d wiped, %d harmless", wiped, harmless)
	}
}

// A release that does not know the sum leaves it behind; that is no damage.
func TestMetaSumOfAnEarlierTransactionCountsForNothing(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	openLog(t, s, LogOptions{})
	must(t, s.Close())
	db, err := bolt.Open(filepath.Join(dir, "meta.db"), 0o600, nil)
	must(t, err)
	must(t, db.Update(func(tx *bolt.Tx) error {
		return tx.Bucket(bucketReplicas).Put(replicaID{8, 8}.key(), metaRecord{flags: recordCreated, term: 4}.encode())
	}))
	must(t, db.Close())
	again := openStore(t, dir)
	if again.Identity() != s.Identity() || len(again.Replicas()) != 2 {
		t.Fatalf("%+v, %v", again.Identity(), again.Replicas())
	}
	must(t, again.Close()) // which stores a sum over all of it
	must(t, guard("", func() error { return openAndCheckSum(t, dir) }))
}

func openAndCheckSum(t *testing.T, dir string) error {
	t.Helper()
	db, err := bolt.Open(filepath.Join(dir, "meta.db"), 0o600, nil)
	must(t, err)
	defer db.Close()
	return db.View(func(tx *bolt.Tx) error {
		if _, ok := storedSum(tx, tx.ID()); !ok {
			return errors.New("there is no sum of the last transaction")
		}
		return checkSum(tx)
	})
}

// bbolt itself would go on with the other meta page, without the last transaction.
func TestRule02FlippedBitInAMetaPageIsQuarantined(t *testing.T) {
	for page := range 2 {
		dir := t.TempDir()
		s := openStore(t, dir)
		l := openLog(t, s, LogOptions{})
		appendAll(t, l, Write{Entries: batches(t, 2, 1, 0, 3, 10)})
		path := l.segs[0].file.path
		must(t, s.Close())
		b, err := os.ReadFile(path)
		must(t, err)
		b[page*boltPageSize+metaPageHeader+24] ^= 4
		must(t, os.WriteFile(path, b, 0o600))
		s = openStore(t, dir)
		var q *QuarantinedError
		if l, err := s.OpenLog(testGroup, testReplica, LogOptions{}); !errors.As(err, &q) {
			last, _ := l.LastIndex()
			t.Fatalf("meta page %d damaged: %v, last entry %d", page, err, last)
		}
	}
}
