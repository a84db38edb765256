package partition

import (
	"errors"
	"testing"
	"time"
)

// gaps has a leader get batches that must not be written as far as it knows: of a producer that it does not know, after a gap, and behind them.
func gaps(t *testing.T) (*bench, []*answer) {
	b := newBench(t)
	b.lead(5)
	b.write(2, 0, 3)
	unknown := b.produce(1, 0, 7, 1)
	behind := b.produce(1, 0, 8, 1)
	gap := b.produce(2, 0, 9, 1)
	if n := b.propose(); n != 0 {
		t.Fatalf("proposed %d entries", n)
	}
	return b, []*answer{unknown, behind, gap}
}

// A deposed leader that does not know it yet has not seen what the producer wrote to its successor.
func TestRule16AGapIsRefusedForCertainOnlyByALeaderWithAMajority(t *testing.T) {
	b, as := gaps(t)
	for _, a := range as {
		a.pending()
	}
	if len(b.reads) != 1 {
		t.Fatalf("%d reads of the index for one turn", len(b.reads))
	}
	b.answerReads(nil)
	as[0].refused(reasonUnknownProd, definite)
	as[1].refused(reasonUnknownProd, definite)
	as[2].refused(reasonOutOfOrder, definite)
}

func TestRule16AGapIsNoGapWhereNoMajorityConfirmsTheLeader(t *testing.T) {
	b, as := gaps(t)
	b.answerReads(errors.New("no quorum"))
	for _, a := range as {
		a.refused(reasonNotLeader, retriableKind)
	}
}

func TestRule16AGapInDoubtEndsWithTheSession(t *testing.T) {
	b, as := gaps(t)
	b.lose(nil)
	for _, a := range as {
		if e := a.refused(reasonNotLeader, retriableKind); e.GetLeaderId() != 2 {
			t.Errorf("the leader is said to be %d", e.GetLeaderId())
		}
	}
	b.answerReads(nil) // as may be: nothing is answered twice
	b.lead(7)
	later := b.produce(1, 0, 7, 1)
	b.propose()
	b.answerReads(nil)
	later.refused(reasonUnknownProd, definite)
	if len(b.p.doubted) != 0 {
		t.Errorf("%d are kept", len(b.p.doubted))
	}
}

// Each read answers the turn that asked for it, whichever comes first.
func TestRule16EachTurnsGapsHaveTheirOwnProof(t *testing.T) {
	b, first := gaps(t)
	second := b.produce(2, 0, 30, 1)
	b.propose()
	if len(b.reads) != 2 {
		t.Fatalf("%d reads", len(b.reads))
	}
	of := b.reads
	of[1](9, nil)
	second.refused(reasonOutOfOrder, definite)
	first[0].pending()
	of[0](9, errors.New("no quorum"))
	first[0].refused(reasonNotLeader, retriableKind)
}

// What a producer goes on with is a gap for a leader that was deposed before it began, and does not know that.
func TestRule16ADeposedLeaderRefusesNoSequenceForCertain(t *testing.T) {
	c := newCluster(t, 9, 3, DefaultSettings())
	c.awaitLeader()
	c.produce(newClient(1), 5)
	old := c.leader()
	c.net.Isolate(old, []int32{1, 2, 3}, true)
	c.until("another leader", 20*time.Second, func() bool { return c.leader() != old })
	cl := newClient(2)
	c.produce(cl, 5)
	stale := c.nodes[old].p
	if !stale.Status().Leader {
		t.Fatal("the old leader knows already that it leads no longer")
	}
	buf, h := batchOf(t, c.w.Env(), cl.id, 0, cl.next, 3)
	a := &answer{t: t}
	stale.Produce(buf, h, a.set)
	c.until("the old leader's answer", 20*time.Second, func() bool { _, done := a.got(); return done })
	a.refused(reasonNotLeader, retriableKind)
	c.net.Isolate(old, []int32{1, 2, 3}, false)
	c.check(cl, c.settled())
}
