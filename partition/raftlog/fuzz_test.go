package raftlog

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"hash/crc32"
	"reflect"
	"testing"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/runnel-io/runnel/partition/env/allocs"
)

// decoderMost is what reading a value of a fuzz target's size may allocate. A count that is believed before its elements are there
// asks for gigabytes.
const decoderMost = 16 << 20

// FuzzStoredEntries reads entries as they are stored and shipped. What is refused is damage; what is accepted is byte for byte what this
// package would have written of the same entry, so a header can claim nothing that its data does not bear out.
func FuzzStoredEntries(f *testing.F) {
	shipped := func(ents ...*raftpb.Entry) (out []byte) {
		st := segState{last: 4, next: 10, runMax: -1}
		for _, e := range ents {
			var p pending
			if err := prepare(&p, e, &st); err != nil {
				f.Fatal(err)
			}
			out = append(append(out, p.raw[:]...), e.Data...)
		}
		return out
	}
	f.Add(shipped(entry(5, 2, nil)), false)
	f.Add(shipped(batches(f, 5, 2, 10, 3, 20)...), false)
	f.Add(shipped(entry(5, 2, commandData("trim", 7)), confEntry(6, 2), batches(f, 7, 3, 10, 1, 5000)[0]), true)
	f.Fuzz(func(t *testing.T, p []byte, sign bool) {
		if sign { // let the fuzzer past the checksums
			p = signEntries(p)
		}
		var ents []*raftpb.Entry
		var raws [][]byte
		var err error
		allocs.Most(t, decoderMost+64*uint64(len(p)), func() { ents, raws, err = splitTail(p, 5, 1<<40) })
		if err != nil {
			if !isCorrupt(err) {
				t.Fatalf("refused with %T: %v", err, err)
			}
			return
		}
		size := 0
		for i, e := range ents {
			if e.GetIndex() != 5+uint64(i) {
				t.Fatalf("entry %d has index %d", i, e.GetIndex())
			}
			h, err := parseEntryHeader(raws[i], e.GetIndex())
			if err != nil || h.checkData(e.Data) != nil {
				t.Fatalf("entry %d was accepted and is not: %v", i, err)
			}
			size += len(raws[i]) + len(e.Data)
			// What its fields say is written back as it was, but for the reserved bits and bytes.
			var again [entryHeaderLen]byte
			putEntryHeader(again[:], &h)
			back, err := parseEntryHeader(again[:], e.GetIndex())
			if err != nil || back != h {
				t.Fatalf("entry %d: %+v, written back %+v: %v", i, h, back, err)
			}
		}
		if size != len(p) {
			t.Fatalf("%d of %d bytes were read", size, len(p))
		}
	})
}

// signEntries sets the checksums of entries, as far as there are whole ones.
func signEntries(p []byte) []byte {
	p = append([]byte(nil), p...)
	for rest := p; len(rest) >= entryHeaderLen; {
		n := min(int(binary.LittleEndian.Uint32(rest[4:])), len(rest)-entryHeaderLen)
		binary.LittleEndian.PutUint32(rest[88:], crc32.Checksum(rest[entryHeaderLen:entryHeaderLen+n], castagnoli))
		binary.LittleEndian.PutUint32(rest[92:], crc32.Checksum(rest[:92], castagnoli))
		rest = rest[entryHeaderLen+n:]
	}
	return p
}

// Which value FuzzStoredValues reads.
const (
	valueHeader = iota
	valueState
	valueCheckpoint
	valueRecord
	valueManifest
	values
)

// FuzzStoredValues reads the other things that are stored or come from another broker: a segment's header and state, checkpoints,
// meta.db's records, manifests. What is accepted encodes to the same bytes, and what a manifest asks for can be counted.
func FuzzStoredValues(f *testing.F) {
	runs := []termRun{{1, 1}, {5, 2}}
	h := segHeader{group: 7, replica: 1, first: 9, prevTerm: 2, base: 30, runMax: 99, createdMS: 5, runs: runs,
		catalog: []segSummary{{first: 2, last: 8, next: 30, lastAppendMS: 4, runMax: 99, bytes: 1000}}}
	f.Add(byte(valueHeader), h.encode(), false)
	st := segState{commit: 8, last: 9, next: 31, runMax: 99, lastAppendMS: 4, firstAppendMS: 3, bytes: 77, runs: runs}
	f.Add(byte(valueState), st.encode(), true)
	lying := (&segState{}).encode() // of how many terms it tells
	binary.LittleEndian.PutUint32(lying[len(lying)-8:], 1<<28)
	f.Add(byte(valueState), lying, true)
	cp := Checkpoint{Index: 9, Term: 2, Next: 31, LogStart: 3, Conf: founders(), State: []byte("folded")}
	raw, err := cp.encode()
	must(f, err)
	f.Add(byte(valueCheckpoint), raw, false)
	f.Add(byte(valueRecord), metaRecord{flags: recordCreated, term: 3, vote: 1}.encode(), false)
	m, err := json.Marshal(Manifest{
		Group: testGroup, Replica: testReplica, Term: 2, Index: 9, IndexTerm: 2, TailFirst: 9, TailPrevTerm: 2, TailBase: 30, TailRunMax: 99, TailBytes: 10,
		Files: []ShippedFile{{First: 2, Last: 8, Next: 30, RunMax: 99, EntryBytes: 1000, Bytes: 1 << 20}}, CheckpointBytes: int64(len(raw)),
	})
	must(f, err)
	f.Add(byte(valueManifest), m, false)
	f.Fuzz(func(t *testing.T, which byte, b []byte, sign bool) {
		if sign && len(b) >= 4 {
			b = append([]byte(nil), b...)
			binary.LittleEndian.PutUint32(b[len(b)-4:], crc32.Checksum(b[:len(b)-4], castagnoli))
		}
		allocs.Most(t, decoderMost+64*uint64(len(b)), func() { readValue(t, which%values, b) })
	})
}

func readValue(t *testing.T, which byte, b []byte) {
	var again []byte
	var err error
	switch which {
	case valueHeader:
		var h segHeader
		if h, err = decodeSegHeader(b); err == nil {
			again = h.encode()
		}
	case valueState:
		var st segState
		if st, err = decodeSegState(b); err == nil {
			again = st.encode()
		}
	case valueCheckpoint:
		rereadCheckpoint(t, b)
		return
	case valueRecord:
		var r metaRecord
		if r, err = decodeMetaRecord(b); err == nil {
			again = r.encode()
			again[0] = b[0]
			copy(again[2:8], b[2:8]) // reserved
			binary.LittleEndian.PutUint32(again[24:], crc32.Checksum(again[:24], castagnoli))
		}
	case valueManifest:
		readManifest(t, b)
		return
	}
	if err != nil {
		return
	}
	if !reflect.DeepEqual(again, b) {
		t.Fatalf("read %x, which is written as %x", b, again)
	}
}

// rereadCheckpoint compares what is read twice: the bytes of a protobuf message may differ and mean the same.
func rereadCheckpoint(t *testing.T, b []byte) {
	cp, err := decodeCheckpoint(b)
	if err != nil {
		return
	}
	raw, err := cp.encode()
	if err != nil {
		t.Fatal(err)
	}
	again, err := decodeCheckpoint(raw)
	if err != nil || !proto.Equal(again.Conf, cp.Conf) {
		t.Fatalf("read %+v, then %+v: %v", cp, again, err)
	}
	again.Conf = cp.Conf
	if !reflect.DeepEqual(again, cp) {
		t.Fatalf("read %+v, then %+v", cp, again)
	}
}

// readManifest: whatever passes the check has files and a tail that follow each other, of sizes that add up.
func readManifest(t *testing.T, b []byte) {
	var m Manifest
	if json.Unmarshal(b, &m) != nil {
		return
	}
	cp := Checkpoint{Index: m.Index, Term: m.IndexTerm}
	if m.check(replicaID{testGroup, testReplica + 1}, &cp) != nil {
		return
	}
	in := &Installer{m: &m}
	left := m.TailBytes + m.CheckpointBytes
	for _, file := range m.Files {
		in.files = append(in.files, &installFile{ShippedFile: file})
		if file.Last-file.First+1 == 0 || file.Bytes <= 0 {
			t.Fatalf("a file of %d bytes with entries %d to %d", file.Bytes, file.First, file.Last)
		}
		left += file.Bytes
	}
	if m.Bytes() < 0 || left < 0 || in.need() < m.Bytes() {
		t.Fatalf("%d bytes, of which %d are needed on the disk: an install of it would not be held against the free space", m.Bytes(), in.need())
	}
}

func TestAManifestOfImpossibleSizesIsRefused(t *testing.T) {
	good := Manifest{
		Group: testGroup, Replica: testReplica, Term: 2, Index: 9, IndexTerm: 2, TailFirst: 9, TailPrevTerm: 2, TailBase: 30, TailRunMax: 99,
		Files: []ShippedFile{{First: 2, Last: 8, Next: 30, RunMax: 99, EntryBytes: 1000, Bytes: 1 << 20}},
	}
	check := func(edit func(*Manifest)) error {
		m := good
		m.Files = append([]ShippedFile(nil), good.Files...)
		edit(&m)
		return m.check(replicaID{testGroup, testReplica + 1}, &Checkpoint{Index: m.Index, Term: m.IndexTerm})
	}
	if err := check(func(*Manifest) {}); err != nil {
		t.Fatal(err)
	}
	for name, edit := range map[string]func(*Manifest){
		"a negative tail":       func(m *Manifest) { m.TailBytes = -1 },
		"a negative checkpoint": func(m *Manifest) { m.CheckpointBytes = -1 },
		"a giant checkpoint":    func(m *Manifest) { m.CheckpointBytes = MaxCheckpointBytes + 1 },
		"a giant file":          func(m *Manifest) { m.Files[0].Bytes = 1 << 62 },
		"a giant tail":          func(m *Manifest) { m.TailBytes = 1 << 62 },
		"negative entries":      func(m *Manifest) { m.Files[0].EntryBytes = -5 },
	} {
		if check(edit) == nil {
			t.Errorf("%s passed", name)
		}
	}
	var d *DamagedError
	if errors.As(check(func(m *Manifest) { m.TailBytes = -1 }), &d) {
		t.Error("the check wraps its own error") // Begin does
	}
}
