package record

import "iter"

// Each calls f for each record of the first batch in b, with its offset, until f returns an error, which Each returns.
// maxBytes bounds what a compressed batch may decompress to (0: 2 GiB). The CRC is not checked. Errors of the batch
// itself are *BatchError; f may have seen the records before the fault.
//
// Keys, values and header values point into b, or into a buffer made for this one batch if it is compressed: they
// stay good as long as b is not written to.
func Each(b []byte, maxBytes int, f func(offset int64, r Record) error) error {
	h, err := ParseHeader(b)
	if err != nil {
		return err
	}
	recs := b[HeaderLen:h.Size]
	if c := h.Codec(); c != CodecNone {
		if maxBytes <= 0 {
			maxBytes = maxBatch
		}
		if recs, err = decompress(nil, recs, c, maxBytes); err != nil {
			return err
		}
	}
	if int64(h.Count)*minRecordLen > int64(len(recs)) {
		return badBatch("it says it has %d records, in %d bytes", h.Count, len(recs))
	}
	var (
		raw rawRecord
		hs  headerSlab
	)
	for i := range h.Count {
		rest, problem := raw.next(recs)
		if problem != "" {
			return badBatch("record %d of %d: %s", i, h.Count, problem)
		}
		if raw.offsetDelta < 0 || raw.offsetDelta > int64(h.LastOffsetDelta) {
			return badBatch("record %d of %d: its offset delta is %d", i, h.Count, raw.offsetDelta)
		}
		r := Record{Key: raw.key, Value: raw.value, TimestampMS: h.FirstTimestamp + raw.tsDelta}
		if raw.numHeaders > 0 {
			r.Headers = hs.take(raw.headers, raw.numHeaders)
		}
		if err := f(h.BaseOffset+raw.offsetDelta, r); err != nil {
			return err
		}
		recs = rest
	}
	return nil
}

// headerSlab makes header slices in bulk and makes a key's string once if, as is usual, the record before had the
// same key at the same place.
type headerSlab struct {
	free []RecordHeader
	last []RecordHeader
}

func (s *headerSlab) take(b []byte, n int) []RecordHeader {
	if len(s.free) < n {
		s.free = make([]RecordHeader, max(n, 64))
	}
	out := s.free[:n:n]
	s.free = s.free[n:]
	for i := range out {
		key, value, rest, _ := header(b) // next has checked it
		b = rest
		if i < len(s.last) && s.last[i].Key == string(key) {
			out[i].Key = s.last[i].Key
		} else {
			out[i].Key = string(key)
		}
		out[i].Value = value
	}
	s.last = out
	return out
}

// Batches splits concatenated batches. A batch that is cut off or malformed ends it with an error (*BatchError) and what
// is left.
func Batches(b []byte) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for len(b) > 0 {
			h, err := ParseHeader(b)
			if err != nil {
				yield(b, err)
				return
			}
			if !yield(b[:h.Size:h.Size], nil) {
				return
			}
			b = b[h.Size:]
		}
	}
}
