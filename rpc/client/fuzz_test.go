package client

import (
	"encoding/binary"
	"hash/crc32"
	"log/slog"
	"strings"
	"testing"

	"github.com/runnel-io/runnel/partition/env/allocs"
	"github.com/runnel-io/runnel/partition/record"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// FuzzFetched reads what a broker gives for records: from each batch come the records of all offsets from the reader's position on, or an error,
// or with SkipCorrupt the word that it was left out. Memory is bounded by what came, however many records it claims.
func FuzzFetched(f *testing.F) {
	batch := func(base int64, codec record.Codec, values ...string) []byte {
		var recs []record.Record
		for _, v := range values {
			recs = append(recs, record.Record{Key: []byte("k"), Value: []byte(v), TimestampMS: 5, Headers: []record.RecordHeader{{Key: "h"}}})
		}
		b, err := record.Encode(nil, recs, record.EncodeOptions{Codec: codec, ProducerID: -1})
		if err != nil {
			f.Fatal(err)
		}
		record.Stamp(b, base, 1)
		return b
	}
	two := append(batch(7, record.CodecNone, "a", "b", "c"), batch(10, record.CodecZstd, "d")...)
	lying := func(at int, n uint32) []byte { // of a batch of its own, in its header
		b := batch(7, record.CodecNone, "a", "b", strings.Repeat("c", 4096))
		binary.BigEndian.PutUint32(b[at:], n)
		return b
	}
	f.Add(two, int64(7), false, false)
	f.Add(two, int64(8), true, false)
	f.Add(two, int64(2), true, false)  // offsets are left out
	f.Add(two, int64(99), true, false) // all of it is known
	f.Add(two[:len(two)-5], int64(7), true, true)
	f.Add(lying(57, 1<<30), int64(7), true, true) // so many records
	f.Add(lying(23, 5), int64(7), false, true)    // so many offsets
	f.Add(lying(17, 5), int64(7), false, false)   // another checksum
	f.Fuzz(func(t *testing.T, b []byte, pos int64, skip, sign bool) {
		if pos < 0 {
			return
		}
		compressed := false
		b = append([]byte(nil), b...)
		for rest := b; ; {
			h, err := record.ParseHeader(rest)
			if err != nil {
				break
			}
			if compressed = compressed || h.Codec() != record.CodecNone; sign {
				binary.BigEndian.PutUint32(rest[17:], crc32.Checksum(rest[21:h.Size], castagnoli))
			}
			rest = rest[h.Size:]
		}
		most := 1<<20 + 256*uint64(len(b))
		if compressed {
			most += 2 * maxDecompressed
		}
		skipped := false
		r := &Reader{topic: "t", log: slog.New(slog.DiscardHandler), cfg: readerConfig{skipCorrupt: skip, onSkip: func(_ int32, from, to int64, err error) {
			if skipped = true; err == nil || from > to {
				t.Fatalf("%d to %d are left out: %v", from, to, err)
			}
		}}}
		p := &readPart{pos: pos, end: -1}
		r.it.cur, r.it.rest = fetched{part: p, batches: b}, b
		for calls := 0; len(r.it.rest) > 0; calls++ {
			at, err := p.pos, error(nil)
			skipped = false
			allocs.Most(t, most, func() { err = r.decode() })
			if err != nil {
				if e := runnelv1.AsError(err); skip || e.GetReason() != runnelv1.ErrorReason_ERROR_REASON_CORRUPT_BATCH || len(r.it.records) > 0 || p.pos != at || len(r.it.rest) > 0 {
					t.Fatalf("%d records, position %d after %d: %v", len(r.it.records), p.pos, at, err)
				}
				return
			}
			if n := int64(len(r.it.records)); p.pos < at || !skipped && p.pos != at+n || skipped && n > 0 || calls > len(b) {
				t.Fatalf("%d records from %d to %d, left out: %v", n, at, p.pos, skipped)
			}
			for i, rec := range r.it.records {
				if rec.Offset != at+int64(i) {
					t.Fatalf("record %d from %d has offset %d", i, at, rec.Offset)
				}
			}
		}
	})
}
