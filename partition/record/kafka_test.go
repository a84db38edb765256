package record

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// kafkaBatch encodes a batch the way a Kafka client does, by franz-go's encoder and compressors, none of ours.
func kafkaBatch(t testing.TB, recs []Record, codec Codec, pid int64, epoch int16, seq int32) []byte {
	t.Helper()
	rb := kmsg.NewRecordBatch()
	rb.Magic = 2
	rb.PartitionLeaderEpoch = -1
	rb.Attributes = int16(codec)
	rb.FirstTimestamp = recs[0].TimestampMS
	rb.MaxTimestamp = recs[0].TimestampMS
	rb.ProducerID, rb.ProducerEpoch, rb.FirstSequence = pid, epoch, seq
	rb.NumRecords = int32(len(recs))
	rb.LastOffsetDelta = rb.NumRecords - 1
	for i, r := range recs {
		rb.MaxTimestamp = max(rb.MaxTimestamp, r.TimestampMS)
		kr := kmsg.Record{TimestampDelta64: r.TimestampMS - rb.FirstTimestamp, OffsetDelta: int32(i), Key: r.Key, Value: r.Value}
		for _, h := range r.Headers {
			kr.Headers = append(kr.Headers, kmsg.Header{Key: h.Key, Value: h.Value})
		}
		kr.Length = int32(len(kr.AppendTo(nil)) - 1) // the length field of 0 took one byte
		rb.Records = kr.AppendTo(rb.Records)
	}
	if codec != CodecNone {
		c, err := kgo.DefaultCompressor(map[Codec]kgo.CompressionCodec{
			CodecGzip: kgo.GzipCompression(), CodecSnappy: kgo.SnappyCompression(),
			CodecLZ4: kgo.Lz4Compression(), CodecZstd: kgo.ZstdCompression(),
		}[codec])
		if err != nil {
			t.Fatal(err)
		}
		out, used := c.Compress(bytes.NewBuffer(nil), rb.Records)
		if used != kgo.CompressionCodecType(codec) {
			t.Fatalf("compressor used %d", used)
		}
		rb.Records = append([]byte(nil), out...)
	}
	rb.Length = int32(HeaderLen - lengthOffset + len(rb.Records))
	rb.CRC = int32(crc32.Checksum(rb.AppendTo(nil)[posAttributes:], castagnoli))
	return rb.AppendTo(nil)
}

// someRecords has every shape of record: null and empty fields, headers, timestamps out of order, long varints.
func someRecords(n int) []Record {
	recs := make([]Record, n)
	for i := range recs {
		recs[i] = Record{
			Key: fmt.Appendf(nil, "key-%d", i), Value: bytes.Repeat([]byte{byte('a' + i%26)}, i%300),
			TimestampMS: 1_700_000_000_000 + int64(i*7%1000),
		}
		switch i % 5 {
		case 1:
			recs[i].Key = nil
		case 2:
			recs[i].Value = nil
		case 3:
			recs[i].Key, recs[i].Value = []byte{}, []byte{}
		case 4:
			recs[i].Headers = []RecordHeader{{Key: "trace", Value: fmt.Appendf(nil, "%d", i)}, {Key: "", Value: nil}, {Key: "trace", Value: []byte{}}}
			recs[i].TimestampMS -= 3
		}
	}
	return recs
}

func decoded(t testing.TB, b []byte, base int64) []Record {
	t.Helper()
	var out []Record
	err := Each(b, 0, func(offset int64, r Record) error {
		if want := base + int64(len(out)); offset != want {
			t.Fatalf("offset %d, want %d", offset, want)
		}
		out = append(out, r)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func sameRecords(t testing.TB, got, want []Record) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d records, want %d", len(got), len(want))
	}
	for i := range got {
		g, w := fmt.Sprintf("%#v", got[i]), fmt.Sprintf("%#v", want[i])
		if g != w {
			t.Fatalf("record %d:\n got %s\nwant %s", i, g, w)
		}
	}
}

var allCodecs = []Codec{CodecNone, CodecGzip, CodecSnappy, CodecLZ4, CodecZstd}

func TestBatchesOfKafkaClientsAreAcceptedAndRead(t *testing.T) {
	for _, codec := range allCodecs {
		for _, n := range []int{1, 2, 100, 1500} {
			t.Run(fmt.Sprint(codec, n), func(t *testing.T) {
				recs := someRecords(n)
				b := kafkaBatch(t, recs, codec, 77, 3, 1000)
				h, err := Validate(b, Limits{MaxBytes: 1 << 20})
				if err != nil {
					t.Fatal(err)
				}
				if h.Codec() != codec || int(h.Count) != n || h.ProducerID != 77 || h.ProducerEpoch != 3 || h.BaseSequence != 1000 || h.Size != len(b) {
					t.Fatalf("header %+v", h)
				}
				Stamp(b, 500, 9)
				if err := CheckCRC(b); err != nil {
					t.Fatalf("a stamp broke the CRC: %v", err)
				}
				sameRecords(t, decoded(t, b, 500), recs)
			})
		}
	}
}

func TestUncompressedBatchIsByteForByteThatOfKafka(t *testing.T) {
	recs := someRecords(300)
	got, err := Encode(nil, recs, EncodeOptions{ProducerID: 5, ProducerEpoch: 1, BaseSequence: 42})
	if err != nil {
		t.Fatal(err)
	}
	if want := kafkaBatch(t, recs, CodecNone, 5, 1, 42); !bytes.Equal(got, want) {
		t.Fatalf("batches differ:\n got %x\nwant %x", got, want)
	}
	got, err = Encode(nil, recs, EncodeOptions{ProducerID: -1})
	if err != nil {
		t.Fatal(err)
	}
	if want := kafkaBatch(t, recs, CodecNone, -1, -1, -1); !bytes.Equal(got, want) {
		t.Fatal("batches without a producer differ")
	}
}

func TestKafkaReadsWhatWeCompress(t *testing.T) {
	recs := someRecords(500)
	for _, codec := range allCodecs[1:] {
		b, err := Encode([]byte("before"), recs, EncodeOptions{Codec: codec, ProducerID: -1})
		if err != nil {
			t.Fatal(err)
		}
		b = b[len("before"):]
		var rb kmsg.RecordBatch
		if err := rb.ReadFrom(b); err != nil {
			t.Fatal(err)
		}
		raw, err := kgo.DefaultDecompressor().Decompress(rb.Records, kgo.CompressionCodecType(rb.Attributes&7))
		if err != nil {
			t.Fatalf("%s: %v", codec, err)
		}
		plain, err := Encode(nil, recs, EncodeOptions{ProducerID: -1})
		if err != nil {
			t.Fatal(err)
		}
		if Codec(rb.Attributes&7) != codec || !bytes.Equal(raw, plain[HeaderLen:]) {
			t.Fatalf("%s: franz-go reads other records", codec)
		}
		sameRecords(t, decoded(t, b, 0), recs)
	}
}

func TestXerialFramingOfJavaClientsIsRead(t *testing.T) {
	recs := someRecords(400)
	plain := kafkaBatch(t, recs, CodecNone, -1, -1, -1)
	framed := append([]byte(nil), plain[:HeaderLen]...)
	framed = append(framed, xerialMagic...)
	framed = append(framed, 0, 0, 0, 1, 0, 0, 0, 1)
	for rest := plain[HeaderLen:]; len(rest) > 0; {
		n := min(len(rest), 1000)
		block, err := compress(nil, rest[:n], CodecSnappy)
		if err != nil {
			t.Fatal(err)
		}
		framed = append(framed, 0, 0, byte(len(block)>>8), byte(len(block)))
		framed = append(framed, block...)
		rest = rest[n:]
	}
	resign(framed, func(b []byte) { b[posAttributes+1] = byte(CodecSnappy) })
	if _, err := Validate(framed, Limits{MaxBytes: 1 << 20}); err != nil {
		t.Fatal(err)
	}
	sameRecords(t, decoded(t, framed, 0), recs)
}
