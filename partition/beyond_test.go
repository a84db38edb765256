package partition

import (
	"errors"
	"testing"
)

// A reader beyond the end whose first ReadIndex met no quorum must not hang until the session ends.
func TestReaderBeyondTheEndIsJudgedAgainAfterAFailedReadIndex(t *testing.T) {
	b := newBench(t)
	b.lead(5)
	b.write(-1, 0, 3)
	var got error
	var read func()
	read = func() { // as Fetch does
		if _, got = b.p.TryFetch(FetchRequest{Offset: 9}, nil); got == nil {
			b.p.WaitBeyond(9, read)
		}
	}
	read()
	b.answerReads(errors.New("no quorum"))
	if got != nil || len(b.reads) != 1 {
		t.Fatalf("after a failed ReadIndex: %v, %d more asked for", got, len(b.reads))
	}
	b.answerReads(nil)
	wantError(t, got, reasonOutOfRange, definite)
}

// At the very end there is nothing to judge: data will come.
func TestFailedReadIndexLeavesAReaderAtTheEndAlone(t *testing.T) {
	b := newBench(t)
	b.lead(5)
	b.write(-1, 0, 3)
	fired := 0
	b.p.WaitBeyond(5, func() { fired++ })
	b.write(-1, 0, 2)
	b.answerReads(errors.New("no quorum"))
	if fired != 0 {
		t.Fatal("woken")
	}
	b.write(-1, 0, 1)
	if fired != 1 {
		t.Fatalf("woken %d times by data", fired)
	}
}

func TestSessionsEndAndTheReadItFailsCallAWaiterOnce(t *testing.T) {
	b := newBench(t)
	b.lead(5)
	b.write(-1, 0, 3)
	fired := 0
	b.p.WaitBeyond(9, func() { fired++ })
	b.lose(nil)
	b.answerReads(errors.New("lost leadership"))
	if fired != 1 {
		t.Fatalf("woken %d times", fired)
	}
}

func TestCancelledWaiterIsNotCalledByAFailedReadIndex(t *testing.T) {
	b := newBench(t)
	b.lead(5)
	b.write(-1, 0, 3)
	cancel := b.p.WaitBeyond(9, func() { t.Error("called after cancel") })
	cancel()
	b.answerReads(errors.New("no quorum"))
}
