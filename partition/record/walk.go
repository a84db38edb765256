package record

import "math"

// rawRecord is one record as it lies in the batch. A nil key or value is null; header bytes are not taken apart.
type rawRecord struct {
	key, value  []byte
	tsDelta     int64
	offsetDelta int64
	headers     []byte // after the header count
	numHeaders  int
}

// next takes the first record off b. The problem is "" if all is well; it says nothing of where the record is, which the
// caller knows. Every length is checked against the bytes that are left.
func (r *rawRecord) next(b []byte) (rest []byte, problem string) {
	size, n := varint(b)
	if n == 0 || size < minRecordLen-1 || size > int64(len(b)-n) {
		return nil, "its length is wrong"
	}
	rest = b[n+int(size):]
	b = b[n : n+int(size)]
	b = b[1:] // attributes, unused; there are at least minRecordLen-1 bytes
	if r.tsDelta, n = varint(b); n == 0 {
		return nil, "its timestamp is cut off"
	}
	b = b[n:]
	if r.offsetDelta, n = varint(b); n == 0 {
		return nil, "its offset is cut off"
	}
	b = b[n:]
	var ok bool
	if r.key, b, ok = nullableBytes(b); !ok {
		return nil, "its key is cut off"
	}
	if r.value, b, ok = nullableBytes(b); !ok {
		return nil, "its value is cut off"
	}
	count, n := varint(b)
	if n == 0 || count < 0 || count > int64(len(b)-n)/2 { // a header takes two bytes at least
		return nil, "its header count is wrong"
	}
	b = b[n:]
	r.headers, r.numHeaders = b, int(count)
	for range count {
		if _, _, b, ok = header(b); !ok {
			return nil, "a header is cut off"
		}
	}
	if len(b) != 0 {
		return nil, "bytes follow its headers"
	}
	return rest, ""
}

func header(b []byte) (key, value, rest []byte, ok bool) {
	if key, b, ok = nullableBytes(b); !ok || key == nil {
		return nil, nil, nil, false
	}
	value, b, ok = nullableBytes(b)
	return key, value, b, ok
}

// nullableBytes reads a length and that many bytes; -1 is null. An empty field is not nil.
func nullableBytes(b []byte) (field, rest []byte, ok bool) {
	size, n := varint(b)
	if n == 0 || size < -1 || size > int64(len(b)-n) {
		return nil, nil, false
	}
	if size < 0 {
		return nil, b[n:], true
	}
	end := n + int(size)
	return b[n:end:end], b[end:], true
}

// addTime is a record's timestamp; ok is false if it does not fit.
func addTime(first, delta int64) (ts int64, ok bool) {
	ts = first + delta
	if (delta > 0 && ts < first) || (delta < 0 && ts > first) || ts == math.MaxInt64 {
		return 0, false
	}
	return ts, true
}
