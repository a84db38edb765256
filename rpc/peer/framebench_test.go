package peer

import (
	"fmt"
	"testing"

	"github.com/runnel-io/runnel/partition/multiraft"
)

// frames are what a busy lane carries: many small batches, and few of the largest that the SDK makes by default.
var frames = []struct{ entries, size int }{{64, 200}, {4, 256 << 10}}

// BenchmarkFrameEncode makes one frame of one append. The entries' data is referenced, not copied.
func BenchmarkFrameEncode(b *testing.B) {
	for _, f := range frames {
		b.Run(fmt.Sprintf("%dx%dB", f.entries, f.size), func(b *testing.B) {
			packets := []*multiraft.Packet{appendPacketOf(1, f.entries, f.size)}
			c, e := newCodec(), &encoder{}
			b.SetBytes(int64(f.entries * f.size))
			b.ReportAllocs()
			for b.Loop() {
				out, err := c.Marshal(e.encode(packets))
				if err != nil {
					b.Fatal(err)
				}
				out.Free()
			}
		})
	}
}

// BenchmarkFrameDecode reads it from the buffers of 32 KiB that a connection gives.
func BenchmarkFrameDecode(b *testing.B) {
	for _, f := range frames {
		b.Run(fmt.Sprintf("%dx%dB", f.entries, f.size), func(b *testing.B) {
			data := frameBytes((&encoder{}).encode([]*multiraft.Packet{appendPacketOf(1, f.entries, f.size)}), 32<<10)
			var in inFrame
			b.SetBytes(int64(f.entries * f.size))
			b.ReportAllocs()
			for b.Loop() {
				if err := in.decode(data); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
