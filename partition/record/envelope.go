package record

import (
	"encoding/binary"
	"fmt"
)

// Kind is what a raft entry of a partition holds.
type Kind uint8

// The kinds. Values are part of the stored format.
const (
	// KindNone is an empty entry or a conf change: neither envelope nor payload.
	KindNone Kind = 0
	// KindBatch: the payload is one stamped record batch.
	KindBatch Kind = 1
	// KindCommand: the payload is opaque to the log and takes no offset.
	KindCommand Kind = 2
)

// EnvelopeLen is the length in bytes of what stands before an entry's payload: version (1), kind (1), append time of the
// leader's clock in milliseconds since the epoch (8, little endian).
const EnvelopeLen = 10

const envelopeVersion = 1

// PutEnvelope writes an envelope into the first EnvelopeLen bytes of dst.
func PutEnvelope(dst []byte, k Kind, appendMS int64) {
	_ = dst[EnvelopeLen-1]
	dst[0] = envelopeVersion
	dst[1] = byte(k)
	binary.LittleEndian.PutUint64(dst[2:], uint64(appendMS))
}

// OpenEnvelope takes an entry's data apart. Empty data is KindNone. An unknown version is an error.
func OpenEnvelope(data []byte) (k Kind, appendMS int64, payload []byte, err error) {
	if len(data) == 0 {
		return KindNone, 0, nil, nil
	}
	if len(data) < EnvelopeLen {
		return KindNone, 0, nil, fmt.Errorf("entry envelope: %d bytes, it takes %d", len(data), EnvelopeLen)
	}
	if data[0] != envelopeVersion {
		return KindNone, 0, nil, fmt.Errorf("entry envelope: version %d is unknown, this broker is older than the one that wrote it", data[0])
	}
	return Kind(data[1]), int64(binary.LittleEndian.Uint64(data[2:])), data[EnvelopeLen:], nil
}
