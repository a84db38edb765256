package record

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
)

// Record is one record. A nil Key or Value is null, which differs from an empty one.
type Record struct {
	Key, Value []byte
	Headers    []RecordHeader
	// TimestampMS is milliseconds since the epoch.
	TimestampMS int64
}

// RecordHeader is one header of a record. Keys may repeat.
type RecordHeader struct { //nolint:revive // Header is the batch's, and the stutter reads well beside Record
	Key   string
	Value []byte
}

// EncodeOptions are what a batch's header needs beside its records.
type EncodeOptions struct {
	Codec Codec
	// ProducerID is -1 for a batch without a sequence; the two others then count for nothing.
	ProducerID    int64
	ProducerEpoch int16
	BaseSequence  int32
}

// Encode appends one batch of recs to dst. It fails on no records and on a batch of 2 GiB or more.
func Encode(dst []byte, recs []Record, o EncodeOptions) ([]byte, error) {
	if len(recs) == 0 {
		return dst, errors.New("encode record batch: it has no records")
	}
	if !o.Codec.known() {
		return dst, fmt.Errorf("encode record batch: its compression %d is unknown", o.Codec)
	}
	b := Builder{}
	size := int64(HeaderLen)
	for i := range recs {
		size += int64(b.Add(recs[i]))
		if size > maxBatch {
			return dst, fmt.Errorf("encode record batch: it is above %d bytes", maxBatch)
		}
	}
	return b.Build(dst, o), nil
}

// Builder makes one batch at a time, record by record. The zero value is ready. It is for one goroutine.
type Builder struct {
	// buf is the encoded records.
	buf   []byte
	count int32
	first int64
	max   int64
}

// NewBuilder makes a Builder; the options given to Build count, these only size its buffer.
func NewBuilder(EncodeOptions) *Builder { return &Builder{} }

// Add encodes r, copying it, and returns by how many bytes the uncompressed batch grew.
func (b *Builder) Add(r Record) (grew int) {
	if b.count == 0 {
		b.first, b.max = r.TimestampMS, r.TimestampMS
	}
	b.max = max(b.max, r.TimestampMS)
	delta := r.TimestampMS - b.first

	size := 1 + varintLen(delta) + varintLen(int64(b.count)) + fieldLen(r.Key) + fieldLen(r.Value) + varintLen(int64(len(r.Headers)))
	for i := range r.Headers {
		h := &r.Headers[i]
		size += varintLen(int64(len(h.Key))) + len(h.Key) + fieldLen(h.Value)
	}
	before := len(b.buf)
	buf := slices.Grow(b.buf, size+5)
	buf = appendVarint(buf, int64(size))
	buf = append(buf, 0) // attributes
	buf = appendVarint(buf, delta)
	buf = appendVarint(buf, int64(b.count))
	buf = appendField(buf, r.Key)
	buf = appendField(buf, r.Value)
	buf = appendVarint(buf, int64(len(r.Headers)))
	for i := range r.Headers {
		h := &r.Headers[i]
		buf = appendVarint(buf, int64(len(h.Key)))
		buf = append(buf, h.Key...)
		buf = appendField(buf, h.Value)
	}
	b.buf = buf
	b.count++
	return len(buf) - before
}

// Len is the size in bytes of the batch if it were built without compression now.
func (b *Builder) Len() int { return HeaderLen + len(b.buf) }

// Count is how many records were added.
func (b *Builder) Count() int { return int(b.count) }

// Reset empties the builder and keeps its buffer.
func (b *Builder) Reset() {
	b.buf, b.count, b.first, b.max = b.buf[:0], 0, 0, 0
}

// Build appends the batch to dst and leaves the builder as it is. Without records it appends nothing. Records that the
// codec does not make smaller stay uncompressed.
func (b *Builder) Build(dst []byte, o EncodeOptions) []byte {
	if b.count == 0 {
		return dst
	}
	at := len(dst)
	codec := o.Codec
	dst = slices.Grow(dst, HeaderLen+len(b.buf))
	dst = dst[:at+HeaderLen]
	if codec != CodecNone {
		out, err := compress(dst, b.buf, codec)
		if err != nil || len(out)-len(dst) >= len(b.buf) {
			codec = CodecNone
		} else {
			dst = out
		}
	}
	if codec == CodecNone {
		dst = append(dst, b.buf...)
	}
	if o.ProducerID < 0 {
		o.ProducerID, o.ProducerEpoch, o.BaseSequence = -1, -1, -1
	}
	h := dst[at:]
	binary.BigEndian.PutUint64(h[posBaseOffset:], 0)
	binary.BigEndian.PutUint32(h[posLength:], uint32(len(h)-lengthOffset))
	binary.BigEndian.PutUint32(h[posLeaderEpoch:], ^uint32(0)) // -1: the leader stamps it
	h[posMagic] = magic2
	binary.BigEndian.PutUint16(h[posAttributes:], uint16(codec))
	binary.BigEndian.PutUint32(h[posLastDelta:], uint32(b.count-1))
	binary.BigEndian.PutUint64(h[posFirstTime:], uint64(b.first))
	binary.BigEndian.PutUint64(h[posMaxTime:], uint64(b.max))
	binary.BigEndian.PutUint64(h[posProducerID:], uint64(o.ProducerID))
	binary.BigEndian.PutUint16(h[posProdEpoch:], uint16(o.ProducerEpoch))
	binary.BigEndian.PutUint32(h[posBaseSeq:], uint32(o.BaseSequence))
	binary.BigEndian.PutUint32(h[posCount:], uint32(b.count))
	binary.BigEndian.PutUint32(h[posCRC:], crc32.Checksum(h[posAttributes:], castagnoli))
	return dst
}

func fieldLen(b []byte) int {
	if b == nil {
		return 1
	}
	return varintLen(int64(len(b))) + len(b)
}

func appendField(dst, b []byte) []byte {
	if b == nil {
		return append(dst, 1) // -1
	}
	dst = appendVarint(dst, int64(len(b)))
	return append(dst, b...)
}
