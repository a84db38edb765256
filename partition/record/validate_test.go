package record

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"runtime"
	"strings"
	"testing"
	"time"
)

// resign applies f to b and makes length and CRC right again, so that a test reaches the check behind them.
func resign(b []byte, f func(b []byte)) {
	f(b)
	binary.BigEndian.PutUint32(b[posLength:], uint32(len(b)-lengthOffset))
	binary.BigEndian.PutUint32(b[posCRC:], crc32.Checksum(b[posAttributes:], castagnoli))
}

func mustEncode(t testing.TB, n int, o EncodeOptions) []byte {
	t.Helper()
	b, err := Encode(nil, someRecords(n), o)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestValidateNamesWhatIsWrong(t *testing.T) {
	plain := EncodeOptions{ProducerID: 1}
	for _, c := range []struct {
		name, want string
		o          EncodeOptions
		change     func(b []byte) []byte
	}{
		{"empty", "cut off", plain, func([]byte) []byte { return nil }},
		{"cut header", "cut off", plain, func(b []byte) []byte { return b[:60] }},
		{"cut batch", "cut off", plain, func(b []byte) []byte { return b[:len(b)-1] }},
		{"trailing", "follow it", plain, func(b []byte) []byte { return append(b, 0) }},
		{"two batches", "follow it", plain, func(b []byte) []byte { return append(b, b...) }},
		{"magic 1", "magic", plain, func(b []byte) []byte { b[posMagic] = 1; return b }},
		{"negative length", "length field", plain, func(b []byte) []byte { b[posLength] = 0xff; return b }},
		{"flipped bit", "CRC", plain, func(b []byte) []byte { b[len(b)-1] ^= 1; return b }},
		{"control", "attributes", plain, signed(func(b []byte) { b[posAttributes+1] |= 0x20 })},
		{"transactional", "attributes", plain, signed(func(b []byte) { b[posAttributes+1] |= 0x10 })},
		{"log append time", "attributes", plain, signed(func(b []byte) { b[posAttributes+1] |= 0x08 })},
		{"codec 7", "compression 7", plain, signed(func(b []byte) { b[posAttributes+1] = 7 })},
		{"no records", "no records", plain, signed(func(b []byte) { b[posCount+3] = 0 })},
		{"negative count", "record count", plain, signed(func(b []byte) { b[posCount] = 0x80 })},
		{"last delta", "last offset delta", plain, signed(func(b []byte) { b[posLastDelta+3]++ })},
		{"negative sequence", "base sequence", plain, signed(func(b []byte) { b[posBaseSeq] = 0x80 })},
		{"negative epoch", "producer epoch", plain, signed(func(b []byte) { b[posProdEpoch] = 0x80 })},
		{"more than there are", "length is wrong", plain, signed(func(b []byte) { b[posCount+3]++; b[posLastDelta+3]++ })},
		{"fewer than there are", "follow its", plain, signed(func(b []byte) { b[posCount+3]--; b[posLastDelta+3]-- })},
		{"a count of millions", "it says it has", plain, signed(func(b []byte) { b[posCount], b[posLastDelta] = 1, 1; b[posLastDelta+3] = b[posCount+3] - 1 })},
		{"max timestamp too low", "timestamp", plain, signed(func(b []byte) { b[posMaxTime+4] = 0 })},
		{"offset delta", "offset delta", plain, signed(func(b []byte) { b[HeaderLen+3] = 4 })},
		{"record length", "length is wrong", plain, signed(func(b []byte) { b[HeaderLen] = 1 })},
		{"gzip of nothing", "no gzip", plain, signed(func(b []byte) { b[posAttributes+1] = 1 })},
		{"snappy of nothing", "no snappy", plain, signed(func(b []byte) { b[posAttributes+1] = 2 })},
		{"lz4 of nothing", "no lz4", plain, signed(func(b []byte) { b[posAttributes+1] = 3 })},
		{"zstd of nothing", "no zstd", plain, signed(func(b []byte) { b[posAttributes+1] = 4 })},
		{"compressed, one more", "length is wrong", EncodeOptions{Codec: CodecZstd, ProducerID: -1}, signed(func(b []byte) { b[posCount+3]++; b[posLastDelta+3]++ })},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := c.change(mustEncode(t, 20, c.o))
			_, err := Validate(b, Limits{MaxBytes: 1 << 20})
			var be *BatchError
			if !errors.As(err, &be) || be.TooLarge || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("error %v, want one with %q", err, c.want)
			}
		})
	}
}

func signed(f func(b []byte)) func([]byte) []byte {
	return func(b []byte) []byte { resign(b, f); return b }
}

func TestValidateRefusesABatchAboveTheLimit(t *testing.T) {
	b := mustEncode(t, 20, EncodeOptions{ProducerID: -1})
	var be *BatchError
	if _, err := Validate(b, Limits{MaxBytes: len(b) - 1}); !errors.As(err, &be) || !be.TooLarge {
		t.Fatalf("error %v", err)
	}
	if _, err := Validate(b, Limits{MaxBytes: len(b)}); err != nil {
		t.Fatal(err)
	}
	if _, err := Validate(b, Limits{}); err != nil {
		t.Fatal(err)
	}
}

// A small batch that decompresses to far more than it may must be refused, and refused before that memory is taken.
func TestRule31DecompressionIsBounded(t *testing.T) {
	bomb := []Record{{Value: make([]byte, 64<<20)}}
	for _, codec := range allCodecs[1:] {
		t.Run(codec.String(), func(t *testing.T) {
			b, err := Encode(nil, bomb, EncodeOptions{Codec: codec, ProducerID: -1})
			if err != nil {
				t.Fatal(err)
			}
			limits := Limits{MaxBytes: len(b), MaxRatio: 1}
			if codec == CodecSnappy {
				limits = Limits{MaxBytes: len(b), MaxRatio: 2} // snappy makes a 64th at best
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err = Validate(b, limits)
			runtime.ReadMemStats(&after)
			allocated := after.TotalAlloc - before.TotalAlloc
			var be *BatchError
			if !errors.As(err, &be) || !be.TooLarge {
				t.Fatalf("error %v", err)
			}
			if allocated > 8<<20 {
				t.Fatalf("refusing it took %d bytes", allocated)
			}
			if _, err := Validate(b, Limits{MaxBytes: 65 << 20, MaxRatio: 1}); err != nil {
				t.Fatalf("within the limit: %v", err)
			}
		})
	}
}

func TestRule31RatioIsCappedForLargeBatches(t *testing.T) {
	for _, c := range []struct{ maxBytes, ratio, want int }{
		{0, 0, maxBatch}, {1 << 20, 0, 16 << 20}, {1 << 20, 3, 3 << 20}, {64 << 20, 16, 256 << 20}, {300 << 20, 16, 300 << 20},
	} {
		if got := (Limits{MaxBytes: c.maxBytes, MaxRatio: c.ratio}).MaxDecompressed(); got != c.want {
			t.Errorf("%d bytes, ratio %d: %d, want %d", c.maxBytes, c.ratio, got, c.want)
		}
	}
}

func TestRule31CountOfCompressedBatchesCanBeBelieved(t *testing.T) {
	b := mustEncode(t, 20, EncodeOptions{Codec: CodecLZ4, ProducerID: -1})
	resign(b, func(b []byte) { b[posCount+3]++; b[posLastDelta+3]++ })
	if _, err := Validate(b, Limits{SkipCount: true}); err != nil {
		t.Fatal(err)
	}
	if _, err := Validate(b, Limits{}); err == nil {
		t.Fatal("a wrong count passed")
	}
}

func TestRule31AReaderReportsABadBatchAndGoesOn(t *testing.T) {
	bad := mustEncode(t, 20, EncodeOptions{Codec: CodecZstd, ProducerID: -1})
	resign(bad, func(b []byte) { clear(b[HeaderLen:]) })
	good := mustEncode(t, 3, EncodeOptions{ProducerID: -1})
	Stamp(good, 20, 1)
	var read, failed int
	for b, err := range Batches(append(bad, good...)) {
		if err != nil {
			t.Fatal(err)
		}
		if err := Each(b, 1<<20, func(int64, Record) error { read++; return nil }); err != nil {
			failed++
		}
	}
	if read != 3 || failed != 1 {
		t.Fatalf("read %d records, %d bad batches", read, failed)
	}
}

func TestBatchesStopAtACutOffBatch(t *testing.T) {
	a := mustEncode(t, 3, EncodeOptions{ProducerID: -1})
	var whole, failed int
	for b, err := range Batches(append(append([]byte(nil), a...), a[:len(a)-1]...)) {
		if err != nil {
			failed++
			continue
		}
		if !bytes.Equal(b, a) {
			t.Fatal("other bytes")
		}
		whole++
	}
	if whole != 1 || failed != 1 {
		t.Fatalf("%d whole, %d failed", whole, failed)
	}
}

func TestHeadersOfEarlierRecordsAreNotOverwritten(t *testing.T) {
	var want []Record
	for i := range 500 {
		want = append(want, Record{Headers: make([]RecordHeader, 1+i%7), TimestampMS: int64(i)})
		for j := range want[i].Headers {
			want[i].Headers[j] = RecordHeader{Key: strings.Repeat("k", (i+j)%3), Value: []byte{byte(i), byte(j)}}
		}
	}
	b, err := Encode(nil, want, EncodeOptions{ProducerID: -1})
	if err != nil {
		t.Fatal(err)
	}
	sameRecords(t, decoded(t, b, 0), want)
}

// A frame that claims no content and has some: its room has to grow from nothing, or it would be decompressed for ever.
func TestAZstdFrameThatClaimsNothingIsRefused(t *testing.T) {
	src := []byte{0x28, 0xb5, 0x2f, 0xfd, 0x24, 0, 0x61, 0, 0, 0x16, 0, 0, 0, '\n', 'k', 'e', 'y', '-', '0', 0, 0, 0xa2, 0xc1, 'I', 0xe2}
	done := make(chan error, 1)
	go func() {
		_, err := decompress(nil, src, CodecZstd, 1<<20)
		done <- err
	}()
	select {
	case err := <-done:
		if err == nil {
			t.Error("it is accepted")
		}
	case <-time.After(10 * time.Second):
		t.Fatal("it takes for ever")
	}
}

// A frame that claims 256 MiB and holds five bytes must not have that much memory made for it.
func TestAZstdFrameThatClaimsMoreThanItsBlocksCanHoldCostsLittle(t *testing.T) {
	const claim = 256 << 20
	src := []byte{0x28, 0xb5, 0x2f, 0xfd, 0xa0}
	src = binary.LittleEndian.AppendUint32(src, claim)
	src = append(src, 0x29, 0, 0, 'h', 'e', 'l', 'l', 'o') // the last block, raw
	for name, src := range map[string][]byte{
		"alone":                  src,
		"behind a skipped frame": append([]byte{0x50, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 'x', 'y'}, src...),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := decompress(nil, src, CodecZstd, claim)
		runtime.ReadMemStats(&after)
		if took := (after.TotalAlloc - before.TotalAlloc) >> 20; err == nil || took > 16 {
			t.Errorf("%s: %d bytes took %d MiB, error %v", name, len(src), took, err)
		}
	}
}
