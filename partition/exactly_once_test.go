package partition

import (
	"errors"
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/runnel-io/runnel/partition/record"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// idempotentClient is a producer that pipelines and sends again whatever was not acknowledged, in order.
type idempotentClient struct {
	id      int64
	next    int32
	unacked []*sent
	acked   map[int32]int64 // sequence -> offset
}

type sent struct {
	seq, n int32
	a      *answer
	head   bool // the oldest when it was last sent
}

type failer interface {
	Fatalf(format string, args ...any)
}

// settle takes answers in. A failure starts the whole pipeline again, as it must: what follows it is out of order.
func (c *idempotentClient) settle(t failer) {
	for i, s := range c.unacked {
		if s.a == nil {
			continue
		}
		r, done := s.a.got()
		if !done {
			continue
		}
		if r.Err == nil {
			if old, ok := c.acked[s.seq]; ok && old != r.Base {
				t.Fatalf("producer %d sequence %d was acknowledged at %d and at %d", c.id, s.seq, old, r.Base)
			}
			c.acked[s.seq] = r.Base
			continue
		}
		switch r.Err.GetReason() {
		case reasonFenced, reasonDuplicateSeq:
			t.Fatalf("producer %d sequence %d: %v", c.id, s.seq, r.Err)
		case reasonUnknownProd, reasonOutOfOrder:
			// Only ever because of a failure before it. The answer may come when that one is written at last.
			if s.head {
				t.Fatalf("producer %d's oldest batch, sequence %d, was refused: %v", c.id, s.seq, r.Err)
			}
		}
		for _, later := range c.unacked[i:] {
			if later.a == nil {
				continue
			}
			if r, done := later.a.got(); done && r.Err != nil {
				later.a = nil
			}
		}
	}
	for len(c.unacked) > 0 {
		if _, ok := c.acked[c.unacked[0].seq]; !ok {
			break
		}
		c.unacked = c.unacked[1:]
	}
}

// Whatever raft does with proposals and leadership, and however clients send again: each batch of an idempotent producer
// is in the log at most once, at the offset acknowledged, in the order of its sequence.
func TestRule11EachBatchIsWrittenOnceInOrder(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		b := newBench(t)
		term := uint64(5)
		b.lead(term)
		clients := []*idempotentClient{{id: 1, acked: map[int32]int64{}}, {id: 2, acked: map[int32]int64{}}}
		send := func(c *idempotentClient, s *sent) {
			s.head = s == c.unacked[0]
			s.a = b.produce(c.id, 0, s.seq, int(s.n))
		}
		step := func() {
			c := clients[rapid.IntRange(0, 1).Draw(rt, "client")]
			switch rapid.IntRange(0, 11).Draw(rt, "op") {
			case 0, 1, 2:
				if len(c.unacked) < seqWindow {
					s := &sent{seq: c.next, n: rapid.Int32Range(1, 3).Draw(rt, "n")}
					c.next += s.n
					c.unacked = append(c.unacked, s)
				}
			case 3:
				for _, s := range c.unacked { // sent again although not answered: a reconnect
					if rapid.Bool().Draw(rt, "again") && s.a != nil {
						send(c, s)
					}
				}
			case 4:
				b.drop = true
				b.propose()
				b.drop = false
			case 5, 6:
				b.propose()
			case 7:
				b.propose()
				b.commit()
			case 8:
				reason := runnelv1.Errorf(reasonLost, "lost")
				b.lose(reason)
				if keep := rapid.IntRange(b.applied, len(b.log)).Draw(rt, "survives"); keep < len(b.log) {
					b.log = b.log[:keep] // the new leader did not have it
				}
				term++
				b.lead(term)
			case 9:
				next, start, state := b.p.Checkpoint()
				f, err := decodeFolded(next, start, state)
				if err != nil {
					rt.Fatal(err)
				}
				b.p.folded = f
			case 10:
				b.answerReads(nil)
			case 11:
				b.answerReads(errors.New("no quorum"))
			}
			for _, c := range clients {
				c.settle(rt)
				for _, s := range c.unacked {
					if s.a == nil {
						send(c, s)
					}
				}
			}
		}
		for range rapid.IntRange(5, 60).Draw(rt, "steps") {
			step()
		}
		for range 20 { // heal: everything gets acknowledged
			b.propose()
			b.commit()
			b.answerReads(nil)
			for _, c := range clients {
				c.settle(rt)
				for _, s := range c.unacked {
					if s.a == nil {
						send(c, s)
					}
				}
			}
		}
		checkLog(rt, b, clients)
	})
}

func checkLog(t *rapid.T, b *bench, clients []*idempotentClient) {
	at := map[string]int64{}
	last := map[int64]int32{}
	next := int64(0)
	for i, e := range b.log {
		m := record.Fold(uint64(i+2), e.term, false, e.data, next)
		next = m.Next
		if m.Void {
			t.Fatalf("entry %d is void", i)
		}
		if m.Count == 0 {
			continue
		}
		if m.BaseSequence != last[m.ProducerID] {
			t.Fatalf("producer %d's sequence %d follows %d", m.ProducerID, m.BaseSequence, last[m.ProducerID])
		}
		last[m.ProducerID] = m.BaseSequence + m.Count
		if err := record.Each(e.data[record.EnvelopeLen:], 0, func(o int64, r record.Record) error {
			if old, ok := at[string(r.Value)]; ok {
				return fmt.Errorf("%s is at %d and at %d", r.Value, old, o)
			}
			at[string(r.Value)] = o
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range clients {
		if len(c.unacked) != 0 {
			t.Fatalf("producer %d has %d batches unacknowledged after healing", c.id, len(c.unacked))
		}
		for seq, base := range c.acked {
			if got, ok := at[fmt.Sprintf("%d:%d", c.id, seq)]; !ok || got != base {
				t.Fatalf("producer %d's sequence %d was acknowledged at %d and is at %d (%v)", c.id, seq, base, got, ok)
			}
		}
	}
}
