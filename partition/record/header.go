package record

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
)

// HeaderLen is the length in bytes of a batch's fixed part, before its records.
const HeaderLen = 61

// Positions of the header's fields.
const (
	posBaseOffset  = 0
	posLength      = 8
	posLeaderEpoch = 12
	posMagic       = 16
	posCRC         = 17
	posAttributes  = 21
	posLastDelta   = 23
	posFirstTime   = 27
	posMaxTime     = 35
	posProducerID  = 43
	posProdEpoch   = 51
	posBaseSeq     = 53
	posCount       = 57

	// lengthOffset is what the length field does not count: the base offset and itself.
	lengthOffset = 12
	// minRecordLen is the least a record takes: seven varints and bytes of one byte each.
	minRecordLen = 7

	magic2 = 2
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// BatchError says what is wrong with a batch.
type BatchError struct {
	// Problem is for a person.
	Problem string
	// TooLarge: the batch, or what it decompresses to, is above the limit; otherwise it is malformed.
	TooLarge bool
}

// Error makes *BatchError a Go error.
func (e *BatchError) Error() string { return "record batch: " + e.Problem }

func badBatch(format string, args ...any) *BatchError {
	return &BatchError{Problem: fmt.Sprintf(format, args...)}
}

// Header is the fixed part of a batch.
type Header struct {
	BaseOffset int64
	// Size is that of the whole batch in bytes, header included.
	Size            int
	LeaderEpoch     int32
	CRC             uint32
	Attributes      int16
	LastOffsetDelta int32
	// FirstTimestamp and MaxTimestamp are milliseconds since the epoch, as the producer gave them.
	FirstTimestamp, MaxTimestamp int64
	ProducerID                   int64
	ProducerEpoch                int16
	BaseSequence                 int32
	Count                        int32
}

// ParseHeader reads the header of the first batch in b. It checks magic and sizes and that the whole batch is there, but
// neither the CRC nor the records. Errors are *BatchError.
func ParseHeader(b []byte) (Header, error) {
	h, err := parseHeader(b)
	if err != nil {
		return Header{}, err
	}
	if h.Size > len(b) {
		return Header{}, badBatch("it is cut off: %d bytes of %d", len(b), h.Size)
	}
	return h, nil
}

// parseHeader is ParseHeader without the demand that the records are there.
func parseHeader(b []byte) (Header, error) {
	if len(b) < HeaderLen {
		return Header{}, badBatch("it is cut off: %d bytes, a header takes %d", len(b), HeaderLen)
	}
	if m := int8(b[posMagic]); m != magic2 {
		return Header{}, badBatch("magic is %d, only record batches of magic 2 are taken", m)
	}
	length := int32(binary.BigEndian.Uint32(b[posLength:]))
	if length < HeaderLen-lengthOffset || length > math.MaxInt32-lengthOffset {
		return Header{}, badBatch("its length field is %d", length)
	}
	h := Header{
		BaseOffset:      int64(binary.BigEndian.Uint64(b[posBaseOffset:])),
		Size:            int(length) + lengthOffset,
		LeaderEpoch:     int32(binary.BigEndian.Uint32(b[posLeaderEpoch:])),
		CRC:             binary.BigEndian.Uint32(b[posCRC:]),
		Attributes:      int16(binary.BigEndian.Uint16(b[posAttributes:])),
		LastOffsetDelta: int32(binary.BigEndian.Uint32(b[posLastDelta:])),
		FirstTimestamp:  int64(binary.BigEndian.Uint64(b[posFirstTime:])),
		MaxTimestamp:    int64(binary.BigEndian.Uint64(b[posMaxTime:])),
		ProducerID:      int64(binary.BigEndian.Uint64(b[posProducerID:])),
		ProducerEpoch:   int16(binary.BigEndian.Uint16(b[posProdEpoch:])),
		BaseSequence:    int32(binary.BigEndian.Uint32(b[posBaseSeq:])),
		Count:           int32(binary.BigEndian.Uint32(b[posCount:])),
	}
	if h.LastOffsetDelta < 0 || h.LastOffsetDelta == math.MaxInt32 {
		return Header{}, badBatch("its last offset delta is %d", h.LastOffsetDelta)
	}
	if h.Count < 0 {
		return Header{}, badBatch("its record count is %d", h.Count)
	}
	return h, nil
}

// Codec is how the records are compressed. It may be none of the known ones.
func (h Header) Codec() Codec { return Codec(h.Attributes & codecMask) }

// Idempotent tells whether the batch carries a producer's sequence.
func (h Header) Idempotent() bool { return h.ProducerID >= 0 }

// NextOffset is the offset after the batch's last record.
func (h Header) NextOffset() int64 { return h.BaseOffset + int64(h.LastOffsetDelta) + 1 }

// Stamp writes base offset and leader epoch into a batch, in place. The CRC does not cover them. The batch must have been
// validated: Stamp panics on less than a header.
func Stamp(b []byte, baseOffset int64, leaderEpoch int32) {
	_ = b[HeaderLen-1]
	binary.BigEndian.PutUint64(b[posBaseOffset:], uint64(baseOffset))
	binary.BigEndian.PutUint32(b[posLeaderEpoch:], uint32(leaderEpoch))
}

// CheckCRC checks the CRC of the first batch in b. Errors are *BatchError.
func CheckCRC(b []byte) error {
	h, err := ParseHeader(b)
	if err != nil {
		return err
	}
	return h.checkCRC(b)
}

func (h Header) checkCRC(b []byte) error {
	if got := crc32.Checksum(b[posAttributes:h.Size], castagnoli); got != h.CRC {
		return badBatch("its CRC is %08x, its content has %08x", h.CRC, got)
	}
	return nil
}
