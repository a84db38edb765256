package client

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/runnel-io/runnel/partition/record"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

func TestNothingIsSentAgainBeforeThePipelineIsEmpty(t *testing.T) {
	simulate(t, func(t *testing.T) {
		c := newFakeCluster(t, 1)
		c.topic("t", 1)
		var first, again time.Time
		c.judge = func(_ int32, _ string, _ int32, h record.Header) verdict {
			if h.BaseSequence != 0 {
				return verdict{delay: 100 * time.Millisecond}
			}
			if first.IsZero() {
				first = time.Now()
				return verdict{delay: 20 * time.Millisecond, err: runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_OVERLOADED, "busy")}
			}
			if again.IsZero() {
				again = time.Now()
			}
			return verdict{}
		}
		cl := c.client()
		var o outcome
		spaced(t, cl, &o, 4)
		if err := cl.Flush(within(t, 10*time.Second)); err != nil {
			t.Fatal(err)
		}
		wantValues(t, c.values("t", 0), "0", "1", "2", "3")
		// The last of the four left some 9 ms after the first and was answered 100 ms later.
		if d := again.Sub(first); d < 100*time.Millisecond {
			t.Fatalf("sent again after %v, while later batches were in flight", d)
		}
	})
}

func TestDeletedTopicFailsWhatIsInFlightAsUnknown(t *testing.T) {
	simulate(t, func(t *testing.T) {
		c := newFakeCluster(t, 2)
		c.topic("t", 1)
		c.judge = func(int32, string, int32, record.Header) verdict { return verdict{hangs: true, appends: true} }
		cl := c.client()
		var o outcome
		cl.Produce(t.Context(), rec("t", 0, "sent"), o.promise)
		wait(t.Context(), 10*time.Millisecond)
		cl.Produce(t.Context(), rec("t", 0, "also sent"), o.promise)
		wait(t.Context(), 10*time.Millisecond)
		c.locked(func() { delete(c.topics, "t"); c.revision++ })
		if err := cl.Flush(within(t, 5*time.Second)); err != nil {
			t.Fatal(err)
		}
		wantError(t, o.failed["sent"], runnelv1.ErrorKind_ERROR_KIND_INDETERMINATE, runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_TOPIC)
		wantError(t, o.failed["also sent"], runnelv1.ErrorKind_ERROR_KIND_INDETERMINATE, runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_TOPIC)
	})
}

func TestOneDenialIsNotBelieved(t *testing.T) {
	simulate(t, func(t *testing.T) {
		c := newFakeCluster(t, 1)
		c.topic("t", 1)
		c.denials = 2
		if err := c.client().ProduceSync(within(t, time.Second), rec("t", 0, "a")); err != nil {
			t.Fatal(err)
		}
	})
}

func TestSequencesEndBeforeTheyWrap(t *testing.T) {
	simulate(t, func(t *testing.T) {
		c := newFakeCluster(t, 1)
		c.topic("t", 1)
		cl := c.client()
		if err := cl.ProduceSync(within(t, time.Second), rec("t", 0, "0")); err != nil {
			t.Fatal(err)
		}
		q := cl.prod.topics["t"].parts[0]
		cl.prod.mu.Lock()
		q.nextSeq = sequenceEnd - 1
		cl.prod.mu.Unlock()
		c.locked(func() { c.topics["t"][0].producers[q.id].next = sequenceEnd - 1 })
		var o outcome
		for i := 1; i <= 6; i++ {
			cl.Produce(t.Context(), rec("t", 0, fmt.Sprint(i)), o.promise)
			wait(t.Context(), 3*time.Millisecond)
		}
		if err := cl.Flush(within(t, time.Second)); err != nil {
			t.Fatal(err)
		}
		wantValues(t, c.values("t", 0), "0", "1", "2", "3", "4", "5", "6")
		if len(c.topics["t"][0].producers) != 2 {
			t.Fatalf("%d producer ids, want 2", len(c.topics["t"][0].producers))
		}
	})
}

func TestPromiseMayProduce(t *testing.T) {
	simulate(t, func(t *testing.T) {
		c := newFakeCluster(t, 1)
		c.topic("t", 1)
		cl := c.client()
		left := 5
		var next func(*Record, error)
		next = func(_ *Record, err error) {
			if err != nil {
				t.Error(err)
			}
			if left--; left > 0 {
				cl.Produce(t.Context(), rec("t", 0, fmt.Sprint(left)), next)
			}
		}
		cl.Produce(t.Context(), rec("t", 0, "first"), next)
		if err := cl.Flush(within(t, time.Second)); err != nil {
			t.Fatal(err)
		}
		wantValues(t, c.values("t", 0), "first", "4", "3", "2", "1")
	})
}

func TestReadLosesNothingWhenAStreamIsCutWhileItsReaderIsSlow(t *testing.T) {
	simulate(t, func(t *testing.T) {
		c := newFakeCluster(t, 2)
		c.topic("t", 1)
		r := reader(t, c.client(), "t")
		if err := r.Ready(within(t, time.Second)); err != nil {
			t.Fatal(err)
		}
		for range 40 { // a response each, more than are held ahead of the iteration
			c.fill("t", 0, 1, 10, record.CodecNone)
			wait(t.Context(), time.Millisecond)
		}
		synctest.Wait()
		if len(r.fetched) != cap(r.fetched) {
			t.Fatalf("%d responses wait, want %d", len(r.fetched), cap(r.fetched))
		}
		c.lead("t", 0, 2)
		wait(t.Context(), time.Second)
		r.c.refresh.trigger() // the stream is stopped because metadata says so
		wait(t.Context(), time.Second)
		wantSpan(t, collect(t, r, 400)[0], 0, 400)
	})
}

func TestMetadataOnlyLearns(t *testing.T) {
	answer := func(cluster string, revision uint64, id uint64, leader int32, term int64) *runnelv1.MetadataResponse {
		return &runnelv1.MetadataResponse{ClusterId: cluster, Revision: revision,
			Brokers: []*runnelv1.BrokerInfo{{Id: 1, Address: "a:1"}, {Id: 2, Address: "b:1"}},
			Topics: []*runnelv1.TopicMetadata{{Name: "t", Id: id, Partitions: []*runnelv1.PartitionMetadata{
				{Partition: 0, LeaderId: leader, Term: term}}}}}
	}
	m := newMetadata([]string{"a:1"})
	m.track("t")
	for _, step := range []struct {
		what string
		resp *runnelv1.MetadataResponse
		want leader
		bad  bool
	}{
		{"first answer", answer("c", 5, 1, 1, 3), leader{1, 3}, false},
		{"an older term", answer("c", 6, 1, 2, 2), leader{1, 3}, false},
		{"no leader known there", answer("c", 6, 1, noLeader, 4), leader{1, 3}, false},
		{"a newer term, of an older revision", answer("c", 4, 1, 2, 7), leader{2, 7}, false},
		{"the topic as it was before", answer("c", 4, 9, 1, 9), leader{2, 7}, false},
		{"the topic made anew", answer("c", 8, 2, 1, 1), leader{1, 1}, false},
		{"another cluster", answer("d", 9, 1, 2, 99), leader{1, 1}, true},
	} {
		e := m.merge("a:1", []string{"t"}, step.resp)
		if got := m.topic("t").leaders[0]; got != step.want || (e != nil) != step.bad {
			t.Fatalf("%s: leader %v, error %v", step.what, got, e)
		}
	}
	far := runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_NOT_LEADER, "no")
	far.LeaderId, far.LeaderAddress, far.LeaderTerm = 2, "b:1", 1
	if m.hint("t", 0, 3, far) {
		t.Fatal("an old hint by somebody else was believed")
	}
	if !m.hint("t", 0, 1, far) || m.topic("t").leaders[0] != (leader{2, 1}) {
		t.Fatal("the hint of the supposed leader was not believed")
	}
	if m.hint("t", 0, 2, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_NOT_LEADER, "no")) || m.topic("t").leaders[0].id != noLeader {
		t.Fatal("a broker that does not lead is still the leader")
	}
}
