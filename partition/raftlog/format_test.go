package raftlog

import (
	"bytes"
	"crypto/sha256"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	bolt "go.etcd.io/bbolt"
	"go.etcd.io/raft/v3/raftpb"
)

var rewrite = flag.Bool("rewrite", false, "rewrite the golden files")

// dump lists every key of a file in order, in hex; a long value by length, start and hash.
func dump(t *testing.T, w io.Writer, title, path string) {
	t.Helper()
	db, err := bolt.Open(path, 0o600, &bolt.Options{ReadOnly: true})
	must(t, err)
	fmt.Fprintf(w, "== %s, page size %d\n", title, db.Info().PageSize)
	var walk func(indent string, each func(func(k, v []byte) error) error, sub func(k []byte) *bolt.Bucket) error
	walk = func(indent string, each func(func(k, v []byte) error) error, sub func(k []byte) *bolt.Bucket) error {
		return each(func(k, v []byte) error {
			switch {
			case v == nil:
				fmt.Fprintf(w, "%sbucket %q\n", indent, k)
				b := sub(k)
				return walk(indent+"  ", b.ForEach, b.Bucket)
			case string(k) == "incarnation":
				fmt.Fprintf(w, "%s%q = %d bytes, random\n", indent, k, len(v))
			case string(k) == "sum":
				fmt.Fprintf(w, "%s%q = %d bytes, transaction %d and a sum over all others\n", indent, k, len(v), v[0])
			case len(v) > 512:
				fmt.Fprintf(w, "%s%x = %d bytes %x... sha256 %x\n", indent, k, len(v), v[:32], sha256.Sum256(v))
			default:
				fmt.Fprintf(w, "%s%x =", indent, k)
				for i := 0; i < len(v); i += 32 {
					fmt.Fprintf(w, "\n%s  %04x %x", indent, i, v[i:min(len(v), i+32)])
				}
				fmt.Fprintln(w)
			}
			return nil
		})
	}
	must(t, db.View(func(tx *bolt.Tx) error {
		return walk("", func(f func(k, v []byte) error) error {
			return tx.ForEach(func(name []byte, _ *bolt.Bucket) error { return f(name, nil) })
		}, tx.Bucket)
	}))
	must(t, db.Close())
}

// The format of README.md, byte for byte. A change here is a new format version, but for a key of meta.db that releases without it leave alone.
func TestFormatOnDisk(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	must(t, s.SetIdentity(Identity{ClusterID: "cluster", BrokerID: 4}))
	must(t, s.Create(8, 9, founders()))
	must(t, s.Quarantine(8, 9, "a reason"))
	l := openLog(t, s, LogOptions{SegmentBytes: 8 << 10})
	ents := []*raftpb.Entry{
		entry(2, 1, nil),
		entry(3, 1, batchData(t, 0, 1, startMS, 2, 100)),
		entry(4, 1, batchData(t, 99, 1, startMS+1, 1, 10)), // void
		entry(5, 1, commandData("a command", startMS+2)),
		confEntry(6, 1),
		entry(7, 2, batchData(t, 2, 2, startMS+3, 1, 5000)),
	}
	appendAll(t, l, Write{Term: 2, Vote: 1, Commit: 6, Entries: ents})
	l.SetApplied(5)
	l.OfferCheckpoint(Checkpoint{Index: 5, Term: 1, Conf: founders(), Next: 2, LogStart: 1, State: []byte("folded")})
	appendAll(t, l, Write{Commit: 7, Entries: []*raftpb.Entry{entry(8, 2, batchData(t, 3, 2, startMS+4, 1, 4500))}})
	folder := l.dir
	must(t, s.Close())

	var got bytes.Buffer
	fmt.Fprintf(&got, "== folder %s\n", filepath.Base(folder))
	dump(t, &got, "meta.db", filepath.Join(dir, "meta.db"))
	for _, first := range []uint64{2, 8} {
		dump(t, &got, segName(first), filepath.Join(folder, segName(first)))
	}
	golden := filepath.Join("testdata", "format.golden")
	if *rewrite {
		must(t, os.MkdirAll("testdata", 0o755))
		must(t, os.WriteFile(golden, got.Bytes(), 0o644))
	}
	want, err := os.ReadFile(golden)
	must(t, err)
	if !bytes.Equal(got.Bytes(), want) {
		t.Fatalf("the format changed; if that is meant, raise formatVersion and run with -rewrite. Got:\n%s", got.String())
	}
}
