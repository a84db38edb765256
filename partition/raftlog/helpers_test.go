package raftlog

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/runnel-io/runnel/partition/env"
	"github.com/runnel-io/runnel/partition/record"
)

// testClock stands still until it is moved.
type testClock struct{ ms int64 }

func (c *testClock) Now() time.Time { return time.UnixMilli(c.ms) }

func (c *testClock) Wall() time.Time { return c.Now() }
func (c *testClock) AfterFunc(time.Duration, func()) env.Timer {
	panic("the raft log sets no timers")
}

const (
	testGroup   = 7
	testReplica = 3
	startMS     = 1_700_000_000_000
)

func founders() *raftpb.ConfState { return &raftpb.ConfState{Voters: []uint64{1, 2, 3}} }

func openStore(t testing.TB, dir string, edit ...func(*Options)) *Store {
	t.Helper()
	o := Options{Dir: dir, Clock: &testClock{ms: startMS}}
	for _, f := range edit {
		f(&o)
	}
	s, err := Open(o)
	if err != nil {
		t.Fatalf("open the store: %v", err)
	}
	t.Cleanup(func() { _ = s.Close() }) // a test that cares closes it itself
	return s
}

// openLog creates replica 3 of group 7 if need be and opens it.
func openLog(t testing.TB, s *Store, o LogOptions) *Log {
	t.Helper()
	must(t, s.Create(testGroup, testReplica, founders()))
	l, err := s.OpenLog(testGroup, testReplica, o)
	if err != nil {
		t.Fatalf("open the log: %v", err)
	}
	return l
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// crash lets go of the folder as a kill would: nothing is written, and the clean mark is not set.
func crash(t testing.TB, s *Store) {
	t.Helper()
	s.mu.Lock()
	s.closed = true
	for _, l := range s.open {
		for _, seg := range l.segs {
			seg.file.drop()
		}
	}
	s.mu.Unlock()
	must(t, s.meta.db.Close())
	must(t, s.lockFile.Close())
}

// filler is incompressible and shared by all batches of a size.
func filler(n int) []byte {
	r := rand.New(rand.NewPCG(1, uint64(n)))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint64())
	}
	return b
}

// batchData is an entry's data: envelope and one stamped batch of count records with about size bytes of values.
func batchData(t testing.TB, base int64, term uint64, ts int64, count, size int) []byte {
	t.Helper()
	recs := make([]record.Record, count)
	for i := range recs {
		recs[i] = record.Record{Value: filler(max(1, size/count)), TimestampMS: ts}
	}
	data := make([]byte, record.EnvelopeLen)
	record.PutEnvelope(data, record.KindBatch, ts+5)
	data, err := record.Encode(data, recs, record.EncodeOptions{ProducerID: -1})
	must(t, err)
	record.Stamp(data[record.EnvelopeLen:], base, int32(term))
	return data
}

func commandData(payload string, ms int64) []byte {
	data := make([]byte, record.EnvelopeLen, record.EnvelopeLen+len(payload))
	record.PutEnvelope(data, record.KindCommand, ms)
	return append(data, payload...)
}

func entry(index, term uint64, data []byte) *raftpb.Entry {
	return newEntry(&entryHeader{meta: record.Meta{Index: index, Term: term}}, data)
}

func confEntry(index, term uint64) *raftpb.Entry {
	e := entry(index, term, []byte("not looked at"))
	e.Type = raftpb.EntryConfChangeV2.Enum()
	return e
}

// batches makes n entries from index on, each a batch of one record, the first with base offset base.
func batches(t testing.TB, index, term uint64, base int64, n, size int) []*raftpb.Entry {
	t.Helper()
	var out []*raftpb.Entry
	for i := range n {
		out = append(out, entry(index+uint64(i), term, batchData(t, base+int64(i), term, startMS+base+int64(i), 1, size)))
	}
	return out
}

func appendAll(t testing.TB, l *Log, ws ...Write) {
	t.Helper()
	must(t, l.Append(ws))
}

// readAll returns the base offsets served in [offset, limit).
func readAll(t testing.TB, l *Log, offset, limit int64, maxBytes int) []int64 {
	t.Helper()
	var bases []int64
	for offset < limit {
		out, next, err := l.ReadBatches(offset, limit, maxBytes, nil)
		must(t, err)
		if next == offset {
			break
		}
		for b, err := range record.Batches(out) {
			must(t, err)
			must(t, record.CheckCRC(b))
			h, err := record.ParseHeader(b)
			must(t, err)
			bases = append(bases, h.BaseOffset)
		}
		offset = next
	}
	return bases
}

// forget drops the memory tail, so that reads go to disk.
func forget(l *Log) {
	l.mu.Lock()
	l.applied = l.last
	l.mu.Unlock()
	l.evict(^uint64(0))
}

func checkEntries(t testing.TB, l *Log, want []*raftpb.Entry) {
	t.Helper()
	if len(want) == 0 {
		return
	}
	lo := want[0].GetIndex()
	got, err := l.readEntries(lo, lo+uint64(len(want)), 1<<40)
	must(t, err)
	if len(got) != len(want) {
		t.Fatalf("read %d entries, want %d", len(got), len(want))
	}
	for i := range want {
		if err := sameEntry(got[i], want[i]); err != nil {
			t.Fatal(err)
		}
	}
}

func sameEntry(got, want *raftpb.Entry) error {
	if got.GetIndex() != want.GetIndex() || got.GetTerm() != want.GetTerm() || got.GetType() != want.GetType() || !bytes.Equal(got.Data, want.Data) {
		return fmt.Errorf("entry %d/%d of %d bytes, want %d/%d of %d bytes", got.GetIndex(), got.GetTerm(), len(got.Data),
			want.GetIndex(), want.GetTerm(), len(want.Data))
	}
	return nil
}
