package partition

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/runnel-io/runnel/partition/multiraft"
	"github.com/runnel-io/runnel/partition/record"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

func wantError(t testing.TB, err error, reason runnelv1.ErrorReason, kind runnelv1.ErrorKind) *runnelv1.Error {
	t.Helper()
	var e *runnelv1.Error
	if !errors.As(err, &e) || e.GetReason() != reason || e.GetKind() != kind {
		t.Fatalf("error %v (%v), want %v %v", err, runnelv1.AsError(err).GetReason(), kind, reason)
	}
	return e
}

func mustTryFetch(t testing.TB, p *Partition, r FetchRequest) FetchResult {
	t.Helper()
	res, err := p.TryFetch(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

func countRecords(t testing.TB, batches []byte) (n int) {
	t.Helper()
	for b, err := range record.Batches(batches) {
		if err != nil {
			t.Fatal(err)
		}
		h, _ := record.ParseHeader(b)
		n += int(h.Count)
	}
	return n
}

func TestFetchServesCommittedBatchesOnly(t *testing.T) {
	b := newBench(t)
	b.lead(5)
	b.write(-1, 0, 3)
	b.produce(-1, 0, 0, 2)
	b.propose() // in the log, not committed
	res := mustTryFetch(t, b.p, FetchRequest{Offset: 1})
	if countRecords(t, res.Batches) != 3 || res.Next != 3 || res.HighWatermark != 3 || res.LogStart != 0 {
		t.Fatalf("got %+v", res)
	}
	if res = mustTryFetch(t, b.p, FetchRequest{Offset: 3}); len(res.Batches) != 0 || res.Next != 3 {
		t.Fatalf("got %+v", res)
	}
	b.commit()
	prefix := []byte("prefix")
	res, err := b.p.TryFetch(FetchRequest{Offset: 3}, prefix)
	if err != nil || countRecords(t, res.Batches) != 2 || res.Next != 5 {
		t.Fatalf("got %+v, %v", res, err)
	}
}

func TestOnlyTheLeaderServesUnlessAnyReplicaMay(t *testing.T) {
	b := newBench(t)
	b.lead(5)
	b.write(-1, 0, 3)
	b.lose(nil)
	_, err := b.p.TryFetch(FetchRequest{}, nil)
	if e := wantError(t, err, reasonNotLeader, retriableKind); e.GetLeaderId() != 2 {
		t.Fatalf("hint %+v", e)
	}
	if res := mustTryFetch(t, b.p, FetchRequest{AnyReplica: true}); countRecords(t, res.Batches) != 3 {
		t.Fatalf("got %+v", res)
	}
	b.healthy = errors.New("disk error")
	_, err = b.p.TryFetch(FetchRequest{AnyReplica: true}, nil)
	wantError(t, err, reasonUnavailable, retriableKind)
}

func TestBelowTheLogStartIsOutOfRangeAndNamesIt(t *testing.T) {
	b := newBench(t)
	b.lead(5)
	b.write(-1, 0, 3)
	b.append(5, command{kind: commandTrim, arg: 2}.entry(0))
	b.commit()
	res, err := b.p.TryFetch(FetchRequest{Offset: 1}, nil)
	e := wantError(t, err, reasonOutOfRange, definite)
	if res.LogStart != 2 || !strings.Contains(e.GetMessage(), "log start 2") {
		t.Fatalf("got %+v, %v", res, e)
	}
}

// Rule 16: a follower's watermark lags; what lies above it may well be committed.
func TestRule16AFollowerNeverCallsAnOffsetOutOfRange(t *testing.T) {
	b := newBench(t)
	fired := 0
	res := mustTryFetch(t, b.p, FetchRequest{Offset: 1, AnyReplica: true})
	if len(res.Batches) != 0 || res.Next != 1 {
		t.Fatalf("got %+v", res)
	}
	b.p.WaitBeyond(1, func() { fired++ })
	if len(b.reads) != 0 {
		t.Fatal("a follower asked for a ReadIndex")
	}
	batch, _ := batchOf(t, b.w.Env(), -1, 0, 0, 2)
	data := append(make([]byte, record.EnvelopeLen), batch...)
	record.PutEnvelope(data, record.KindBatch, 1)
	record.Stamp(data[record.EnvelopeLen:], 0, 4)
	b.append(4, data)
	b.commit()
	if res = mustTryFetch(t, b.p, FetchRequest{Offset: 1, AnyReplica: true}); fired != 1 || res.Next != 2 {
		t.Fatalf("woken %d times, got %+v", fired, res)
	}
}

// Rule 16: even a leader says so only after a ReadIndex, since it may have been deposed without knowing.
func TestRule16ALeaderSaysOutOfRangeOnlyAfterReadIndex(t *testing.T) {
	b := newBench(t)
	b.lead(5)
	b.write(-1, 0, 3)
	ask := func() error {
		_, err := b.p.TryFetch(FetchRequest{Offset: 9}, nil)
		return err
	}
	if err := ask(); err != nil {
		t.Fatalf("out of range without a ReadIndex: %v", err)
	}
	fired := 0
	b.p.WaitBeyond(9, func() { fired++ })
	b.answerReads(errors.New("no quorum"))
	if err := ask(); err != nil || fired != 1 {
		t.Fatalf("after a failed ReadIndex: woken %d times, want once, to ask again; %v", fired, err)
	}
	b.p.WaitBeyond(9, func() { fired++ })
	b.answerReads(nil)
	if fired != 2 {
		t.Fatalf("woken %d times", fired)
	}
	wantError(t, ask(), reasonOutOfRange, definite)
	if err := ask(); err != nil {
		t.Fatalf("a proof was used twice: %v", err)
	}

	b.p.WaitBeyond(9, func() {})
	b.answerReads(nil)
	b.lose(nil)
	b.lead(6)
	if err := ask(); err != nil {
		t.Fatalf("a proof outlived its session: %v", err)
	}
}

func TestWaitersAreCalledOnce(t *testing.T) {
	b := newBench(t)
	b.lead(5)
	var at0, at1, cancelled, session int
	b.p.WaitBeyond(0, func() { at0++ })
	b.p.WaitBeyond(2, func() { at1++ })
	b.p.WaitBeyond(0, func() { cancelled++ })()
	b.write(-1, 0, 2)
	if at0 != 1 || at1 != 0 || cancelled != 0 {
		t.Fatalf("called %d, %d, %d times", at0, at1, cancelled)
	}
	b.p.WaitBeyond(1, func() { at0++ }) // is there already
	if at0 != 2 {
		t.Fatal("a waiter for what is there was not called")
	}
	b.p.WaitBeyond(5, func() { session++ })
	b.lose(nil)
	if at1 != 1 || session != 1 {
		t.Fatalf("at the session's end called %d, %d times", at1, session)
	}
	b.p.Stopped()
	b.p.WaitBeyond(100, func() { session++ })
	b.p.WaitBeyond(0, func() { session++ }) // although it is there
	if session != 3 {
		t.Fatal("a waiter on a stopped partition was not called")
	}
}

// A reader that saw the session may begin to wait just after the session's end woke everybody.
func TestWaiterThatMissedTheSessionsEndIsWokenByTheNextTick(t *testing.T) {
	b := newBench(t)
	b.lead(5)
	b.p.Tick(b.w.Env().Now())
	b.lose(nil)
	fired := 0
	b.p.WaitBeyond(0, func() { fired++ })
	for range 3 {
		b.p.Tick(b.w.Env().Now())
	}
	b.p.WaitBeyond(0, func() { fired++ }) // nothing more to say to those who come later
	b.p.Tick(b.w.Env().Now())
	if fired != 1 {
		t.Fatalf("woken %d times", fired)
	}
}

func TestFetchWaitsForMinBytesOrTheContext(t *testing.T) {
	b := newBench(t)
	b.lead(5)
	ctx, cancel := context.WithCancel(t.Context())
	type answer struct {
		res FetchResult
		err error
	}
	answers := make(chan answer)
	fetch := func(minBytes int) {
		res, err := b.p.Fetch(ctx, FetchRequest{Offset: b.p.HighWatermark(), MinBytes: minBytes}, nil)
		answers <- answer{res, err}
	}
	go fetch(1)
	b.waitForWaiter()
	b.write(-1, 0, 2)
	if a := <-answers; a.err != nil || countRecords(t, a.res.Batches) != 2 {
		t.Fatalf("got %+v", a)
	}
	go fetch(1 << 20)
	b.waitForWaiter()
	b.write(-1, 0, 2)
	b.waitForWaiter()
	cancel()
	if a := <-answers; a.err != nil || countRecords(t, a.res.Batches) != 2 {
		t.Fatalf("got %+v", a)
	}
}

// waitForWaiter waits until somebody waits for the high watermark.
func (b *bench) waitForWaiter() {
	for {
		b.p.waiters.mu.Lock()
		n := len(b.p.waiters.all)
		b.p.waiters.mu.Unlock()
		if n > 0 {
			return
		}
		yield()
	}
}

func TestEndOffsetIsLinearizable(t *testing.T) {
	b := newBench(t)
	if _, err := b.p.EndOffset(t.Context()); err == nil {
		t.Fatal("a follower answered")
	}
	b.lead(5)
	b.write(-1, 0, 2)
	ends := make(chan int64)
	go func() {
		end, err := b.p.EndOffset(t.Context())
		if err != nil {
			t.Error(err)
		}
		ends <- end
	}()
	for len(b.snapReads()) == 0 {
		yield()
	}
	b.write(-1, 0, 3)
	b.answerReads(nil)
	if end := <-ends; end != 5 {
		t.Fatalf("end %d", end)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := b.p.EndOffset(ctx)
	wantError(t, err, reasonTimeout, retriableKind)
}

func TestOffsetAtTime(t *testing.T) {
	b := newBench(t)
	b.lead(5)
	b.autoRead = true
	write := func(maxClaim int64, times ...int64) {
		var recs []record.Record
		for _, ms := range times {
			recs = append(recs, record.Record{TimestampMS: ms})
		}
		buf, err := record.Encode(nil, recs, record.EncodeOptions{ProducerID: -1})
		if err != nil {
			t.Fatal(err)
		}
		h, _ := record.ParseHeader(buf)
		if maxClaim > 0 {
			buf[35+6], buf[35+7] = byte(maxClaim>>8), byte(maxClaim) // the header's maximum; its CRC is not looked at here
		}
		b.p.Produce(buf, h, func(r ProduceResult) {
			if r.Err != nil {
				t.Error(r.Err)
			}
		})
		b.propose()
		b.commit()
	}
	write(0, 10, 30, 20)
	write(90, 40) // claims 90
	write(0, 50, 60)
	for ms, want := range map[int64]int64{0: 0, 15: 1, 31: 3, 41: 4, 55: 5, 80: 6, 1000: 6} {
		got, err := b.p.OffsetAtTime(t.Context(), ms)
		if err != nil || got != want {
			t.Errorf("at %d ms: offset %d, want %d (%v)", ms, got, want, err)
		}
	}
	b.append(5, command{kind: commandTrim, arg: 2}.entry(0))
	b.commit()
	if got, err := b.p.OffsetAtTime(t.Context(), 15); err != nil || got != 2 {
		t.Errorf("after a trim to 2: offset %d, %v", got, err)
	}
}

func TestStatus(t *testing.T) {
	b := newBench(t)
	b.lead(5)
	b.write(1, 0, 3)
	b.status.Commit, b.status.PeersFloor = 20, 9 // 9 was committed when the peers were looked at the time before
	b.status.Peers = map[uint64]multiraft.PeerStatus{
		// Raft clears RecentActive at each of its checks, and an idle follower sets it again only at the next heartbeat.
		12: {Match: 9, RecentActive: true}, 13: {Match: 8, RecentActive: true}, 14: {Match: 20, RecentActive: false},
	}
	s := b.p.Status()
	if !s.Leader || s.HW != 3 || s.Term != 5 || s.Producers != 1 || !s.CaughtUp(12) || s.CaughtUp(13) || !s.CaughtUp(14) || !s.CaughtUp(11) {
		t.Fatalf("%+v", s)
	}
	b.healthy = errors.New("disk error")
	if s := b.p.Status(); s.Quarantine != "disk error" || s.Leader {
		t.Fatalf("%+v", s)
	}
}
