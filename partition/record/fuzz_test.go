package record

import (
	"errors"
	"math"
	"testing"

	"github.com/runnel-io/runnel/partition/env/allocs"
)

// fuzzLimits let a batch decompress to 1 MiB. fuzzMost is what reading one may allocate: buffers that grow to that, what the codecs keep,
// and twenty bytes for each of headers' two. The bombs of the seeds hold more.
var fuzzLimits = Limits{MaxBytes: 1 << 16}

const (
	fuzzMost = 40 << 20
	bombSize = 100 << 20
)

// FuzzBatch: arbitrary bytes are refused with a BatchError or are records as the header says, within bounded memory, and a log takes in
// what was accepted.
func FuzzBatch(f *testing.F) {
	for _, codec := range allCodecs {
		f.Add(kafkaBatch(f, someRecords(10), codec, 1, 0, 5), false)
		f.Add(kafkaBatch(f, someRecords(1), codec, -1, -1, -1), true)
	}
	for _, codec := range []Codec{CodecGzip, CodecZstd} {
		b, err := Encode(nil, []Record{{Value: make([]byte, bombSize)}}, EncodeOptions{Codec: codec, ProducerID: -1})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, false)
	}
	f.Fuzz(func(t *testing.T, b []byte, sign bool) {
		if sign && len(b) >= HeaderLen { // let the fuzzer past length and CRC
			b = append([]byte(nil), b...)
			resign(b, func([]byte) {})
		}
		readAnyway(t, b)
		var h Header
		var err error
		allocs.Most(t, fuzzMost, func() { h, err = Validate(b, fuzzLimits) })
		if err != nil {
			var be *BatchError
			if !errors.As(err, &be) {
				t.Fatalf("error %T", err)
			}
			return
		}
		// What Validate accepts, Each reads, with as many records at the offsets the header says.
		n, top := int32(0), int64(math.MinInt64)
		err = Each(b, fuzzLimits.MaxDecompressed(), func(offset int64, r Record) error {
			if offset != h.BaseOffset+int64(n) {
				t.Fatalf("record %d at offset %d", n, offset)
			}
			n++
			top = max(top, r.TimestampMS)
			return nil
		})
		if err != nil || n != h.Count || top > h.MaxTimestamp {
			t.Fatalf("%d records of %d, newest %d of %d: %v", n, h.Count, top, h.MaxTimestamp, err)
		}
		// Stamped for an entry, it is not void there and ends where it says.
		const at, term = 1000, 7
		data := make([]byte, EnvelopeLen, EnvelopeLen+len(b))
		PutEnvelope(data, KindBatch, 1)
		data = append(data, b...)
		Stamp(data[EnvelopeLen:], at, term)
		if m := Fold(5, term, false, data, at); m.Void || m.Next != at+int64(h.Count) || m.Size != h.Size {
			t.Fatalf("folded as %+v, the header says %+v", m, h)
		}
	})
}

// readAnyway reads what nobody has validated, as a reader of a damaged log does.
func readAnyway(t *testing.T, b []byte) {
	for batch, err := range Batches(b) {
		if err != nil {
			return
		}
		allocs.Most(t, fuzzMost, func() {
			_ = Each(batch, fuzzLimits.MaxDecompressed(), func(_ int64, r Record) error {
				for _, h := range r.Headers {
					_ = h.Key + string(h.Value)
				}
				return nil
			})
		})
	}
}
