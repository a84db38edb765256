package raftlog

import (
	"encoding/binary"
	"hash/crc32"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/runnel-io/runnel/partition/record"
)

// The stored entry: a fixed header, then the raft entry's data as it is. README.md has the byte diagram.
const (
	entryVersion   = 1
	entryHeaderLen = 96

	flagVoid = 1 << 0

	// Values of this many bytes of data or more get a nested bucket of their own, since bbolt rewrites a leaf of up to
	// four plain values on each append (4.5 times the bytes for 1 MiB values, 1.02 times in nested buckets).
	nestedMin = 4096
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// entryHeader is what an entry's header holds besides its checksums.
type entryHeader struct {
	meta    record.Meta
	typ     raftpb.EntryType
	runMax  int64 // running maximum of batch timestamps up to and with this entry; -1 = none yet
	dataLen int
	dataCRC uint32
}

func putEntryHeader(b []byte, h *entryHeader) {
	_ = b[entryHeaderLen-1]
	le := binary.LittleEndian
	b[0] = entryVersion
	b[1] = byte(h.typ)
	b[2] = byte(h.meta.Kind)
	b[3] = 0
	if h.meta.Void {
		b[3] = flagVoid
	}
	le.PutUint32(b[4:], uint32(h.dataLen))
	le.PutUint64(b[8:], h.meta.Term)
	le.PutUint64(b[16:], h.meta.Index)
	le.PutUint64(b[24:], uint64(h.meta.Base))
	le.PutUint64(b[32:], uint64(h.meta.Next))
	le.PutUint64(b[40:], uint64(h.meta.AppendMS))
	le.PutUint64(b[48:], uint64(h.runMax))
	le.PutUint64(b[56:], uint64(h.meta.MaxTimestamp))
	le.PutUint64(b[64:], uint64(h.meta.ProducerID))
	le.PutUint32(b[72:], uint32(h.meta.BaseSequence))
	le.PutUint32(b[76:], uint32(h.meta.Count))
	le.PutUint16(b[80:], uint16(h.meta.ProducerEpoch))
	b[82], b[83] = 0, 0
	le.PutUint32(b[84:], uint32(h.meta.Size))
	le.PutUint32(b[88:], h.dataCRC)
	le.PutUint32(b[92:], crc32.Checksum(b[:92], castagnoli))
}

// parseEntryHeader checks the header's own checksum and that it belongs to index.
func parseEntryHeader(b []byte, index uint64) (h entryHeader, err error) {
	if len(b) < entryHeaderLen {
		return h, corruptf("entry %d: header of %d bytes, it takes %d", index, len(b), entryHeaderLen)
	}
	le := binary.LittleEndian
	if got, want := crc32.Checksum(b[:92], castagnoli), le.Uint32(b[92:]); got != want {
		return h, corruptf("entry %d: header checksum %08x, stored %08x", index, got, want)
	}
	if b[0] != entryVersion {
		return h, corruptf("entry %d: unknown entry version %d", index, b[0])
	}
	h.typ = raftpb.EntryType(b[1])
	h.dataLen = int(le.Uint32(b[4:]))
	h.runMax = int64(le.Uint64(b[48:]))
	h.dataCRC = le.Uint32(b[88:])
	h.meta = record.Meta{
		Index:         le.Uint64(b[16:]),
		Term:          le.Uint64(b[8:]),
		Conf:          h.typ != raftpb.EntryNormal,
		Kind:          record.Kind(b[2]),
		Void:          b[3]&flagVoid != 0,
		AppendMS:      int64(le.Uint64(b[40:])),
		Base:          int64(le.Uint64(b[24:])),
		Next:          int64(le.Uint64(b[32:])),
		MaxTimestamp:  int64(le.Uint64(b[56:])),
		ProducerID:    int64(le.Uint64(b[64:])),
		ProducerEpoch: int16(le.Uint16(b[80:])),
		BaseSequence:  int32(le.Uint32(b[72:])),
		Count:         int32(le.Uint32(b[76:])),
		Size:          int(le.Uint32(b[84:])),
	}
	if h.meta.Index != index {
		return h, corruptf("entry %d: the header says index %d", index, h.meta.Index)
	}
	return h, nil
}

func (h *entryHeader) checkData(data []byte) error {
	if len(data) != h.dataLen {
		return corruptf("entry %d: %d bytes of data, the header says %d", h.meta.Index, len(data), h.dataLen)
	}
	if got := crc32.Checksum(data, castagnoli); got != h.dataCRC {
		return corruptf("entry %d: data checksum %08x, stored %08x", h.meta.Index, got, h.dataCRC)
	}
	return nil
}

// batch tells whether the entry holds records to serve.
func (h *entryHeader) batch() bool { return h.meta.Kind == record.KindBatch && !h.meta.Void }

// entryBox keeps an entry and the fields raftpb points to in one allocation.
type entryBox struct {
	e           raftpb.Entry
	term, index uint64
	typ         raftpb.EntryType
}

func newEntry(h *entryHeader, data []byte) *raftpb.Entry {
	b := &entryBox{term: h.meta.Term, index: h.meta.Index, typ: h.typ}
	b.e.Term, b.e.Index, b.e.Type = &b.term, &b.index, &b.typ
	b.e.Data = data
	return &b.e
}

// entrySize is proto.Size of an entry whose fields are all set, without the reflection.
func entrySize(e *raftpb.Entry) uint64 {
	n := 2 + 1 + varintLen(e.GetTerm()) + 1 + varintLen(e.GetIndex())
	if d := len(e.Data); d > 0 {
		n += 1 + varintLen(uint64(d)) + d
	}
	return uint64(n)
}

func varintLen(v uint64) int {
	n := 1
	for v >= 0x80 {
		v >>= 7
		n++
	}
	return n
}

func indexKey(dst *[8]byte, i uint64) []byte {
	binary.BigEndian.PutUint64(dst[:], i)
	return dst[:]
}
