package peer

import (
	"testing"

	"github.com/runnel-io/runnel/partition/multiraft"
)

// BenchmarkLane sends appends of one entry of 64 KiB over loopback and waits for all of them, at most 16 MiB under way.
func BenchmarkLane(b *testing.B) { benchmarkLane(b, 64<<10) }

// BenchmarkLaneSmall does so with entries of 1 KiB: what a packet costs.
func BenchmarkLaneSmall(b *testing.B) { benchmarkLane(b, 1<<10) }

func benchmarkLane(b *testing.B, size int) {
	n := newTestNet()
	underWay := make(chan struct{}, (16<<20)/size)
	start(b, n, member(2), listenOn(b, "127.0.0.1:0"), func(c *Config) {
		c.Receive = func(int32, *multiraft.Packet) { <-underWay }
	})
	a := start(b, n, member(1), listenOn(b, "127.0.0.1:0"), nil)
	p := appendPacketOf(1, 1, size)
	b.SetBytes(int64(size))
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		underWay <- struct{}{}
		if !a.Send(2, multiraft.LaneAppend, p) {
			b.Fatal("dropped")
		}
	}
	for range cap(underWay) { // full once everything before has arrived
		underWay <- struct{}{}
	}
}
