package record

import "fmt"

// Codec is the compression of a batch's records, as the lowest three bits of its attributes name it.
type Codec int8

// The codecs of the batch format. The values are part of the format.
const (
	CodecNone   Codec = 0
	CodecGzip   Codec = 1
	CodecSnappy Codec = 2
	CodecLZ4    Codec = 3
	CodecZstd   Codec = 4
)

const codecMask = 0x07

var codecNames = [...]string{"none", "gzip", "snappy", "lz4", "zstd"}

// ParseCodec reads a codec's name as compression.type has it: none, gzip, snappy, lz4 or zstd.
func ParseCodec(s string) (Codec, error) {
	for i, n := range codecNames {
		if s == n {
			return Codec(i), nil
		}
	}
	return CodecNone, fmt.Errorf("unknown compression %q: use none, gzip, snappy, lz4 or zstd", s)
}

// String is the codec's name as ParseCodec reads it.
func (c Codec) String() string {
	if c < 0 || int(c) >= len(codecNames) {
		return fmt.Sprintf("codec(%d)", int8(c))
	}
	return codecNames[c]
}

func (c Codec) known() bool { return c >= CodecNone && c <= CodecZstd }
