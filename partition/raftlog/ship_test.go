package raftlog

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	bolt "go.etcd.io/bbolt"
	"go.etcd.io/raft/v3/raftpb"

	"github.com/runnel-io/runnel/partition/record"
)

const newReplica = 44

// shippedLog is a log of several segments, applied up to its end but for the newest entries, as a source has it.
func shippedLog(t *testing.T, s *Store, n int) (l *Log, ents []*raftpb.Entry, cp Checkpoint) {
	t.Helper()
	l = openLog(t, s, LogOptions{SegmentBytes: smallSegment})
	ents = fillSegments(t, l, n)
	ents = append(ents, entry(uint64(n)+2, 1, commandData("a command", startMS)), confEntry(uint64(n)+3, 1))
	ents = append(ents, batches(t, uint64(n)+4, 2, int64(n), 3, 100)...)
	appendAll(t, l, Write{Term: 2, Vote: 1, Entries: ents[n:]})
	applyTo(t, l, ents, uint64(n)+5) // one more is not committed
	return l, ents, checkpointAt(ents, uint64(n)+5)
}

func applyTo(t *testing.T, l *Log, ents []*raftpb.Entry, index uint64) {
	t.Helper()
	appendAll(t, l, Write{Commit: index})
	l.SetApplied(index)
	must(t, l.Maintain())
}

// checkpointAt folds what stands in ents, from index 2 on, up to index.
func checkpointAt(ents []*raftpb.Entry, index uint64) Checkpoint {
	cp := Checkpoint{Index: index, Term: 1, Conf: &raftpb.ConfState{Voters: []uint64{1, 2, 3}}, State: []byte("folded")}
	for _, e := range ents {
		if e.GetIndex() > index {
			break
		}
		cp.Term = e.GetTerm()
		cp.Next = record.Fold(e.GetIndex(), e.GetTerm(), e.GetType() != raftpb.EntryNormal, e.Data, cp.Next).Next
	}
	return cp
}

func ship(t *testing.T, l *Log, cp Checkpoint) *Shipment {
	t.Helper()
	sh, err := l.Ship(context.Background(), cp)
	must(t, err)
	t.Cleanup(func() { _ = sh.Close() }) // a test that cares closes it itself
	return sh
}

func install(t *testing.T, s *Store) *Installer {
	t.Helper()
	in, err := s.Install(testGroup, newReplica)
	must(t, err)
	return in
}

// transfer copies what an installer lacks of a shipment, in pieces.
func transfer(sh *Shipment, in *Installer) error {
	if err := in.Begin(sh.Manifest()); err != nil {
		return err
	}
	return transferRest(sh, in)
}

func transferRest(sh *Shipment, in *Installer) error {
	for i := range sh.Manifest().Files {
		if err := transferFile(sh, in, i); err != nil {
			return err
		}
	}
	for from := in.TailNext(); from <= sh.Manifest().Index; {
		p, next, err := sh.Tail(from, 10_000, nil)
		if err != nil {
			return err
		}
		if err := in.WriteTail(p); err != nil {
			return err
		}
		from = next
	}
	return nil
}

func transferFile(sh *Shipment, in *Installer, i int) error {
	buf := make([]byte, 10_000)
	for {
		have, done := in.Have(i)
		if done || have == sh.Manifest().Files[i].Bytes {
			break
		}
		n, err := sh.ReadFile(i, have, buf)
		if err != nil {
			return err
		}
		if err := in.WriteFile(i, have, buf[:n]); err != nil {
			return err
		}
	}
	sum, err := sumOf(sh, i)
	if err != nil {
		return err
	}
	return in.FinishFile(i, sum)
}

func sumOf(sh *Shipment, i int) ([SumBytes]byte, error) {
	for {
		sum, rest, err := sh.Sum(i, 5000)
		if err != nil || rest == 0 {
			return sum, err
		}
	}
}

// checkInstalled opens the new replica and compares all of it with the source's entries up to index.
func checkInstalled(t *testing.T, s *Store, ents []*raftpb.Entry, cp Checkpoint, term uint64) *Log {
	t.Helper()
	l, err := s.OpenLog(testGroup, newReplica, LogOptions{SegmentBytes: smallSegment})
	must(t, err)
	first, _ := l.FirstIndex()
	last, _ := l.LastIndex()
	hs, conf, err := l.InitialState()
	must(t, err)
	if last != cp.Index || hs.GetCommit() != cp.Index || l.FoldTo() != cp.Index || l.LastNext() != cp.Next {
		t.Fatalf("installed up to %d, commit %d, fold to %d, next offset %d; shipped up to %d, %d", last, hs.GetCommit(), l.FoldTo(), l.LastNext(), cp.Index, cp.Next)
	}
	if hs.GetTerm() != term || hs.GetVote() != 0 {
		t.Fatalf("term %d, vote %d, want %d and none", hs.GetTerm(), hs.GetVote(), term)
	}
	if got := l.Checkpoint(); !bytes.Equal(got.State, cp.State) || got.LogStart != cp.LogStart || got.Index != cp.Index {
		t.Fatalf("checkpoint %+v, want %+v", got, cp)
	}
	if len(conf.GetVoters()) != len(cp.Conf.GetVoters()) {
		t.Fatalf("configuration %v, want %v", conf, cp.Conf)
	}
	checkEntries(t, l, ents[first-2:cp.Index-1])
	return l
}

func TestRule19InstallsWhatWasAppliedAndCutsTheRest(t *testing.T) {
	s, dir := openStore(t, t.TempDir()), t.TempDir()
	l, ents, cp := shippedLog(t, s, 40)
	appendAll(t, l, Write{Term: 4, Vote: 1}) // of which it has no entry yet
	sh := ship(t, l, cp)
	m := sh.Manifest()
	if len(m.Files) < 4 || m.TailFirst > m.Index || m.Index != ents[len(ents)-2].GetIndex() {
		t.Fatalf("a dull shipment: %+v", m)
	}
	to := openStore(t, dir)
	in := install(t, to)
	must(t, transfer(sh, in))
	if rs := to.Replicas(); len(rs) != 0 {
		t.Fatalf("known before it is installed: %v", rs)
	}
	must(t, in.Finish())
	got := checkInstalled(t, to, ents, cp, 4)

	// It goes on as any log does, also after a restart, and every segment is its own.
	next := entry(cp.Index+1, 5, batchData(t, cp.Next, 5, startMS, 1, 100))
	appendAll(t, got, Write{Term: 5, Vote: 2, Entries: []*raftpb.Entry{next}})
	crash(t, to)
	to = openStore(t, dir)
	got, err := to.OpenLog(testGroup, newReplica, LogOptions{SegmentBytes: smallSegment})
	must(t, err)
	checkEntries(t, got, append(ents[:cp.Index-1:cp.Index-1], next))
	if bases := readAll(t, got, 0, cp.Next+1, 1<<20); len(bases) != int(cp.Next)+1 {
		t.Fatalf("%d batches, want %d", len(bases), cp.Next+1)
	}
}

func TestRule19InstallsLogsOfAnyShape(t *testing.T) {
	for name, shape := range map[string]func(t *testing.T, l *Log) ([]*raftpb.Entry, Checkpoint){
		"never written to": func(*testing.T, *Log) ([]*raftpb.Entry, Checkpoint) {
			return nil, checkpointAt(nil, 1)
		},
		"one segment": func(t *testing.T, l *Log) ([]*raftpb.Entry, Checkpoint) {
			ents := fillSegments(t, l, 3)
			applyTo(t, l, ents, 3)
			return ents, checkpointAt(ents, 3)
		},
		"ends with a segment": func(t *testing.T, l *Log) ([]*raftpb.Entry, Checkpoint) {
			ents := fillSegments(t, l, 30)
			at := l.Segments()[2].LastIndex
			applyTo(t, l, ents, at)
			return ents, checkpointAt(ents, at)
		},
		"trimmed": func(t *testing.T, l *Log) ([]*raftpb.Entry, Checkpoint) {
			ents := fillSegments(t, l, 30)
			applyTo(t, l, ents, 31)
			cp := checkpointAt(ents, 31)
			cp.LogStart = l.Segments()[2].Base + 1
			l.OfferCheckpoint(cp)
			must(t, l.Maintain())
			l.Trim(cp.LogStart)
			must(t, l.Maintain())
			if first, _ := l.FirstIndex(); first == 2 {
				t.Fatal("not trimmed")
			}
			return ents, cp
		},
		"trimmed to its newest segment": func(t *testing.T, l *Log) ([]*raftpb.Entry, Checkpoint) {
			ents := fillSegments(t, l, 30)
			applyTo(t, l, ents, 31)
			cp := checkpointAt(ents, 31)
			cp.LogStart = 30
			l.OfferCheckpoint(cp)
			must(t, l.Maintain())
			l.Trim(cp.LogStart)
			must(t, l.Maintain())
			if n := len(l.Segments()); n != 1 {
				t.Fatalf("%d segments", n)
			}
			return ents, cp
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, to := openStore(t, t.TempDir()), openStore(t, t.TempDir())
			l := openLog(t, s, LogOptions{SegmentBytes: smallSegment})
			ents, cp := shape(t, l)
			in := install(t, to)
			must(t, transfer(ship(t, l, cp), in))
			must(t, in.Finish())
			got := checkInstalled(t, to, ents, cp, 1)
			if start := got.StartOffset(); start != l.StartOffset() {
				t.Fatalf("log start %d, the source's is %d", start, l.StartOffset())
			}
			must(t, got.Close())
			if _, err := to.OpenLog(testGroup, newReplica, LogOptions{}); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// The format of an installed segment is that of any other; of the source's file nothing changes but the replica's id in the header.
func TestFormatOfAnInstalledSegment(t *testing.T) {
	s, to := openStore(t, t.TempDir()), openStore(t, t.TempDir())
	l, _, cp := shippedLog(t, s, 20)
	sh := ship(t, l, cp)
	in := install(t, to)
	must(t, transfer(sh, in))
	must(t, in.Finish())
	must(t, s.Close())
	text := func(s *Store, id uint64, name string) string {
		var b bytes.Buffer
		dump(t, &b, name, filepath.Join(s.replicaDir(replicaID{testGroup, id}), name))
		return b.String()
	}
	for _, f := range sh.Manifest().Files {
		db, err := bolt.Open(filepath.Join(to.replicaDir(in.id), f.Name()), 0o600, nil)
		must(t, err)
		must(t, db.Update(func(tx *bolt.Tx) error {
			h, err := readSegHeader(tx, in.id, f.First)
			if err != nil {
				return err
			}
			h.replica = testReplica
			return tx.Bucket(bucketHeader).Put(keyOnly, h.encode())
		}))
		must(t, db.Close())
		if was, is := text(s, testReplica, f.Name()), text(to, newReplica, f.Name()); was != is {
			t.Fatalf("%s is\n%s\nits source\n%s", f.Name(), is, was)
		}
	}
}

// An installed replica is a source like any other.
func TestInstalledReplicaCanBeShippedAgain(t *testing.T) {
	s, second, third := openStore(t, t.TempDir()), openStore(t, t.TempDir()), openStore(t, t.TempDir())
	l, ents, cp := shippedLog(t, s, 30)
	in := install(t, second)
	must(t, transfer(ship(t, l, cp), in))
	must(t, in.Finish())
	l = checkInstalled(t, second, ents, cp, 2)
	in, err := third.Install(testGroup, newReplica+1)
	must(t, err)
	must(t, transfer(ship(t, l, cp), in))
	must(t, in.Finish())
	l, err = third.OpenLog(testGroup, newReplica+1, LogOptions{SegmentBytes: smallSegment})
	must(t, err)
	checkEntries(t, l, ents[:cp.Index-1])
}

func TestRule19AnIdIsInstalledOnce(t *testing.T) {
	s, to := openStore(t, t.TempDir()), openStore(t, t.TempDir())
	l, _, cp := shippedLog(t, s, 10)
	must(t, to.Create(testGroup, 50, founders()))
	if _, err := to.Install(testGroup, 50); !errors.Is(err, ErrReplicaExists) {
		t.Fatalf("installs over a created replica: %v", err)
	}
	in := install(t, to)
	if _, err := to.Install(testGroup, newReplica); err == nil {
		t.Fatal("two installs of one id at once")
	}
	if err := to.Create(testGroup, newReplica, founders()); err == nil {
		t.Fatal("created while it is being installed")
	}
	must(t, transfer(ship(t, l, cp), in))
	must(t, in.Finish())
	if _, err := to.Install(testGroup, newReplica); !errors.Is(err, ErrReplicaExists) {
		t.Fatalf("installs twice: %v", err)
	}
	if err := in.Finish(); err == nil {
		t.Fatal("finished twice")
	}
	// One that was given up may begin again.
	in, err := to.Install(testGroup, newReplica+1)
	must(t, err)
	must(t, in.Abort())
	in, err = to.Install(testGroup, newReplica+1)
	must(t, err)
	must(t, in.Abort())
	des, err := os.ReadDir(to.dir + "/replicas")
	must(t, err)
	for _, de := range des {
		if strings.HasSuffix(de.Name(), installSuffix) {
			t.Fatalf("%s is left", de.Name())
		}
	}
}
