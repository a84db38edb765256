package partition

import (
	"fmt"
	"testing"

	"github.com/runnel-io/runnel/partition/record"
)

// BenchmarkProduceToAck is what a leader's replica costs a batch, without raft and disk: queue, sequence, stamp, apply,
// acknowledge.
func BenchmarkProduceToAck(b *testing.B) {
	for _, perTurn := range []int{1, 16} {
		b.Run(fmt.Sprintf("%d a turn", perTurn), func(b *testing.B) {
			r := newBench(b)
			r.lead(5)
			r.log = nil
			batch, h := batchOf(b, r.w.Env(), 1, 0, 0, 100)
			bufs := make([][]byte, perTurn)
			for i := range bufs {
				bufs[i] = append(make([]byte, record.EnvelopeLen), batch...)
			}
			acked, seq, next := 0, int32(0), int64(0)
			done := func(res ProduceResult) {
				if res.Err != nil {
					b.Fatal(res.Err)
				}
				acked++
			}
			b.ReportAllocs()
			b.SetBytes(int64(len(batch)))
			for b.Loop() {
				h.BaseSequence, seq = seq, addSeq(seq, h.Count)
				at := acked + len(r.p.queue)
				r.p.ProduceOwned(bufs[at%perTurn], h, done)
				if len(r.p.queue) < perTurn {
					continue
				}
				data := r.p.Turn(r.session)
				r.p.Proposed(nil)
				for range data {
					m := record.Meta{Index: 2, Term: 5, Kind: record.KindBatch, Base: next, Next: next + int64(h.Count), ProducerID: 1, BaseSequence: int32(next & (1<<31 - 1)), Count: h.Count}
					next = m.Next
					r.p.Apply(m, nil)
				}
				r.p.Applied(2)
			}
		})
	}
}
