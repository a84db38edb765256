package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/runnel-io/runnel/partition/record"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// simulate runs a test in virtual time.
func simulate(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, f)
}

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

func rec(topic string, n int32, v string) *Record {
	return &Record{Topic: topic, Partition: n, Value: []byte(v)}
}

// outcome collects what promises say, in their order.
type outcome struct {
	acked  []string
	failed map[string]error
}

func (o *outcome) promise(r *Record, err error) {
	if o.failed == nil {
		o.failed = make(map[string]error)
	}
	if err != nil {
		o.failed[string(r.Value)] = err
		return
	}
	o.acked = append(o.acked, string(r.Value))
}

func wantValues(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Fatalf("got %q, want %q", got, want)
	}
}

func TestProduceSyncTellsPartitionAndOffset(t *testing.T) {
	simulate(t, func(t *testing.T) {
		c := newFakeCluster(t, 3)
		c.topic("t", 1, 2, 3)
		cl := c.client()
		a, b := rec("t", 2, "a"), rec("t", 2, "b")
		if err := cl.ProduceSync(within(t, time.Second), a, b); err != nil {
			t.Fatal(err)
		}
		if a.Offset != 0 || b.Offset != 1 || a.Partition != 2 || a.Timestamp.IsZero() {
			t.Fatalf("got %+v and %+v", a, b)
		}
		wantValues(t, c.values("t", 2), "a", "b")
	})
}

func TestLostAnswerIsWrittenOnce(t *testing.T) {
	simulate(t, func(t *testing.T) {
		c := newFakeCluster(t, 1)
		c.topic("t", 1)
		lost := false
		c.judge = func(int32, string, int32, record.Header) verdict {
			if !lost {
				lost = true
				return verdict{breaks: true, appends: true}
			}
			return verdict{}
		}
		cl := c.client()
		r := rec("t", 0, "a")
		if err := cl.ProduceSync(within(t, 5*time.Second), r); err != nil {
			t.Fatal(err)
		}
		if !lost || r.Offset != 0 {
			t.Fatalf("lost %v, offset %d", lost, r.Offset)
		}
		wantValues(t, c.values("t", 0), "a")
	})
}

func TestPipelineKeepsOrderOverRefusals(t *testing.T) {
	simulate(t, func(t *testing.T) {
		c := newFakeCluster(t, 1)
		c.topic("t", 1)
		n := 0
		c.judge = func(int32, string, int32, record.Header) verdict {
			n++
			v := verdict{delay: 20 * time.Millisecond}
			if n == 2 || n == 7 {
				v.err = runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_OVERLOADED, "busy")
			}
			return v
		}
		cl := c.client()
		var o outcome
		var want []string
		for i := range 30 {
			v := fmt.Sprint(i)
			want = append(want, v)
			cl.Produce(t.Context(), rec("t", 0, v), o.promise)
			wait(t.Context(), 3*time.Millisecond)
		}
		if err := cl.Flush(within(t, 10*time.Second)); err != nil {
			t.Fatal(err)
		}
		wantValues(t, o.acked, want...)
		wantValues(t, c.values("t", 0), want...)
		if c.maxSeen != 5 { // one more and brokers might forget the first
			t.Fatalf("%d batches of a partition were in flight, want 5", c.maxSeen)
		}
	})
}

func TestFollowsTheLeader(t *testing.T) {
	for _, hints := range []bool{true, false} {
		t.Run(fmt.Sprintf("hints=%v", hints), func(t *testing.T) {
			simulate(t, func(t *testing.T) {
				c := newFakeCluster(t, 3)
				c.hints = hints
				c.topic("t", 1)
				var moves []string
				cl := c.client(WithLeaderHook(func(topic string, p, from, to int32) {
					moves = append(moves, fmt.Sprintf("%s/%d:%d>%d", topic, p, from, to))
				}))
				for i, leader := range []int32{1, 2, noLeader, 3, 1} {
					if leader == noLeader {
						c.lead("t", 0, noLeader)
						time.AfterFunc(300*time.Millisecond, func() { c.lead("t", 0, 3) })
					} else {
						c.lead("t", 0, leader)
					}
					begin := time.Now()
					if err := cl.ProduceSync(within(t, 5*time.Second), rec("t", 0, fmt.Sprint(i))); err != nil {
						t.Fatal(err)
					}
					// 300 ms without a leader, and a poll at most 100 ms later.
					if d := time.Since(begin); d > 450*time.Millisecond {
						t.Fatalf("move %d took %v of virtual time", i, d)
					}
				}
				wantValues(t, c.values("t", 0), "0", "1", "2", "3", "4")
				wait(t.Context(), 200*time.Millisecond) // the hook runs with the next refresh
				if len(moves) == 0 || moves[len(moves)-1][len(moves[len(moves)-1])-1] != '1' {
					t.Fatalf("the hook saw %q", moves)
				}
			})
		})
	}
}

func TestDeadBrokerIsLeftBehind(t *testing.T) {
	simulate(t, func(t *testing.T) {
		c := newFakeCluster(t, 3)
		c.topic("t", 1)
		cl := c.client()
		if err := cl.ProduceSync(within(t, time.Second), rec("t", 0, "a")); err != nil {
			t.Fatal(err)
		}
		c.stop(1)
		time.AfterFunc(200*time.Millisecond, func() { c.lead("t", 0, 2) })
		if err := cl.ProduceSync(within(t, 5*time.Second), rec("t", 0, "b")); err != nil {
			t.Fatal(err)
		}
		wantValues(t, c.values("t", 0), "a", "b")
	})
}

func TestHungLeaderIsLeftBehind(t *testing.T) {
	simulate(t, func(t *testing.T) {
		c := newFakeCluster(t, 3)
		c.topic("t", 1)
		c.judge = func(b int32, _ string, _ int32, _ record.Header) verdict {
			return verdict{hangs: b == 1, appends: true}
		}
		cl := c.client()
		time.AfterFunc(time.Second, func() { c.lead("t", 0, 2) })
		r := rec("t", 0, "a")
		begin := time.Now()
		if err := cl.ProduceSync(within(t, 20*time.Second), r); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(begin); d > 2*time.Second {
			t.Fatalf("took %v of virtual time", d)
		}
		wantValues(t, c.values("t", 0), "a")
	})
}

func TestUnknownTopic(t *testing.T) {
	simulate(t, func(t *testing.T) {
		c := newFakeCluster(t, 3)
		cl := c.client()
		err := cl.ProduceSync(within(t, time.Second), rec("nope", AnyPartition, "a"))
		wantError(t, err, runnelv1.ErrorKind_ERROR_KIND_DEFINITE, runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_TOPIC)
		c.topic("nope", 1)
		if err := cl.ProduceSync(within(t, time.Second), rec("nope", AnyPartition, "a")); err != nil {
			t.Fatalf("after it was made: %v", err)
		}
		err = cl.ProduceSync(within(t, time.Second), rec("nope", 5, "a"))
		wantError(t, err, runnelv1.ErrorKind_ERROR_KIND_DEFINITE, runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_PARTITION)
	})
}

func TestBrokerThatJustStartedDoesNotDenyTopics(t *testing.T) {
	simulate(t, func(t *testing.T) {
		c := newFakeCluster(t, 3)
		c.topic("t", 2)
		c.brokers[1].blind, c.brokers[2].blind = true, true
		cl := c.client()
		time.AfterFunc(300*time.Millisecond, func() { c.locked(func() { c.brokers[2].blind = false }) })
		if err := cl.ProduceSync(within(t, 5*time.Second), rec("t", 0, "a")); err != nil {
			t.Fatal(err)
		}
	})
}

func wantError(t *testing.T, err error, kind runnelv1.ErrorKind, reason runnelv1.ErrorReason) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) || e.GetKind() != kind || e.GetReason() != reason {
		t.Fatalf("got %v (%T: %v %v), want %v %v", err, err, e.GetKind(), e.GetReason(), kind, reason)
	}
}

func TestATopicThatTakesLessBoundsItsBatches(t *testing.T) {
	simulate(t, func(t *testing.T) {
		c := newFakeCluster(t, 1)
		c.topic("t", 1)
		c.config = map[string]string{"max.message.bytes": "3000"}
		batches := 0
		c.judge = func(_ int32, _ string, _ int32, h record.Header) verdict {
			if batches++; h.Size > 3000 {
				t.Errorf("a batch of %d bytes was sent to a topic that takes 3,000", h.Size)
			}
			return verdict{delay: 5 * time.Millisecond}
		}
		cl := c.client()
		var o outcome
		for i := range 100 {
			cl.Produce(t.Context(), rec("t", 0, fmt.Sprintf("%0200d", i)), o.promise)
		}
		if err := cl.Flush(within(t, 10*time.Second)); err != nil {
			t.Fatal(err)
		}
		if len(o.acked) != 100 || batches < 8 || batches > 12 {
			t.Errorf("%d of 100 records of 200 bytes were acknowledged, in %d batches of at most 3,000 bytes", len(o.acked), batches)
		}
	})
}
