package raftlog

import (
	"fmt"
	"testing"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/runnel-io/runnel/partition/record"
)

// BenchmarkAppend appends with real syncs. group is how many entries wait for one transaction.
func BenchmarkAppend(b *testing.B) {
	for _, c := range []struct{ size, group int }{{1 << 10, 1}, {1 << 10, 64}, {64 << 10, 1}, {64 << 10, 8}, {256 << 10, 4}} {
		b.Run(fmt.Sprintf("size=%d/group=%d", c.size, c.group), func(b *testing.B) {
			s := openStore(b, b.TempDir(), func(o *Options) { o.TailBytes = 16 << 20 })
			l := openLog(b, s, LogOptions{})
			index := uint64(2)
			data := batchData(b, 0, 1, startMS, 1, c.size)
			b.SetBytes(int64(c.size * c.group))
			b.ReportAllocs()
			for b.Loop() {
				ents := make([]*raftpb.Entry, c.group)
				for i := range ents {
					ents[i] = entry(index, 1, data)
					index++
				}
				if err := l.Append([]Write{{Commit: index - 1, Entries: ents}}); err != nil {
					b.Fatal(err)
				}
				l.SetApplied(index - 1)
			}
			b.StopTimer()
			must(b, s.Close())
		})
	}
}

// BenchmarkAppendNoSync is what an append costs beside the disk's sync, which would hide it.
func BenchmarkAppendNoSync(b *testing.B) {
	for _, c := range []struct{ size, group int }{{200, 64}, {256 << 10, 1}} {
		b.Run(fmt.Sprintf("size=%d/group=%d", c.size, c.group), func(b *testing.B) {
			s := openStore(b, b.TempDir(), func(o *Options) { o.TailBytes = 16 << 20; o.Hooks.NoSync = true })
			l := openLog(b, s, LogOptions{SegmentBytes: 64 << 20})
			index := uint64(2)
			data := batchData(b, 0, 1, startMS, 1, c.size)
			ents := make([]*raftpb.Entry, c.group)
			b.SetBytes(int64(c.size * c.group))
			b.ReportAllocs()
			for b.Loop() {
				for i := range ents {
					ents[i] = entry(index, 1, data)
					index++
				}
				if err := l.Append([]Write{{Commit: index - 1, Entries: ents}}); err != nil {
					b.Fatal(err)
				}
				l.SetApplied(index - 1)
			}
			b.StopTimer()
			must(b, s.Close())
		})
	}
}

func benchLog(b *testing.B, n, size int) (*Log, int64) {
	s := openStore(b, b.TempDir(), func(o *Options) { o.Hooks.NoSync = true })
	l := openLog(b, s, LogOptions{})
	base := int64(0)
	for i := 0; i < n; i += 64 {
		ents := batches(b, uint64(i)+2, 1, base, 64, size)
		base += 64
		must(b, l.Append([]Write{{Commit: uint64(i) + 65, Entries: ents}}))
		l.SetApplied(uint64(i) + 65)
	}
	return l, base
}

func BenchmarkReadBatches(b *testing.B) {
	for _, disk := range []bool{false, true} {
		b.Run(fmt.Sprintf("disk=%v", disk), func(b *testing.B) {
			l, end := benchLog(b, 1024, 64<<10)
			if disk {
				forget(l)
			}
			dst := make([]byte, 0, 2<<20)
			off := int64(0)
			var n int64
			b.ReportAllocs()
			for b.Loop() {
				if off >= end {
					off = 0
				}
				out, next, err := l.ReadBatches(off, end, 1<<20, dst)
				if err != nil || next == off {
					b.Fatal(next, err)
				}
				n += int64(len(out))
				off = next
			}
			b.SetBytes(n / int64(b.N))
		})
	}
}

// BenchmarkOpen opens a log of several segments as after a kill, with the most to fold that checkpoints allow.
func BenchmarkOpen(b *testing.B) {
	for _, c := range []struct{ size, total, fold int }{{64 << 10, 4096, 256}, {1 << 10, 65536, 16384}} {
		b.Run(fmt.Sprintf("size=%d/entries=%d", c.size, c.total), func(b *testing.B) {
			dir := b.TempDir()
			s := openStore(b, dir, func(o *Options) { o.Hooks.NoSync = true; o.TailBytes = 16 << 20 })
			l := openLog(b, s, LogOptions{SegmentBytes: 64 << 20})
			index, data := uint64(2), batchData(b, 0, 1, startMS, 1, c.size)
			for int(index) < c.total {
				ents := make([]*raftpb.Entry, 64)
				for i := range ents {
					ents[i] = entry(index, 1, data)
					index++
				}
				must(b, l.Append([]Write{{Commit: index - 1, Entries: ents}}))
				l.SetApplied(index - 1)
				if int(index) == c.total-c.fold+2 {
					l.OfferCheckpoint(Checkpoint{Index: index - 1, Term: 1, Conf: founders(), Next: 1})
				}
			}
			must(b, s.Close())
			b.ReportAllocs()
			for b.Loop() {
				s := openStore(b, dir)
				l := openLog(b, s, LogOptions{SegmentBytes: 64 << 20})
				n := 0
				must(b, l.FoldEntries(l.Checkpoint().Index+1, l.FoldTo(), func(record.Meta, []byte) error { n++; return nil }))
				if n != c.fold {
					b.Fatalf("folded %d entries, want %d", n, c.fold)
				}
				crash(b, s)
			}
		})
	}
}
