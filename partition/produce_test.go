package partition

import (
	"math"
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/runnel-io/runnel/partition/multiraft"
	"github.com/runnel-io/runnel/partition/record"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

func TestBatchIsAcknowledgedOnceAppliedWithItsOffset(t *testing.T) {
	b := newBench(t)
	b.lead(5)
	a1, a2 := b.produce(-1, 0, 0, 3), b.produce(-1, 0, 0, 2)
	if n := b.propose(); n != 2 {
		t.Fatalf("proposed %d entries, want both batches in one turn", n)
	}
	a1.pending()
	if hw := b.p.HighWatermark(); hw != 0 {
		t.Fatalf("high watermark %d before commit", hw)
	}
	b.commit()
	a1.acked(0, false)
	a2.acked(3, false)
	if hw := b.p.HighWatermark(); hw != 5 {
		t.Fatalf("high watermark %d", hw)
	}
	for i, want := range []int64{0, 3} {
		h, err := record.ParseHeader(b.log[i+1].data[record.EnvelopeLen:])
		if err != nil || h.BaseOffset != want || h.LeaderEpoch != 5 {
			t.Fatalf("entry %d is stamped %+v, %v", i, h, err)
		}
	}
}

func TestProduceOwnedWritesIntoTheCallersBuffer(t *testing.T) {
	b := newBench(t)
	b.lead(5)
	batch, h := batchOf(t, b.w.Env(), -1, 0, 0, 2)
	buf := append(make([]byte, record.EnvelopeLen), batch...)
	a := &answer{t: t}
	b.p.ProduceOwned(buf, h, a.set)
	data := b.turn()
	if len(data) != 1 || &data[0][0] != &buf[0] {
		t.Fatal("the batch was copied")
	}
	b.p.Proposed(nil)
}

// Rule 9: a turn that raft does not take advances nothing; the very same batches are proposed again, in order.
func TestRule09DroppedTurnAdvancesNothing(t *testing.T) {
	b := newBench(t)
	b.lead(5)
	a1, a2, plain := b.produce(1, 0, 0, 3), b.produce(1, 0, 3, 2), b.produce(-1, 0, 0, 1)
	b.drop = true
	if n := b.propose(); n != 3 {
		t.Fatalf("proposed %d", n)
	}
	if len(b.p.inflight.items) != 0 || len(b.p.inflight.tails) != 0 || b.p.inflight.fresh != 0 || b.p.sess.next != 0 {
		t.Fatalf("a dropped turn left %+v, next %d", b.p.inflight, b.p.sess.next)
	}
	late := b.produce(1, 0, 5, 1)
	b.drop = false
	if n := b.propose(); n != 4 {
		t.Fatalf("proposed %d of what was dropped", n)
	}
	b.commit()
	a1.acked(0, false)
	a2.acked(3, false)
	plain.acked(5, false)
	late.acked(6, false)
}

// Rule 9: when what was dropped is given up, nothing behind it in the producer's stream may be written.
func TestRule09SuccessorOfAFailedBatchIsNotAppended(t *testing.T) {
	b := newBench(t)
	b.lead(5)
	b.drop = true
	first := b.produce(1, 0, 0, 3)
	b.propose()
	b.advance(3 * time.Second)
	first.refused(reasonUnavailable, retriableKind)
	b.drop = false
	second := b.produce(1, 0, 3, 2)
	if n := b.propose(); n != 0 {
		t.Fatalf("proposed %d entries after a gap", n)
	}
	b.answerReads(nil)
	second.refused(reasonUnknownProd, definite)

	again := b.produce(1, 0, 0, 3)
	b.propose()
	gap := b.produce(1, 0, 6, 1)
	b.propose()
	b.answerReads(nil)
	gap.refused(reasonOutOfOrder, definite)
	b.commit()
	again.acked(0, false)
}

func TestRule09TurnIsBoundedInBytes(t *testing.T) {
	b := newBench(t, func(c *Config) { c.Settings.MaxMessageBytes = 3 << 20 })
	b.lead(5)
	big := make([]byte, 2<<20)
	var answers []*answer
	for range 3 {
		buf, err := record.Encode(nil, []record.Record{{Value: big}}, record.EncodeOptions{ProducerID: -1})
		if err != nil {
			t.Fatal(err)
		}
		h, err := record.ParseHeader(buf)
		if err != nil {
			t.Fatal(err)
		}
		a := &answer{t: t}
		b.p.Produce(buf, h, a.set)
		answers = append(answers, a)
	}
	wakes := b.wakes
	b.drop = true
	b.propose() // goes back to the head of the queue, before what the turn had no room for
	b.drop = false
	if n := b.propose(); n != 1 {
		t.Fatalf("a turn took %d batches of 2 MiB", n)
	}
	if b.wakes == wakes {
		t.Fatal("the rest of the queue was forgotten")
	}
	for b.propose() > 0 {
	}
	b.commit()
	for i, a := range answers {
		a.acked(int64(i), false)
	}
}

// Rule 10: what is in flight when a session ends may be committed by the next leader.
func TestRule10InFlightIsIndeterminateAtTheSessionsEnd(t *testing.T) {
	b := newBench(t)
	b.lead(5)
	flying := b.produce(1, 0, 0, 3)
	b.propose()
	queued := b.produce(1, 0, 3, 3)
	b.lose(nil)
	flying.refused(reasonLost, indeterminate)
	if e := queued.refused(reasonNotLeader, retriableKind); e.GetLeaderId() != 2 || e.GetLeaderTerm() != 6 {
		t.Fatalf("hint %+v", e)
	}
	b.commit() // the next leader committed it after all
	if hw := b.p.HighWatermark(); hw != 3 {
		t.Fatalf("high watermark %d", hw)
	}
	b.produce(1, 0, 3, 3).refused(reasonNotLeader, retriableKind)
}

func TestRule10EvenAStopLeavesInFlightIndeterminate(t *testing.T) {
	b := newBench(t)
	b.lead(5)
	flying := b.produce(1, 0, 0, 3)
	b.propose()
	queued := b.produce(1, 0, 3, 3)
	b.p.Stopped()
	flying.refused(reasonStopping, indeterminate)
	queued.refused(reasonStopping, retriableKind)
	b.produce(1, 0, 3, 3).refused(reasonStopping, retriableKind)
}

// Rule 10: waiters match on term and base offset. An entry of another term at the same offset is another batch.
func TestRule10EntryOfAnotherTermAcknowledgesNothing(t *testing.T) {
	b := newBench(t)
	b.lead(5)
	a := b.produce(-1, 0, 0, 3)
	b.propose()
	b.log = b.log[:len(b.log)-1] // it never reached a majority

	other, _ := batchOf(t, b.w.Env(), -1, 0, 0, 3)
	data := append(make([]byte, record.EnvelopeLen), other...)
	record.PutEnvelope(data, record.KindBatch, 1)
	record.Stamp(data[record.EnvelopeLen:], 0, 6)
	b.append(6, data)
	b.commit()
	a.pending()
	b.lose(nil)
	a.refused(reasonLost, indeterminate)
}

// Rule 11: a duplicate of a batch in flight must not be answered before that is committed.
func TestRule11DuplicateOfInFlightJoinsItsWaiter(t *testing.T) {
	b := newBench(t)
	b.lead(5)
	first := b.produce(1, 0, 0, 3)
	sameTurn := b.produce(1, 0, 0, 3)
	if n := b.propose(); n != 1 {
		t.Fatalf("proposed %d", n)
	}
	later := b.produce(1, 0, 0, 3)
	if n := b.propose(); n != 0 {
		t.Fatalf("proposed a duplicate")
	}
	sameTurn.pending()
	later.pending()
	b.commit()
	first.acked(0, false)
	sameTurn.acked(0, true)
	later.acked(0, true)

	b.produce(-1, 0, 0, 1)
	lost := b.produce(1, 0, 3, 1)
	b.propose()
	lostToo := b.produce(1, 0, 3, 1)
	b.propose()
	b.lose(nil)
	lost.refused(reasonLost, indeterminate)
	lostToo.refused(reasonLost, indeterminate)
}

func TestRule11AppliedDuplicateGetsItsOriginalOffset(t *testing.T) {
	b := newBench(t)
	b.lead(5)
	for i := range 7 {
		b.write(1, int32(i*2), 2).acked(int64(i*2), false)
	}
	b.lose(nil)
	b.lead(7) // the state is folded from the log, so it outlives the session
	for i := 2; i < 7; i++ {
		a := b.produce(1, 0, int32(i*2), 2)
		if n := b.propose(); n != 0 {
			t.Fatal("proposed a duplicate")
		}
		a.acked(int64(i*2), true)
	}
	for i := range 2 {
		a := b.produce(1, 0, int32(i*2), 2)
		b.propose()
		a.refused(reasonDuplicateSeq, definite)
	}
	overlap := b.produce(1, 0, 10, 5) // begins like a known batch, but is another
	b.propose()
	b.answerReads(nil)
	overlap.refused(reasonOutOfOrder, definite)
	b.write(1, 14, 1).acked(14, false)
}

func TestNewerEpochFencesTheOlder(t *testing.T) {
	b := newBench(t)
	b.lead(5)
	b.write(1, 0, 2)
	bad := b.produce(1, 1, 2, 1)
	b.propose()
	b.answerReads(nil)
	bad.refused(reasonOutOfOrder, definite)
	newer := b.produce(1, 1, 0, 2)
	b.propose()
	inFlight := b.produce(1, 0, 2, 1)
	b.propose()
	inFlight.refused(reasonFenced, definite)
	b.commit()
	newer.acked(2, false)
	applied := b.produce(1, 0, 2, 1)
	b.propose()
	applied.refused(reasonFenced, definite)
	dup := b.produce(1, 1, 0, 2)
	b.propose()
	dup.acked(2, true)
}

func TestSequenceWrapsAsInKafka(t *testing.T) {
	if got := addSeq(math.MaxInt32, 1); got != 0 {
		t.Fatalf("after 2^31-1 comes %d", got)
	}
	if got := addSeq(math.MaxInt32-1, 5); got != 3 {
		t.Fatalf("got %d", got)
	}
	if !behind(math.MaxInt32, 0) || behind(0, math.MaxInt32) || behind(4, 4) || !behind(3, 4) {
		t.Fatal("order on the circle")
	}
	b := newBench(t)
	b.lead(5)
	p := &producer{lastMS: 1}
	p.push(seqBatch{seq: math.MaxInt32 - 2, count: 2, base: 0})
	b.p.folded.producers[1] = p
	b.write(1, math.MaxInt32, 3).acked(0, false) // sequences 2^31-1, 0, 1
	b.write(1, 2, 1).acked(3, false)
	dup := b.produce(1, 0, math.MaxInt32, 3)
	b.propose()
	dup.acked(0, true)
}

func TestUnknownProducerAndFullTable(t *testing.T) {
	b := newBench(t)
	b.lead(5)
	unknown := b.produce(1, 0, 4, 1)
	b.propose()
	b.answerReads(nil)
	unknown.refused(reasonUnknownProd, definite)
	for id := range int64(maxProducers - 1) {
		p := &producer{}
		p.push(seqBatch{count: 1})
		b.p.folded.producers[1000+id] = p
	}
	delete(b.p.folded.producers, 1000)
	spare := b.produce(3, 0, 0, 1)
	b.propose()
	more := b.produce(3, 0, 1, 1)
	b.propose()
	b.commitTo(len(b.log) - 1) // only the first is committed for now
	spare.acked(0, false)
	more.pending()
	last := b.produce(1, 0, 0, 1)
	beyond := b.produce(2, 0, 0, 1) // the one in flight counts
	b.propose()
	beyond.refused(reasonManyProd, retriableKind)
	b.commit()
	last.acked(2, false)
	b.write(1, 1, 1).acked(3, false) // known ones go on
}

func TestProduceRefusals(t *testing.T) {
	full := false
	b := newBench(t, func(c *Config) { c.DiskFull = func() bool { return full }; c.Budget = NewBudget(1000) })
	b.produce(-1, 0, 0, 1).refused(reasonNotLeader, retriableKind)
	full = true
	b.produce(-1, 0, 0, 1).refused(reasonNotLeader, retriableKind) // the client must hear who leads, and whose disk may have space
	full = false
	b.lead(5)

	// Rule 15: client timestamps beyond now + 1 h.
	buf, err := record.Encode(nil, []record.Record{{TimestampMS: b.w.Env().Now().Add(61 * time.Minute).UnixMilli()}}, record.EncodeOptions{ProducerID: -1})
	if err != nil {
		t.Fatal(err)
	}
	h, _ := record.ParseHeader(buf)
	a := &answer{t: t}
	b.p.Produce(buf, h, a.set)
	a.refused(reasonTimestamp, definite)

	full = true
	b.produce(-1, 0, 0, 1).refused(reasonDiskFull, retriableKind)
	full = false

	var refused int
	for range 50 {
		if r, done := b.produce(-1, 0, 0, 10).got(); done && r.Err.GetReason() == reasonOverloaded {
			refused++
		}
	}
	if refused == 0 {
		t.Fatal("the queue has no bound")
	}
	b.p.SetSettings(Settings{MaxMessageBytes: 100, RetentionMS: -1, RetentionBytes: -1})
	b.produce(-1, 0, 0, 50).refused(reasonTooLarge, definite)
	// Whatever the settings say, what no frame between brokers carries is not taken.
	b.p.SetSettings(Settings{MaxMessageBytes: math.MaxInt32, RetentionMS: -1, RetentionBytes: -1})
	giant := &answer{t: t}
	b.p.ProduceOwned(make([]byte, record.EnvelopeLen+MaxBatchBytes+1), record.Header{Size: MaxBatchBytes + 1, Count: 1}, giant.set)
	giant.refused(reasonTooLarge, definite)
	if l := b.p.Limits(); l.MaxBytes != MaxBatchBytes {
		t.Errorf("limits %+v", l)
	}

	b.healthy = &runnelv1.Error{Message: "disk"}
	b.produce(-1, 0, 0, 1).refused(reasonUnavailable, retriableKind)
}

// Batches wait while leadership is being handed over, which shows as turns not being given, but not for ever.
func TestBatchesQueueDuringATransferForASecond(t *testing.T) {
	b := newBench(t)
	b.lead(5)
	a := b.produce(-1, 0, 0, 1)
	b.advance(900 * time.Millisecond)
	a.pending()
	b.propose()
	b.commit()
	a.acked(0, false) // the transfer was called off

	c := b.produce(-1, 0, 0, 1)
	b.advance(2 * time.Second)
	c.refused(reasonUnavailable, retriableKind)
	if b.propose() != 0 {
		t.Fatal("proposed a batch that was answered")
	}
}

func TestQueueThatMovesIsNotOverdue(t *testing.T) {
	b := newBench(t)
	b.lead(5)
	var last *answer
	for range 5 {
		a := b.produce(-1, 0, 0, 1)
		b.advance(400 * time.Millisecond) // a round of the timer finds some batch of the queue, never the same twice
		b.advance(400 * time.Millisecond)
		a.pending()
		b.propose()
		last = a
	}
	b.commit()
	last.acked(4, false)
}

func TestNewLeaderQueuesUntilItsSession(t *testing.T) {
	b := newBench(t)
	b.status = multiraft.Status{Role: multiraft.RoleLeader, Term: 5, Lead: 11}
	a := b.produce(-1, 0, 0, 1)
	a.pending()
	b.lead(5)
	b.propose()
	b.commit()
	a.acked(0, false)
}

func TestAppendTimesNeverFall(t *testing.T) {
	b := newBench(t)
	b.lead(5)
	b.write(-1, 0, 1)
	b.p.sess.lastMS += 5000 // the clock goes back by five seconds
	b.write(-1, 0, 1)
	b.write(-1, 0, 1)
	last := int64(0)
	for _, e := range b.log[1:] {
		_, ms, _, err := record.OpenEnvelope(e.data)
		if err != nil || ms < last {
			t.Fatalf("append time %d after %d, %v", ms, last, err)
		}
		last = ms
	}
	b.lose(nil)
	b.lead(6)
	if b.p.sess.lastMS != last {
		t.Fatalf("a new session forgets the newest append time")
	}
}

func TestConfChangesAreNoState(t *testing.T) {
	b := newBench(t)
	b.p.Conf(&raftpb.ConfState{})
	b.p.Apply(record.Meta{Index: 2, Term: 1, Conf: true}, nil)
	if b.p.folded.next != 0 {
		t.Fatal("a conf change took an offset")
	}
	b = newBench(t)
	b.lead(5)
	b.write(1, 0, 10).acked(0, false)
	b.p.Conf(&raftpb.ConfState{})
	b.write(1, 10, 10).acked(10, false) // the leader's session goes on without a gap
}
