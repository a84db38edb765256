package record

import (
	"bytes"
	"fmt"
	"testing"
)

// batchOf makes a batch of about size bytes of records of 200 bytes.
func batchOf(t testing.TB, size int, codec Codec) []byte {
	t.Helper()
	b := NewBuilder(EncodeOptions{})
	for i := 0; b.Len() < size; i++ {
		b.Add(Record{Key: fmt.Appendf(nil, "key-%08d", i), Value: bytes.Repeat([]byte(fmt.Sprintf("%06d", i*7919%1000003)), 31), TimestampMS: int64(1_700_000_000_000 + i)})
	}
	return b.Build(nil, EncodeOptions{Codec: codec, ProducerID: 1})
}

func TestNothingAllocatesPerRecord(t *testing.T) {
	b := batchOf(t, 64<<10, CodecNone)
	if n := testing.AllocsPerRun(50, func() {
		if _, err := Validate(b, Limits{MaxBytes: 1 << 20}); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("Validate: %v allocations", n)
	}
	var seen int
	if n := testing.AllocsPerRun(50, func() {
		if err := Each(b, 0, func(int64, Record) error { seen++; return nil }); err != nil {
			t.Fatal(err)
		}
	}); n > 1 {
		t.Errorf("Each: %v allocations", n)
	}
	bl, r := NewBuilder(EncodeOptions{}), Record{Key: []byte("key"), Value: make([]byte, 200), TimestampMS: 1}
	var dst []byte
	if n := testing.AllocsPerRun(50, func() {
		bl.Reset()
		for range 300 {
			bl.Add(r)
		}
		dst = bl.Build(dst[:0], EncodeOptions{ProducerID: -1})
	}); n > 1 { // the first run sizes the buffers
		t.Errorf("Builder: %v allocations", n)
	}
}

func BenchmarkValidate(b *testing.B) {
	for _, codec := range allCodecs {
		for _, size := range []int{64 << 10, 256 << 10} {
			b.Run(fmt.Sprintf("%s/%dKiB", codec, size>>10), func(b *testing.B) {
				data := batchOf(b, size, codec)
				b.SetBytes(int64(size))
				b.ReportAllocs()
				for b.Loop() {
					if _, err := Validate(data, Limits{MaxBytes: 1 << 20}); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// BenchmarkStamp does not depend on the batch's size.
func BenchmarkStamp(b *testing.B) {
	data := batchOf(b, 64<<10, CodecNone)
	offset := int64(0)
	b.ReportAllocs()
	for b.Loop() {
		Stamp(data, offset, 1)
		offset += 300
	}
}

func BenchmarkEach(b *testing.B) {
	for _, codec := range []Codec{CodecNone, CodecLZ4} {
		b.Run(codec.String(), func(b *testing.B) {
			data := batchOf(b, 256<<10, codec)
			b.SetBytes(256 << 10)
			b.ReportAllocs()
			for b.Loop() {
				if err := Each(data, 0, func(int64, Record) error { return nil }); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkBuild(b *testing.B) {
	for _, codec := range allCodecs {
		b.Run(codec.String(), func(b *testing.B) {
			bl, r := NewBuilder(EncodeOptions{}), Record{Key: []byte("key-00000000"), Value: bytes.Repeat([]byte("abcdefg"), 27), TimestampMS: 1}
			var dst []byte
			b.SetBytes(256 << 10)
			b.ReportAllocs()
			for b.Loop() {
				bl.Reset()
				for bl.Len() < 256<<10 {
					bl.Add(r)
				}
				dst = bl.Build(dst[:0], EncodeOptions{Codec: codec, ProducerID: -1})
			}
		})
	}
}
