package partition

import (
	"math"

	"github.com/runnel-io/runnel/partition/env/mutant"
	"github.com/runnel-io/runnel/partition/record"
)

const (
	// seqWindow is how many batches a producer can have sent without an answer, and so how many are remembered.
	seqWindow = 5
	// maxProducers bounds the table of a partition; a leader refuses new producers beyond it.
	maxProducers = 10_000
)

// seqBatch is a remembered batch: its first sequence, how many records, and where it was written.
type seqBatch struct {
	seq   int32
	count int32
	base  int64
}

// producer is what the log says of one idempotent producer.
type producer struct {
	epoch int16
	// lastMS is the append time of its newest batch.
	lastMS int64
	// window has its newest n batches in this epoch, the oldest first.
	window [seqWindow]seqBatch
	n      int
}

// next is the sequence its next batch has to have. n is at least 1.
func (p *producer) next() int32 {
	b := p.window[p.n-1]
	return addSeq(b.seq, b.count)
}

// find looks for a batch that was written before.
func (p *producer) find(seq, count int32) (base int64, ok bool) {
	for _, b := range p.window[:p.n] {
		if b.seq == seq && b.count == count {
			return b.base, true
		}
	}
	return 0, false
}

func (p *producer) push(b seqBatch) {
	if p.n == seqWindow || mutant.On(mutant.DedupeWindowShort) && p.n == seqWindow-1 {
		copy(p.window[:], p.window[1:])
		p.n--
	}
	p.window[p.n] = b
	p.n++
}

// producers is the folded producer table. It is pure: the same log gives the same table on every replica. It takes
// whatever the log holds; only a leader, before it proposes, is choosy.
type producers map[int64]*producer

// fold takes in a batch that is in the log.
func (t producers) fold(m record.Meta) {
	if m.ProducerID < 0 {
		return
	}
	p := t[m.ProducerID]
	if p == nil {
		p = &producer{epoch: m.ProducerEpoch}
		t[m.ProducerID] = p
	}
	if m.ProducerEpoch < p.epoch {
		return // no leader proposes it; its records stand, its sequence says nothing
	}
	if m.ProducerEpoch > p.epoch {
		p.epoch, p.n = m.ProducerEpoch, 0
	}
	p.push(seqBatch{seq: m.BaseSequence, count: m.Count, base: m.Base})
	p.lastMS = max(p.lastMS, m.AppendMS)
}

// expire forgets every producer whose newest batch was appended at or before cutoffMS.
func (t producers) expire(cutoffMS int64) (forgotten int) {
	for id, p := range t {
		if p.lastMS <= cutoffMS {
			delete(t, id)
			forgotten++
		}
	}
	return forgotten
}

// anyIdle tells whether expire would forget any.
func (t producers) anyIdle(cutoffMS int64) bool {
	for _, p := range t {
		if p.lastMS <= cutoffMS {
			return true
		}
	}
	return false
}

// Sequences run from 0 to 2^31-1 and then from 0 again, as in Kafka.

func addSeq(seq, n int32) int32 { return int32((uint32(seq) + uint32(n)) & math.MaxInt32) }

// behind tells whether seq is before next on the circle: no more than half of it back.
func behind(seq, next int32) bool {
	d := (uint32(next) - uint32(seq)) & math.MaxInt32
	return d > 0 && d <= math.MaxInt32/2
}
