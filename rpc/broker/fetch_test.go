package broker

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/runnel-io/runnel/partition"
	"github.com/runnel-io/runnel/partition/env"
	"github.com/runnel-io/runnel/partition/record"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

type fetchClient = grpc.BidiStreamingClient[runnelv1.FetchRequest, runnelv1.FetchResponse]

func (h *harness) fetch(credit int64, parts ...*runnelv1.FetchPartition) fetchClient {
	h.t.Helper()
	c := must[fetchClient](h.t)(h.client.Fetch(h.ctx))
	grant(h.t, c, credit, parts...)
	return c
}

func grant(t testing.TB, c fetchClient, credit int64, parts ...*runnelv1.FetchPartition) {
	t.Helper()
	if err := c.Send(&runnelv1.FetchRequest{Partitions: parts, CreditBytes: credit}); err != nil {
		t.Fatal(err)
	}
}

func from(n int32, offset int64) *runnelv1.FetchPartition {
	return &runnelv1.FetchPartition{Topic: "t", Partition: n, Offset: offset}
}

func recvFetch(t testing.TB, c fetchClient) *runnelv1.FetchResponse {
	t.Helper()
	return must[*runnelv1.FetchResponse](t)(c.Recv())
}

func sizeOf(r *runnelv1.FetchResponse) (n int) {
	for _, res := range r.GetResults() {
		n += len(res.GetBatches())
	}
	return n
}

func TestFetchStreamsEveryBatchInOrder(t *testing.T) {
	for _, plain := range []bool{false, true} {
		h := newHarness(t, harnessOptions{limits: Limits{ResponseBytes: 64 << 10}, plain: plain})
		for i := range 100 {
			h.rep.append(t, 1+i%3, 1+i*100)
			h.rep1.append(t, 1, 500)
		}
		c := h.fetch(64<<20, from(0, 0), from(1, 0))
		var got [2][]byte
		next := [2]int64{}
		for next[0] < h.rep.HighWatermark() || next[1] < h.rep1.HighWatermark() {
			r := recvFetch(t, c)
			if n := sizeOf(r); n > 96<<10 {
				t.Errorf("a response of %d bytes, want about 64 KiB", n)
			}
			for _, res := range r.GetResults() {
				p := res.GetPartition()
				if res.GetError() != nil || res.GetNextOffset() <= next[p] {
					t.Fatalf("after %d: %v", next[p], res)
				}
				got[p], next[p] = append(got[p], res.GetBatches()...), res.GetNextOffset()
			}
		}
		if !bytes.Equal(got[0], bytes.Join(h.rep.batches, nil)) || !bytes.Equal(got[1], bytes.Join(h.rep1.batches, nil)) {
			t.Error("the batches received are not those of the log")
		}
	}
}

func TestFetchWakesWhenThereIsMore(t *testing.T) {
	h := newHarness(t, harnessOptions{})
	c := h.fetch(1<<20, from(0, 0), from(1, 0))
	for i := range 5 {
		<-h.rep.parked
		if i == 0 {
			<-h.rep1.parked
		}
		h.rep.append(t, 2, 10)
		r := recvFetch(t, c)
		if len(r.GetResults()) != 1 || r.GetResults()[0].GetNextOffset() != int64(2*i+2) || r.GetResults()[0].GetHighWatermark() != int64(2*i+2) {
			t.Fatalf("answer %d: %v", i, r)
		}
	}
	<-h.rep.parked
	if err := h.s.Stop(h.ctx); err == nil {
		_, err := c.Recv()
		wantReason(t, runnelv1.FromStatus(err), reasonStopping)
	} else {
		t.Error(err)
	}
	if n := h.rep.waiting() + h.rep1.waiting(); n != 0 {
		t.Errorf("%d waiters stayed behind", n)
	}
}

func TestFetchStaysWithinItsCredit(t *testing.T) {
	h := newHarness(t, harnessOptions{})
	for range 50 {
		h.rep.append(t, 1, 1000)
		h.rep1.append(t, 1, 1000)
	}
	one := len(h.rep.batches[0])
	credit := 5*one + 10
	c := h.fetch(int64(credit), from(0, 0), from(1, 0))
	total := 0
	for total < 100*one {
		for credit > 0 {
			r := recvFetch(t, c)
			n := sizeOf(r)
			if n > credit && (len(r.GetResults()) != 1 || n != one) {
				t.Fatalf("%d bytes with a credit of %d", n, credit)
			}
			credit, total = credit-n, total+n
			if total == 100*one {
				break
			}
		}
		credit += 3 * one
		grant(t, c, int64(3*one))
	}
}

func TestBatchLargerThanTheCreditGoesAlone(t *testing.T) {
	h := newHarness(t, harnessOptions{})
	h.rep1.append(t, 1, 10)
	h.rep.append(t, 1, 100_000)
	h.rep.append(t, 1, 10)
	c := h.fetch(1000, from(1, 0), from(0, 0))
	first := recvFetch(t, c)
	if len(first.GetResults()) != 1 || first.GetResults()[0].GetPartition() != 1 {
		t.Fatalf("first %v", first.GetResults()[0].GetPartition())
	}
	second := recvFetch(t, c)
	if len(second.GetResults()) != 1 || sizeOf(second) < 100_000 || second.GetResults()[0].GetNextOffset() != 1 {
		t.Fatalf("second has %d bytes", sizeOf(second))
	}
	// It is paid for: a small grant buys nothing until the debt is gone.
	grant(t, c, 1000)
	grant(t, c, 100_000)
	if third := recvFetch(t, c); third.GetResults()[0].GetNextOffset() != 2 {
		t.Fatal(third)
	}
}

func TestNothingIsDoneWithoutCredit(t *testing.T) {
	h := newHarness(t, harnessOptions{})
	h.rep.append(t, 1, 10)
	st := &fetchStream{s: h.s, wake: make(chan struct{}, 1)}
	if e := st.open(&runnelv1.FetchRequest{Partitions: []*runnelv1.FetchPartition{from(0, 0)}}); e != nil {
		t.Fatal(e)
	}
	if more, err := st.round(); more || err != nil {
		t.Errorf("%v %v: the stream would spin until credit comes", more, err)
	}
}

func TestPartitionsShareAResponse(t *testing.T) {
	h := newHarness(t, harnessOptions{limits: Limits{ResponseBytes: 256 << 10}})
	for range 50 {
		h.rep.append(t, 1, 10_000)
		h.rep1.append(t, 1, 10_000)
	}
	if r := recvFetch(t, h.fetch(64<<20, from(0, 0), from(1, 0))); len(r.GetResults()) != 2 {
		t.Errorf("%d partitions in the first response, want both", len(r.GetResults()))
	}
}

func TestPartitionsTakeTurns(t *testing.T) {
	h := newHarness(t, harnessOptions{limits: Limits{ResponseBytes: 256 << 10}})
	for range 500 {
		h.rep.append(t, 1, 10_000)
	}
	for range 50 {
		h.rep1.append(t, 1, 10_000)
	}
	c := h.fetch(64<<20, from(0, 0), from(1, 0))
	sent := [2]int{}
	for sent[1] < 50*10_000 {
		for _, res := range recvFetch(t, c).GetResults() {
			sent[res.GetPartition()] += len(res.GetBatches())
		}
	}
	if sent[0] > 2*sent[1]+256<<10 {
		t.Errorf("the long partition had %d bytes in the time the short one had %d", sent[0], sent[1])
	}
}

func TestFetchReportsAFailedPartitionOnce(t *testing.T) {
	h := newHarness(t, harnessOptions{})
	c := h.fetch(1<<20, from(0, 0), from(1, 0), &runnelv1.FetchPartition{Topic: "no"})
	r := recvFetch(t, c)
	if len(r.GetResults()) != 1 {
		t.Fatal(r)
	}
	wantReason(t, r.GetResults()[0].GetError(), runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_TOPIC)
	<-h.rep.parked
	<-h.rep1.parked
	h.rep1.fail(runnelv1.Errorf(reasonNotLeader, "stepped down"))
	r = recvFetch(t, c)
	if len(r.GetResults()) != 1 || r.GetResults()[0].GetPartition() != 1 {
		t.Fatal(r)
	}
	e := r.GetResults()[0].GetError()
	wantReason(t, e, reasonNotLeader)
	if e.GetLeaderId() != 2 || e.GetLeaderAddress() != "b2:9092" {
		t.Errorf("hint %v", e)
	}
	// The other one is still served, and a topic deleted meanwhile is called by its name.
	h.rep.append(t, 1, 1)
	if r = recvFetch(t, c); r.GetResults()[0].GetNextOffset() != 1 {
		t.Fatal(r)
	}
	<-h.rep.parked
	h.replicas.refuse("t/0", runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_TOPIC, "deleted"))
	h.rep.fail(runnelv1.Errorf(reasonUnavailable, "stopped"))
	wantReason(t, recvFetch(t, c).GetResults()[0].GetError(), runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_TOPIC)
	// Nothing is left to serve.
	if _, err := c.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("the stream ended with %v, want EOF", err)
	}
}

func TestFetchRefusesWhatItCannotServe(t *testing.T) {
	h := newHarness(t, harnessOptions{limits: Limits{PartitionsPerRequest: 2}})
	for name, send := range map[string]func(c fetchClient){
		"no partition":    func(c fetchClient) { grant(t, c, 10) },
		"too many":        func(c fetchClient) { grant(t, c, 10, from(0, 0), from(1, 0), from(2, 0)) },
		"twice":           func(c fetchClient) { grant(t, c, 10, from(0, 0), from(0, 5)) },
		"negative offset": func(c fetchClient) { grant(t, c, 10, from(0, -1)) },
		"negative credit": func(c fetchClient) { grant(t, c, -1, from(0, 0)) },
		"late partitions": func(c fetchClient) { grant(t, c, 1, from(0, 0)); grant(t, c, 1, from(1, 0)) },
		"credit taken":    func(c fetchClient) { grant(t, c, 1, from(0, 0)); grant(t, c, -1) },
	} {
		t.Run(name, func(t *testing.T) {
			c := must[fetchClient](t)(h.client.Fetch(h.ctx))
			send(c)
			_, err := c.Recv()
			wantReason(t, runnelv1.FromStatus(err), reasonInvalid)
		})
	}
}

func TestCreditIsCapped(t *testing.T) {
	h := newHarness(t, harnessOptions{limits: Limits{CreditBytes: 1000}})
	st := &fetchStream{s: h.s, wake: make(chan struct{}, 1), stream: &scriptedFetch{ctx: h.ctx, in: []int64{600, 600, 1<<63 - 1}}}
	if err := st.read(make(chan *runnelv1.FetchRequest, 1)); err != nil {
		t.Fatal(err)
	}
	if st.credit != 1000 {
		t.Errorf("credit %d, want 1000", st.credit)
	}
}

// scriptedFetch is a stream that grants credit and ends.
type scriptedFetch struct {
	grpc.BidiStreamingServer[runnelv1.FetchRequest, runnelv1.FetchResponse]
	ctx context.Context
	in  []int64
}

func (f *scriptedFetch) Recv() (*runnelv1.FetchRequest, error) {
	if len(f.in) == 0 {
		return nil, io.EOF
	}
	r := &runnelv1.FetchRequest{CreditBytes: f.in[0]}
	f.in = f.in[1:]
	return r, nil
}

func TestFetchServesWhatWasGrantedAfterTheClientClosed(t *testing.T) {
	h := newHarness(t, harnessOptions{})
	c := h.fetch(1<<20, from(0, 0))
	if err := c.CloseSend(); err != nil {
		t.Fatal(err)
	}
	<-h.rep.parked
	h.rep.append(t, 1, 10)
	if r := recvFetch(t, c); r.GetResults()[0].GetNextOffset() != 1 {
		t.Fatal(r)
	}
}

// flappingReplica wakes every waiter at once and has nothing.
type flappingReplica struct {
	*fakeReplica
	tries chan struct{}
}

func (f *flappingReplica) TryFetch(q partition.FetchRequest, _ []byte) (partition.FetchResult, error) {
	f.tries <- struct{}{}
	return partition.FetchResult{Next: q.Offset}, nil
}

func (f *flappingReplica) WaitBeyond(_ int64, f2 func()) func() { f2(); return func() {} }

func TestReplicaThatWakesForNothingIsNotSpunOn(t *testing.T) {
	h := newHarness(t, harnessOptions{})
	f := &flappingReplica{fakeReplica: h.rep, tries: make(chan struct{}, 1000)}
	h.replicas.m["t/0"] = f
	h.fetch(1<<20, from(0, 0))
	if d := <-h.clock.made; d != idlePause {
		t.Fatalf("timer of %v", d)
	}
	if n := len(f.tries); n != idleWakes+1 {
		t.Errorf("%d tries before the pause, want %d", n, idleWakes+1)
	}
	h.clock.advance(idlePause)
	<-h.clock.made // one more try, one more pause
}

func TestFetchOnce(t *testing.T) {
	h := newHarness(t, harnessOptions{})
	type answer struct {
		r   *runnelv1.FetchOnceResponse
		err error
	}
	poll := func(q *runnelv1.FetchOnceRequest) chan answer {
		ch := make(chan answer, 1)
		go func() {
			r, err := h.client.FetchOnce(h.ctx, q)
			ch <- answer{r, err}
		}()
		return ch
	}
	parts := []*runnelv1.FetchPartition{from(0, 0), from(1, 0)}

	t.Run("waits for min_bytes over all partitions", func(t *testing.T) {
		a := poll(&runnelv1.FetchOnceRequest{Partitions: parts, MaxWaitMs: 1000, MinBytes: 200})
		<-h.clock.made
		<-h.rep.parked
		<-h.rep1.parked
		h.rep.append(t, 1, 10)
		if at := <-h.rep.parked; at != 1 {
			t.Errorf("waits beyond %d, want 1: what is there is not enough", at)
		}
		h.rep1.append(t, 1, 100)
		got := <-a
		if got.err != nil || len(got.r.GetResults()) != 2 || got.r.GetResults()[0].GetResult().GetNextOffset() != 1 ||
			got.r.GetResults()[1].GetResult().GetNextOffset() != 1 {
			t.Fatalf("%v", got)
		}
		if h.rep.waiting()+h.rep1.waiting() != 0 {
			t.Error("waiters stayed behind")
		}
	})
	t.Run("answers with what there is when the time is over", func(t *testing.T) {
		a := poll(&runnelv1.FetchOnceRequest{Partitions: parts, MaxWaitMs: 1000, MinBytes: 1 << 20})
		d := <-h.clock.made
		if d != time.Second {
			t.Errorf("waits %v", d)
		}
		h.clock.advance(d)
		got := <-a
		if got.err != nil || len(got.r.GetResults()[0].GetResult().GetBatches()) == 0 {
			t.Fatalf("%v", got)
		}
	})
	t.Run("does not wait if not asked to", func(t *testing.T) {
		got := <-poll(&runnelv1.FetchOnceRequest{Partitions: []*runnelv1.FetchPartition{from(0, 1)}})
		if got.err != nil || got.r.GetResults()[0].GetResult().GetNextOffset() != 1 {
			t.Fatalf("%v", got)
		}
	})
	t.Run("answers an error at once", func(t *testing.T) {
		got := <-poll(&runnelv1.FetchOnceRequest{MaxWaitMs: 1000, Partitions: []*runnelv1.FetchPartition{from(0, 1), {Topic: "no"}}})
		if got.err != nil {
			t.Fatal(got.err)
		}
		wantReason(t, got.r.GetResults()[1].GetResult().GetError(), runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_TOPIC)
	})
	t.Run("plain records from the offset asked for", func(t *testing.T) {
		h.rep.append(t, 5, 100) // offsets 1 to 5 in one batch
		got := <-poll(&runnelv1.FetchOnceRequest{Partitions: []*runnelv1.FetchPartition{from(0, 3)}, PlainRecords: true, MaxBytes: int32(250 + 2*plainRecordBytes)})
		if got.err != nil {
			t.Fatal(got.err)
		}
		res := got.r.GetResults()[0]
		if rs := res.GetRecords(); len(rs) != 2 || rs[0].GetOffset() != 3 || rs[1].GetOffset() != 4 || len(res.GetResult().GetBatches()) != 0 ||
			res.GetResult().GetNextOffset() != 5 || string(rs[0].GetRecord().GetKey()) != "k" {
			t.Fatalf("%v", res)
		}
	})
	t.Run("stops with the broker", func(t *testing.T) {
		for len(h.clock.made) > 0 {
			<-h.clock.made
		}
		a := poll(&runnelv1.FetchOnceRequest{Partitions: []*runnelv1.FetchPartition{from(0, 6)}, MaxWaitMs: 1000})
		<-h.clock.made
		if err := h.s.Stop(h.ctx); err != nil {
			t.Fatal(err)
		}
		wantReason(t, runnelv1.FromStatus((<-a).err), reasonStopping)
	})
}

func TestPlainRecordsReportABadBatchAndSkipIt(t *testing.T) {
	good, bad := makeBatch(t, 2, 10, record.CodecNone), makeBatch(t, 3, 10, record.CodecZstd)
	record.Stamp(good, 0, 1)
	record.Stamp(bad, 2, 1)
	copy(bad[record.HeaderLen:], "not zstd at all")
	all := append(append([]byte{}, good...), recrc(bad)...)
	l := record.Limits{MaxBytes: 1 << 20}
	s := newServer(Config{Env: &env.Env{Clock: newFakeClock()}}, &fakeReplicas{}, newFakeBudget(1))
	out := func(offset int64) (*runnelv1.FetchOnceResult, *runnelv1.Error) {
		r := &runnelv1.FetchOnceResult{Result: &runnelv1.FetchPartitionResult{}}
		_, e := s.plainRecords(t.Context(), r, all, offset, 1<<20, l)
		return r, e
	}
	r, e := out(0)
	if e != nil || len(r.GetRecords()) != 2 || r.GetResult().GetNextOffset() != 2 {
		t.Fatalf("%v %v, want what is good", r, e)
	}
	all = all[len(good):]
	r, e = out(2)
	wantReason(t, e, reasonCorrupt)
	if r.GetResult().GetNextOffset() != 5 {
		t.Errorf("go on at %d, want 5", r.GetResult().GetNextOffset())
	}
}
