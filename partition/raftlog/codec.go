package raftlog

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
)

// formatVersion is the version of everything this package stores. A higher one on disk stops the broker from opening it.
const formatVersion = 1

// termRun says that the entries from index on have this term, up to the next run.
type termRun struct{ index, term uint64 }

// segSummary is what the memory of a log keeps of a segment, and what the headers of later segments repeat, so that a
// log opens without opening its sealed files.
type segSummary struct {
	first, last  uint64 // last == first-1: no entries
	base, next   int64
	lastAppendMS int64
	runMax       int64
	bytes        int64
}

// segHeader is written once, when a segment is made. prev index is first-1.
type segHeader struct {
	group, replica uint64
	first          uint64
	prevTerm       uint64
	base           int64
	runMax         int64 // before the first entry
	createdMS      int64
	catalog        []segSummary // the retained segments before this one
	runs           []termRun    // the retained terms up to prev index
}

// segState is rewritten by each append.
type segState struct {
	commit        uint64 // at most last
	last          uint64
	next          int64
	runMax        int64
	lastAppendMS  int64
	firstAppendMS int64
	bytes         int64
	runs          []termRun // of this segment's entries
}

// buf builds a stored value: a version, little endian fields, and a CRC32C over all of it at the end.
type encoder struct{ b []byte }

func newEncoder(capacity int) *encoder {
	e := &encoder{b: make([]byte, 0, capacity)}
	e.u64(formatVersion)
	return e
}
func (e *encoder) u64(v uint64) { e.b = binary.LittleEndian.AppendUint64(e.b, v) }
func (e *encoder) u32(v uint32) { e.b = binary.LittleEndian.AppendUint32(e.b, v) }
func (e *encoder) i64(v int64)  { e.u64(uint64(v)) }
func (e *encoder) runs(rs []termRun) {
	for _, r := range rs {
		e.u64(r.index)
		e.u64(r.term)
	}
}
func (e *encoder) done() []byte {
	e.u32(crc32.Checksum(e.b, castagnoli))
	return e.b
}

type decoder struct {
	b   []byte
	bad bool
}

// newDecoder checks checksum and version. It copies nothing: what it returns points into b.
func newDecoder(what string, b []byte) (*decoder, error) {
	if len(b) < 12 {
		return nil, corruptf("%s: %d bytes are too few", what, len(b))
	}
	body, sum := b[:len(b)-4], binary.LittleEndian.Uint32(b[len(b)-4:])
	if got := crc32.Checksum(body, castagnoli); got != sum {
		return nil, corruptf("%s: checksum %08x, stored %08x", what, got, sum)
	}
	d := &decoder{b: body}
	if v := d.u64(); v != formatVersion {
		return nil, fmt.Errorf("%s: format version %d, this broker knows %d; run the version that wrote it", what, v, formatVersion)
	}
	return d, nil
}
func (d *decoder) take(n int) []byte {
	if n < 0 || len(d.b) < n {
		d.bad = true
		d.b = nil
		return nil
	}
	v := d.b[:n]
	d.b = d.b[n:]
	return v
}
func (d *decoder) u64() uint64 {
	if v := d.take(8); v != nil {
		return binary.LittleEndian.Uint64(v)
	}
	return 0
}
func (d *decoder) u32() uint32 {
	if v := d.take(4); v != nil {
		return binary.LittleEndian.Uint32(v)
	}
	return 0
}
func (d *decoder) i64() int64 { return int64(d.u64()) }
func (d *decoder) runs(n int) []termRun {
	if n > len(d.b)/16 {
		d.bad = true
		return nil
	}
	rs := make([]termRun, n)
	for i := range rs {
		rs[i] = termRun{d.u64(), d.u64()}
	}
	return rs
}
func (d *decoder) done(what string) error {
	if d.bad || len(d.b) != 0 {
		return corruptf("%s: does not have the length its fields ask for", what)
	}
	return nil
}

func (h *segHeader) encode() []byte {
	e := newEncoder(80 + 56*len(h.catalog) + 16*len(h.runs))
	e.u64(h.group)
	e.u64(h.replica)
	e.u64(h.first)
	e.u64(h.prevTerm)
	e.i64(h.base)
	e.i64(h.runMax)
	e.i64(h.createdMS)
	e.u32(uint32(len(h.catalog)))
	e.u32(uint32(len(h.runs)))
	for _, s := range h.catalog {
		e.u64(s.first)
		e.u64(s.last)
		e.i64(s.base)
		e.i64(s.next)
		e.i64(s.lastAppendMS)
		e.i64(s.runMax)
		e.i64(s.bytes)
	}
	e.runs(h.runs)
	return e.done()
}

func decodeSegHeader(b []byte) (h segHeader, err error) {
	const what = "segment header"
	d, err := newDecoder(what, b)
	if err != nil {
		return h, err
	}
	h.group, h.replica, h.first, h.prevTerm = d.u64(), d.u64(), d.u64(), d.u64()
	h.base, h.runMax, h.createdMS = d.i64(), d.i64(), d.i64()
	nc, nr := int(d.u32()), int(d.u32())
	if nc > len(d.b)/56 {
		return h, corruptf("%s: %d catalog entries do not fit", what, nc)
	}
	h.catalog = make([]segSummary, nc)
	for i := range h.catalog {
		h.catalog[i] = segSummary{first: d.u64(), last: d.u64(), base: d.i64(), next: d.i64(), lastAppendMS: d.i64(), runMax: d.i64(), bytes: d.i64()}
	}
	h.runs = d.runs(nr)
	return h, d.done(what)
}

func (s *segState) encode() []byte {
	e := newEncoder(80 + 16*len(s.runs))
	e.u64(s.commit)
	e.u64(s.last)
	e.i64(s.next)
	e.i64(s.runMax)
	e.i64(s.lastAppendMS)
	e.i64(s.firstAppendMS)
	e.i64(s.bytes)
	e.u32(uint32(len(s.runs)))
	e.runs(s.runs)
	return e.done()
}

func decodeSegState(b []byte) (s segState, err error) {
	const what = "segment state"
	d, err := newDecoder(what, b)
	if err != nil {
		return s, err
	}
	s.commit, s.last = d.u64(), d.u64()
	s.next, s.runMax, s.lastAppendMS, s.firstAppendMS, s.bytes = d.i64(), d.i64(), d.i64(), d.i64(), d.i64()
	s.runs = d.runs(int(d.u32()))
	return s, d.done(what)
}

func (c *Checkpoint) encode() ([]byte, error) {
	conf, err := proto.Marshal(c.Conf)
	if err != nil {
		return nil, fmt.Errorf("encode the checkpoint's configuration: %w", err)
	}
	e := newEncoder(56 + len(conf) + len(c.State))
	e.u64(c.Index)
	e.u64(c.Term)
	e.i64(c.Next)
	e.i64(c.LogStart)
	e.u32(uint32(len(conf)))
	e.u32(uint32(len(c.State)))
	e.b = append(e.b, conf...)
	e.b = append(e.b, c.State...)
	return e.done(), nil
}

// decodeCheckpoint copies what it keeps.
func decodeCheckpoint(b []byte) (c Checkpoint, err error) {
	const what = "checkpoint"
	d, err := newDecoder(what, b)
	if err != nil {
		return c, err
	}
	c.Index, c.Term, c.Next, c.LogStart = d.u64(), d.u64(), d.i64(), d.i64()
	nc, ns := int(d.u32()), int(d.u32())
	conf := d.take(nc)
	c.State = append([]byte(nil), d.take(ns)...)
	if err := d.done(what); err != nil {
		return c, err
	}
	c.Conf = &raftpb.ConfState{}
	if err := proto.Unmarshal(conf, c.Conf); err != nil {
		return c, corruptf("%s: configuration: %v", what, err)
	}
	c.Conf = raftpb.EnsureConfState(c.Conf)
	return c, nil
}
