package record

// DefaultMaxRatio is how many times Limits.MaxBytes a batch may decompress to if Limits.MaxRatio is not set.
const DefaultMaxRatio = 16

// Limits bounds what Validate accepts.
type Limits struct {
	// MaxBytes is the largest batch in bytes as it arrives, header included. 0 = no limit but the format's 2 GiB.
	MaxBytes int
	// MaxRatio times MaxBytes is the most a batch may decompress to, but not above 256 MiB (or MaxBytes, if that is more).
	// 0 = DefaultMaxRatio.
	MaxRatio int
	// SkipCount leaves compressed batches compressed: their count is then believed.
	SkipCount bool
}

// MaxDecompressed is the most bytes that a batch's records may take decompressed.
func (l Limits) MaxDecompressed() int {
	if l.MaxBytes <= 0 {
		return maxBatch
	}
	ratio := l.MaxRatio
	if ratio <= 0 {
		ratio = DefaultMaxRatio
	}
	if l.MaxBytes > capDecompressed/ratio {
		return max(l.MaxBytes, capDecompressed)
	}
	return l.MaxBytes * ratio
}

// capDecompressed ends what MaxRatio grants to topics of very large batches: a few of them at once must not exhaust a broker.
const capDecompressed = 256 << 20

const maxBatch = 1<<31 - 1

// Validate checks that b is exactly one record batch as a producer may send it: sizes, CRC, attributes, and that the
// records are well formed and as many, with the offsets and at most the timestamp, that the header says. Compressed
// records are decompressed for that, within the limits, unless SkipCount. Errors are *BatchError.
func Validate(b []byte, l Limits) (Header, error) {
	h, err := ParseHeader(b)
	if err != nil {
		return Header{}, err
	}
	if h.Size != len(b) {
		return Header{}, badBatch("%d bytes follow it, send one batch a partition", len(b)-h.Size)
	}
	if l.MaxBytes > 0 && h.Size > l.MaxBytes {
		return Header{}, &BatchError{TooLarge: true, Problem: badBatch("it has %d bytes, the topic's max.message.bytes is %d", h.Size, l.MaxBytes).Problem}
	}
	if err := h.checkCRC(b); err != nil {
		return Header{}, err
	}
	if err := h.checkFields(); err != nil {
		return Header{}, err
	}
	codec := h.Codec()
	if codec == CodecNone {
		if err := h.walk(b[HeaderLen:]); err != nil {
			return Header{}, err
		}
		return h, nil
	}
	if l.SkipCount {
		return h, nil
	}
	buf := getBuffer()
	defer putBuffer(buf)
	*buf, err = decompress((*buf)[:0], b[HeaderLen:], codec, l.MaxDecompressed())
	if err != nil {
		return Header{}, err
	}
	if err := h.walk(*buf); err != nil {
		return Header{}, err
	}
	return h, nil
}

// checkFields checks what needs no look at the records.
func (h Header) checkFields() error {
	switch {
	case h.Attributes&^codecMask != 0:
		return badBatch("its attributes are %#x: control and transactional batches and broker timestamps are not taken from producers", uint16(h.Attributes))
	case !h.Codec().known():
		return badBatch("its compression %d is unknown", h.Codec())
	case h.Count == 0:
		return badBatch("it has no records")
	case h.LastOffsetDelta != h.Count-1:
		return badBatch("its last offset delta is %d with %d records", h.LastOffsetDelta, h.Count)
	case h.Idempotent() && h.BaseSequence < 0:
		return badBatch("its base sequence is %d with a producer id", h.BaseSequence)
	case h.Idempotent() && h.ProducerEpoch < 0:
		return badBatch("its producer epoch is %d with a producer id", h.ProducerEpoch)
	}
	return nil
}

// walk goes over the decompressed records.
func (h Header) walk(b []byte) error {
	if int64(h.Count)*minRecordLen > int64(len(b)) {
		return badBatch("it says it has %d records, in %d bytes", h.Count, len(b))
	}
	var r rawRecord
	for i := range h.Count {
		rest, problem := r.next(b)
		if problem != "" {
			return badBatch("record %d of %d: %s", i, h.Count, problem)
		}
		if r.offsetDelta != int64(i) {
			return badBatch("record %d of %d: its offset delta is %d", i, h.Count, r.offsetDelta)
		}
		if ts, ok := addTime(h.FirstTimestamp, r.tsDelta); !ok || ts > h.MaxTimestamp {
			return badBatch("record %d of %d: its timestamp is above the header's maximum", i, h.Count)
		}
		b = rest
	}
	if len(b) != 0 {
		return badBatch("%d bytes follow its %d records", len(b), h.Count)
	}
	return nil
}
