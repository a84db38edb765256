package client

import (
	"encoding/binary"
	"hash/crc32"
	"sync"
	"time"

	"github.com/runnel-io/runnel/partition/record"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// batchState is where a batch is on its way.
type batchState uint8

const (
	// Filling: takes records or waits to be taken by a sink. It has no sequence.
	_ batchState = iota // the zero value
	// stateWaiting: has a sequence and is to be sent, again or for the first time.
	stateWaiting
	// stateInFlight: belongs to an attempt.
	stateInFlight
	// stateDone: acknowledged.
	stateDone
	// stateFailed: err is its fate.
	stateFailed
)

type item struct {
	r       *Record
	promise func(*Record, error)
}

// batch is the records of one partition that share one fate. Guarded by producer.mu, but for builder, wire and items
// while an attempt builds or sends it, or after it was finished.
type batch struct {
	q       *queue
	items   []item
	builder *record.Builder // until it is built
	// room is what the batch takes of the buffer's bytes.
	room int
	// born is when its first record came.
	born  time.Time
	state batchState

	// producer and seq are set when a sink takes the batch for the first time, and never change after that, except by
	// resequence, which is only for batches that were surely never appended.
	producer int64
	seq      int32
	// wire is the encoded batch: every attempt sends the same bytes.
	wire []byte

	// attempt is the number of the attempt that it is in flight with; answers to other attempts are not for it.
	attempt uint64
	sentTo  int32
	sentAt  time.Time
	// sent: the attempt may have left for the broker.
	sent bool
	// alone: all batches before it were acknowledged when this attempt began, so a gap that the broker sees is one.
	alone bool
	// maybe: an attempt ended without an answer that says it had no effect. It never becomes false: what may have
	// been appended may be appended still.
	maybe bool
	// gap: it failed with a sequence that the batches behind it build on.
	gap bool

	base int64
	err  *Error
	// holds counts the sinks that are reading wire; while there is one the batch must not be reused.
	holds int
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// resequence gives a built batch another producer id and sequence. Positions are those of RecordBatch v2; the CRC covers
// everything behind itself.
func (b *batch) resequence(producer int64, seq int32) {
	b.producer, b.seq = producer, seq
	if b.wire == nil {
		return
	}
	w := b.wire
	binary.BigEndian.PutUint64(w[43:], uint64(producer))
	binary.BigEndian.PutUint16(w[51:], 0)
	binary.BigEndian.PutUint32(w[53:], uint32(seq))
	binary.BigEndian.PutUint32(w[17:], crc32.Checksum(w[21:], castagnoli))
}

// fail makes err the batch's fate. What may have been appended is indeterminate, whatever the last answer was.
func (b *batch) fail(err *Error) {
	b.state = stateFailed
	b.err = err
	if b.maybe && err.GetKind() != runnelv1.ErrorKind_ERROR_KIND_INDETERMINATE {
		b.err = &Error{
			Kind: runnelv1.ErrorKind_ERROR_KIND_INDETERMINATE, Reason: err.GetReason(), LeaderTerm: err.GetLeaderTerm(),
			Message: "an earlier attempt may have written the records; the last one failed: " + err.Error(),
		}
	}
}

// pools keeps what batches are made of for the next ones.
type pools struct {
	batches  sync.Pool
	builders sync.Pool
	wires    sync.Pool
}

func (p *pools) batch(q *queue, now time.Time) *batch {
	b, _ := p.batches.Get().(*batch)
	if b == nil {
		b = &batch{}
	}
	b.q, b.born = q, now
	b.builder, _ = p.builders.Get().(*record.Builder)
	if b.builder == nil {
		b.builder = record.NewBuilder(record.EncodeOptions{})
	}
	return b
}

// build encodes the batch once.
func (p *pools) build(b *batch, codec record.Codec) {
	if b.wire != nil {
		return
	}
	var dst []byte
	if w, _ := p.wires.Get().(*[]byte); w != nil {
		dst = (*w)[:0]
	}
	b.wire = b.builder.Build(dst, record.EncodeOptions{Codec: codec, ProducerID: b.producer, BaseSequence: b.seq})
	b.builder.Reset()
	p.builders.Put(b.builder)
	b.builder = nil
}

// maxPooledItems keeps one huge batch of tiny records from holding memory for ever.
const maxPooledItems = 1 << 16

// recycle takes back a finished batch whose promises have run.
func (p *pools) recycle(b *batch) {
	if b.wire != nil {
		w := b.wire
		p.wires.Put(&w)
	}
	if b.builder != nil {
		b.builder.Reset()
		p.builders.Put(b.builder)
	}
	items := b.items
	clear(items)
	if cap(items) > maxPooledItems {
		items = nil
	}
	*b = batch{items: items[:0]}
	p.batches.Put(b)
}
