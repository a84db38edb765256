package partition

import (
	"bytes"
	"math"
	"testing"

	"pgregory.net/rapid"

	"github.com/runnel-io/runnel/partition/raftlog"
	"github.com/runnel-io/runnel/partition/record"
)

// foldLog is a log as folding sees it: what it does with entries that no leader of ours would propose counts too.
func foldLog(t *rapid.T) (metas []record.Meta, payloads [][]byte) {
	next, ms := int64(0), int64(1000)
	n := rapid.IntRange(1, 60).Draw(t, "entries")
	for i := range n {
		ms += rapid.Int64Range(-5, 50).Draw(t, "ms")
		m := record.Meta{Index: uint64(i + 2), Term: 1, AppendMS: ms, Base: next, Next: next, ProducerID: -1}
		var payload []byte
		switch rapid.IntRange(0, 9).Draw(t, "kind") {
		case 0:
			m.AppendMS = 0 // an empty entry
		case 1:
			m.Kind, m.Void = record.KindBatch, true
		case 2:
			m.Kind = record.KindCommand
			payload = command{kind: commandTrim, arg: rapid.Int64Range(-1, next+5).Draw(t, "trim")}.entry(ms)[record.EnvelopeLen:]
		case 3:
			m.Kind = record.KindCommand
			payload = command{kind: commandExpire, arg: ms - rapid.Int64Range(0, 200).Draw(t, "idle")}.entry(ms)[record.EnvelopeLen:]
		case 4:
			m.Kind = record.KindCommand
			payload = rapid.SliceOfN(rapid.Byte(), 0, 12).Draw(t, "command")
		default:
			m.Kind, m.Count = record.KindBatch, rapid.Int32Range(1, 4).Draw(t, "count")
			m.Next = next + int64(m.Count)
			m.ProducerID = rapid.Int64Range(-1, 4).Draw(t, "producer")
			m.ProducerEpoch = rapid.Int16Range(0, 2).Draw(t, "epoch")
			m.BaseSequence = rapid.Int32Range(0, math.MaxInt32).Draw(t, "seq")
		}
		next = m.Next
		metas, payloads = append(metas, m), append(payloads, payload)
	}
	return metas, payloads
}

// Whoever starts from a checkpoint must come to the same bytes as whoever folded the whole log, and so must every replica.
func TestRule12FoldingFromAnyCheckpointGivesTheSameState(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		metas, payloads := foldLog(t)
		whole, err := decodeFolded(0, 0, nil)
		if err != nil {
			t.Fatal(err)
		}
		cut := rapid.IntRange(0, len(metas)).Draw(t, "checkpoint")
		var state []byte
		var next, start int64
		for i, m := range metas {
			if i == cut {
				state, next, start = whole.encode(), whole.next, whole.logStart
			}
			before := whole.logStart
			whole.apply(m, payloads[i])
			if whole.logStart < before || whole.logStart > whole.next {
				t.Fatalf("log start went from %d to %d, next %d", before, whole.logStart, whole.next)
			}
		}
		if cut == len(metas) {
			state, next, start = whole.encode(), whole.next, whole.logStart
		}
		rest, err := decodeFolded(next, start, state)
		if err != nil {
			t.Fatal(err)
		}
		for i := cut; i < len(metas); i++ {
			rest.apply(metas[i], payloads[i])
		}
		if rest.next != whole.next || rest.lastMS != whole.lastMS || rest.logStart != whole.logStart || !bytes.Equal(rest.encode(), whole.encode()) {
			t.Fatalf("from entry %d on:\n%+v\nwhole:\n%+v", cut, rest, whole)
		}
	})
}

func TestRule12VoidEntriesAreSkippedAndCounted(t *testing.T) {
	b := newBench(t)
	b.lead(5)
	b.write(1, 0, 2)
	stale, _ := batchOf(t, b.w.Env(), 2, 0, 0, 4)
	for _, at := range []struct {
		base  int64
		epoch int32
	}{{2, 4}, {3, 5}, {0, 5}} {
		data := append(make([]byte, record.EnvelopeLen), bytes.Clone(stale)...)
		record.PutEnvelope(data, record.KindBatch, 1)
		record.Stamp(data[record.EnvelopeLen:], at.base, at.epoch)
		b.append(5, data)
	}
	b.commit()
	if got := counterValue(t, b.p.metrics.void); got != 3 {
		t.Fatalf("counted %v void entries", got)
	}
	if b.p.folded.producers[2] != nil || b.p.HighWatermark() != 2 {
		t.Fatal("a void entry took effect")
	}
}

func TestUnknownCommandIsSkippedAndCounted(t *testing.T) {
	b := newBench(t)
	b.lead(5)
	before := b.p.folded.encode()
	for _, p := range [][]byte{nil, {2, 1, 0, 0, 0, 0, 0, 0, 0, 0}, {1, 9, 0, 0, 0, 0, 0, 0, 0, 0}, {1, 1, 0}} {
		data := append(make([]byte, record.EnvelopeLen), p...)
		record.PutEnvelope(data, record.KindCommand, 0)
		b.append(5, data)
	}
	b.commit()
	if got := counterValue(t, b.p.metrics.unknownCommands); got != 4 {
		t.Fatalf("counted %v", got)
	}
	if !bytes.Equal(before, b.p.folded.encode()) {
		t.Fatal("an unknown command took effect")
	}
}

func TestDamagedCheckpointIsRefused(t *testing.T) {
	f := folded{producers: producers{}}
	for id := range int64(3) {
		f.producers.fold(record.Meta{ProducerID: id, Count: 1, AppendMS: 5})
	}
	good := f.encode()
	if _, err := decodeFolded(0, 0, good); err != nil {
		t.Fatal(err)
	}
	for n := 1; n < len(good); n++ {
		if _, err := decodeFolded(0, 0, good[:n]); err == nil {
			t.Fatalf("%d of %d bytes were taken", n, len(good))
		}
	}
	if _, err := decodeFolded(0, 0, append(good, 0)); err == nil {
		t.Fatal("a byte too many was taken")
	}
	if _, err := decodeFolded(0, 0, []byte{stateVersion + 1}); err == nil {
		t.Fatal("an unknown version was taken")
	}
	huge := bytes.Clone(good[:stateHeadLen])
	huge[12] = 0x7f
	if _, err := decodeFolded(0, 0, huge); err == nil {
		t.Fatal("a count of billions was taken")
	}
}

func TestFullTablesCheckpointIsBounded(t *testing.T) {
	f := folded{producers: producers{}}
	for id := range int64(maxProducers) {
		for i := range int32(seqWindow + 2) {
			f.producers.fold(record.Meta{ProducerID: id, Count: 1, BaseSequence: i})
		}
	}
	if n := len(f.encode()); n > 1<<20 {
		t.Fatalf("%d bytes", n)
	}
}

// After a restart the folded log (batches without payload) and the checkpoint give a leader all it needs for a duplicate.
func TestRestartKeepsOffsetsAndSequences(t *testing.T) {
	b := newBench(t)
	b.lead(5)
	b.write(1, 0, 2)
	next, start, state := b.p.Checkpoint()
	cut := len(b.log)
	b.write(1, 2, 3)

	p := b.partition()
	if err := p.Restore(raftlog.Checkpoint{Index: uint64(cut + 1), Term: 5, Next: next, LogStart: start, State: state}); err != nil {
		t.Fatal(err)
	}
	for i := cut; i < len(b.log); i++ {
		m := record.Fold(uint64(i+2), 5, false, b.log[i].data, next)
		next = m.Next
		p.Apply(m, nil)
	}
	p.Applied(uint64(len(b.log) + 1))
	b.p = p
	p.attach(b, b)
	b.lead(6)
	for _, c := range []struct{ base, seq int32 }{{0, 0}, {2, 2}} {
		a := b.produce(1, 0, c.seq, int(2+c.seq/2))
		if b.propose() != 0 {
			t.Fatal("proposed a duplicate")
		}
		a.acked(int64(c.base), true)
	}
	b.write(1, 5, 1).acked(5, false)
}
