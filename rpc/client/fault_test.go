package client

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/runnel-io/runnel/partition/record"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// spaced produces n records to partition 0, far enough apart that each is a batch and near enough that they pipeline.
func spaced(t *testing.T, cl *Client, o *outcome, n int) {
	t.Helper()
	for i := range n {
		cl.Produce(t.Context(), rec("t", 0, fmt.Sprint(i)), o.promise)
		wait(t.Context(), 3*time.Millisecond)
	}
}

func TestDefiniteFailureInThePipelineLeavesNoGap(t *testing.T) {
	simulate(t, func(t *testing.T) {
		c := newFakeCluster(t, 1)
		c.topic("t", 1)
		ids := make(map[int64]bool)
		refused := false
		c.judge = func(_ int32, _ string, _ int32, h record.Header) verdict {
			ids[h.ProducerID] = true
			v := verdict{delay: 30 * time.Millisecond}
			if !refused && h.BaseSequence == 1 {
				refused = true
				v.err = runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_BATCH_TOO_LARGE, "too large")
			}
			return v
		}
		cl := c.client()
		var o outcome
		spaced(t, cl, &o, 12)
		if err := cl.Flush(within(t, 10*time.Second)); err != nil {
			t.Fatal(err)
		}
		if len(o.failed) != 1 {
			t.Fatalf("failed: %v", o.failed)
		}
		wantError(t, o.failed["1"], runnelv1.ErrorKind_ERROR_KIND_DEFINITE, runnelv1.ErrorReason_ERROR_REASON_BATCH_TOO_LARGE)
		wantValues(t, o.acked, "0", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11")
		wantValues(t, c.values("t", 0), o.acked...)
		if len(ids) != 2 {
			t.Fatalf("%d producer ids were used, want 2", len(ids))
		}
	})
}

func TestUnknownOutcomeBehindAGapIsNeverResequenced(t *testing.T) {
	simulate(t, func(t *testing.T) {
		c := newFakeCluster(t, 1)
		c.topic("t", 1)
		seen := make(map[int32]int)
		c.judge = func(_ int32, _ string, _ int32, h record.Header) verdict {
			if h.ProducerID != 1001 {
				return verdict{}
			}
			seen[h.BaseSequence]++
			switch {
			case h.BaseSequence == 1:
				return verdict{err: runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_INVALID_TIMESTAMP, "in the future"), delay: 20 * time.Millisecond}
			case h.BaseSequence == 2:
				return verdict{err: runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_LOST_LEADERSHIP, "who knows"), delay: 20 * time.Millisecond}
			}
			return verdict{delay: 20 * time.Millisecond}
		}
		cl := c.client()
		var o outcome
		spaced(t, cl, &o, 8)
		if err := cl.Flush(within(t, 10*time.Second)); err != nil {
			t.Fatal(err)
		}
		wantError(t, o.failed["1"], runnelv1.ErrorKind_ERROR_KIND_DEFINITE, runnelv1.ErrorReason_ERROR_REASON_INVALID_TIMESTAMP)
		wantError(t, o.failed["2"], runnelv1.ErrorKind_ERROR_KIND_INDETERMINATE, runnelv1.ErrorReason_ERROR_REASON_LOST_LEADERSHIP)
		wantValues(t, o.acked, "0", "3", "4", "5", "6", "7")
		wantValues(t, c.values("t", 0), o.acked...)
		if seen[2] != 1 {
			t.Fatalf("the batch of unknown fate was sent %d times, want once", seen[2])
		}
	})
}

func TestForgottenProducerStartsAnew(t *testing.T) {
	simulate(t, func(t *testing.T) {
		c := newFakeCluster(t, 1)
		c.topic("t", 1)
		cl := c.client()
		for i := range 3 {
			if err := cl.ProduceSync(within(t, time.Second), rec("t", 0, fmt.Sprint(i))); err != nil {
				t.Fatal(err)
			}
			c.locked(func() { clear(c.topics["t"][0].producers) })
		}
		wantValues(t, c.values("t", 0), "0", "1", "2")
	})
}

// A broker whose disk is nearly full says so as long as it leads, and then others do: the client asks who.
func TestAClientThatIsRefusedForWantOfSpaceLooksForAnotherLeader(t *testing.T) {
	simulate(t, func(t *testing.T) {
		c := newFakeCluster(t, 2)
		c.topic("t", 1)
		c.lead("t", 0, 1)
		refused := 0
		c.judge = func(broker int32, _ string, _ int32, _ record.Header) verdict {
			if broker != 1 {
				return verdict{}
			}
			refused++
			return verdict{err: runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_DISK_FULL, "full")}
		}
		cl := c.client()
		done := make(chan error, 1)
		cl.Produce(within(t, time.Minute), rec("t", 0, "a"), func(_ *Record, err error) { done <- err })
		<-time.After(300 * time.Millisecond)
		c.lead("t", 0, 2)
		begin := time.Now()
		if err := <-done; err != nil || refused == 0 {
			t.Fatalf("after %d refusals: %v", refused, err)
		}
		if d := time.Since(begin); d > time.Second {
			t.Errorf("the client found the new leader after %v", d)
		}
		wantValues(t, c.values("t", 0), "a")
	})
}

func TestDeliveryTimeout(t *testing.T) {
	for _, tc := range []struct {
		name  string
		setup func(c *fakeCluster)
		kind  runnelv1.ErrorKind
	}{
		{"never sent", func(c *fakeCluster) { c.lead("t", 0, noLeader) }, runnelv1.ErrorKind_ERROR_KIND_RETRIABLE},
		{"refused each time", func(c *fakeCluster) {
			c.judge = func(int32, string, int32, record.Header) verdict {
				return verdict{err: runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_DISK_FULL, "full")}
			}
		}, runnelv1.ErrorKind_ERROR_KIND_RETRIABLE},
		{"never answered", func(c *fakeCluster) {
			c.judge = func(int32, string, int32, record.Header) verdict { return verdict{hangs: true} }
		}, runnelv1.ErrorKind_ERROR_KIND_INDETERMINATE},
	} {
		t.Run(tc.name, func(t *testing.T) {
			simulate(t, func(t *testing.T) {
				c := newFakeCluster(t, 1)
				c.topic("t", 1)
				tc.setup(c)
				cl := c.client(WithDeliveryTimeout(3 * time.Second))
				begin := time.Now()
				err := cl.ProduceSync(within(t, time.Minute), rec("t", 0, "a"))
				wantError(t, err, tc.kind, runnelv1.ErrorReason_ERROR_REASON_TIMEOUT)
				if d := time.Since(begin); d < 3*time.Second || d > 3200*time.Millisecond {
					t.Fatalf("timed out after %v", d)
				}
				// The partition goes on.
				c.locked(func() { c.judge = nil })
				c.lead("t", 0, 1)
				if err := cl.ProduceSync(within(t, time.Minute), rec("t", 0, "b")); err != nil {
					t.Fatal(err)
				}
				wantValues(t, c.values("t", 0), "b")
			})
		})
	}
}

func TestDeliveryTimeoutIsBelowTheDedupeMemory(t *testing.T) {
	if _, err := New([]string{"x:1"}, WithDeliveryTimeout(11*time.Minute)); err == nil || !strings.Contains(err.Error(), "15m") {
		t.Fatalf("got %v", err)
	}
}

func TestFullBufferPushesBack(t *testing.T) {
	simulate(t, func(t *testing.T) {
		c := newFakeCluster(t, 1)
		c.topic("t", 1)
		open := false
		c.judge = func(int32, string, int32, record.Header) verdict {
			return verdict{hangs: !open}
		}
		cl := c.client(WithBatchBytes(1<<10), WithBufferBytes(8<<10), WithDeliveryTimeout(10*time.Minute))
		big := strings.Repeat("x", 1000)
		var o outcome
		for range 7 {
			cl.Produce(t.Context(), rec("t", 0, big), o.promise)
		}
		begin := time.Now()
		var late error
		cl.Produce(within(t, time.Second), rec("t", 0, big), func(_ *Record, err error) { late = err })
		if d := time.Since(begin); d != time.Second {
			t.Fatalf("Produce blocked for %v, want the 1s that its context had", d)
		}
		synctest.Wait()
		wantError(t, late, runnelv1.ErrorKind_ERROR_KIND_RETRIABLE, runnelv1.ErrorReason_ERROR_REASON_TIMEOUT)
		c.locked(func() { open = true })
		for range 20 {
			cl.Produce(within(t, 2*time.Minute), rec("t", 0, big), o.promise)
		}
		if err := cl.Flush(within(t, time.Minute)); err != nil {
			t.Fatal(err)
		}
		if len(o.acked) != 27 || len(c.values("t", 0)) != 27 {
			t.Fatalf("acked %d, written %d, want 27", len(o.acked), len(c.values("t", 0)))
		}
		cl.Produce(t.Context(), rec("t", 0, strings.Repeat("x", 9<<10)), func(_ *Record, err error) { late = err })
		synctest.Wait()
		wantError(t, late, runnelv1.ErrorKind_ERROR_KIND_DEFINITE, runnelv1.ErrorReason_ERROR_REASON_BATCH_TOO_LARGE)
	})
}

func TestCloseTellsWhatMayHaveBeenWritten(t *testing.T) {
	simulate(t, func(t *testing.T) {
		c := newFakeCluster(t, 1)
		c.topic("t", 1)
		c.topic("none", noLeader)
		c.judge = func(int32, string, int32, record.Header) verdict { return verdict{hangs: true, appends: true} }
		cl := c.client()
		var o outcome
		cl.Produce(t.Context(), rec("t", 0, "sent"), o.promise)
		wait(t.Context(), 100*time.Millisecond)
		cl.Produce(t.Context(), rec("none", 0, "kept"), o.promise)
		if err := cl.Close(); err != nil {
			t.Fatal(err)
		}
		wantError(t, o.failed["sent"], runnelv1.ErrorKind_ERROR_KIND_INDETERMINATE, runnelv1.ErrorReason_ERROR_REASON_STOPPING)
		wantError(t, o.failed["kept"], runnelv1.ErrorKind_ERROR_KIND_RETRIABLE, runnelv1.ErrorReason_ERROR_REASON_STOPPING)
		cl.Produce(t.Context(), rec("t", 0, "late"), o.promise)
		wantError(t, o.failed["late"], runnelv1.ErrorKind_ERROR_KIND_RETRIABLE, runnelv1.ErrorReason_ERROR_REASON_STOPPING)
		if _, err := cl.ListOffsets(context.Background(), "t", AtEnd()); err == nil {
			t.Fatal("a closed client listed offsets")
		}
	})
}

func TestOneRequestCarriesManyPartitions(t *testing.T) {
	simulate(t, func(t *testing.T) {
		c := newFakeCluster(t, 1)
		c.topic("t", make([]int32, 20)...)
		for n := range int32(20) {
			c.lead("t", n, 1)
		}
		c.judge = func(int32, string, int32, record.Header) verdict { return verdict{delay: 10 * time.Millisecond} }
		cl := c.client()
		for round := range 5 {
			for n := range int32(20) {
				cl.Produce(t.Context(), rec("t", n, fmt.Sprint(round)), nil)
			}
			wait(t.Context(), 3*time.Millisecond)
		}
		if err := cl.Flush(within(t, time.Second)); err != nil {
			t.Fatal(err)
		}
		if m := slices.Max(c.requests); m < 10 {
			t.Fatalf("the fullest request had %d partitions, want most of 20", m)
		}
	})
}

// TestRandomFaults: whatever happens on the way, what was acknowledged is in the log exactly once, in the order of Produce,
// at its offset; what failed for sure is not; what is unknown is there at most once.
func TestRandomFaults(t *testing.T) {
	seeds := 60
	if testing.Short() {
		seeds = 10
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			simulate(t, func(t *testing.T) { randomFaults(t, uint64(seed)) })
		})
	}
}

type fate struct {
	offset int64
	err    error
	order  int
}

func randomFaults(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 1))
	dice := rand.New(rand.NewPCG(seed, 2)) // the brokers'
	c := newFakeCluster(t, 3)
	c.hints = rng.IntN(2) == 0
	const parts = 3
	c.topic("t", 1, 2, 3)
	faults := 0
	c.judge = func(int32, string, int32, record.Header) verdict {
		v := verdict{delay: time.Duration(dice.IntN(8)) * time.Millisecond, appends: dice.IntN(2) == 0}
		switch dice.IntN(40) {
		case 0:
			v.breaks = true
		case 1:
			v.err, v.appends = runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_OVERLOADED, "busy"), false
		case 2:
			v.err = runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_LOST_LEADERSHIP, "lost")
		case 3:
			v.err, v.appends = runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_INVALID_TIMESTAMP, "future"), false
		case 4:
			v.hangs = dice.IntN(4) == 0
		default:
			return v
		}
		faults++
		return v
	}
	cl := c.client(WithBatchBytes(1<<10), WithDeliveryTimeout(20*time.Second))
	fates := make([]map[string]*fate, parts)
	for n := range fates {
		fates[n] = make(map[string]*fate)
	}
	promised := make([]int, parts)
	const total = 1500
	for i := range total {
		n := int32(rng.IntN(parts))
		v := fmt.Sprintf("%d-%s", i, strings.Repeat("x", rng.IntN(60)))
		f := &fate{offset: -1}
		fates[n][v] = f
		cl.Produce(t.Context(), rec("t", n, v), func(r *Record, err error) {
			if err != nil {
				f.err = err
			} else {
				f.offset = r.Offset
			}
			promised[n]++
			f.order = promised[n]
		})
		switch rng.IntN(100) {
		case 0:
			c.lead("t", n, int32(1+rng.IntN(3)))
		case 1:
			c.lead("t", n, noLeader)
			time.AfterFunc(time.Duration(rng.IntN(200))*time.Millisecond, func() { c.lead("t", n, 2) })
		case 2:
			id := int32(1 + rng.IntN(3))
			c.stop(id)
			c.restart(id)
		case 3, 4, 5, 6, 7:
			wait(t.Context(), time.Duration(rng.IntN(20))*time.Millisecond)
		}
	}
	time.AfterFunc(time.Second, func() { c.lead("t", 0, 1); c.lead("t", 1, 2); c.lead("t", 2, 3) })
	if err := cl.Flush(within(t, 5*time.Minute)); err != nil {
		t.Fatal(err)
	}
	if faults == 0 {
		t.Fatal("no fault fired")
	}
	acked := 0
	for n := range int32(parts) {
		acked += checkPartition(t, c.values("t", n), fates[n])
	}
	if acked < total/2 {
		t.Fatalf("only %d of %d were acknowledged", acked, total)
	}
}

// checkPartition compares a log with what promises said, and counts the acknowledged.
func checkPartition(t *testing.T, log []string, fates map[string]*fate) int {
	t.Helper()
	at := make(map[string]int64)
	lastIndex := -1
	for off, v := range log {
		f := fates[v]
		if f == nil {
			t.Fatalf("%q was never produced", v)
		}
		if first, twice := at[v]; twice {
			t.Fatalf("%q is at %d and at %d", v, first, off)
		}
		at[v] = int64(off)
		if f.err == nil {
			i := index(v)
			if i < lastIndex {
				t.Fatalf("%q is behind record %d", v, lastIndex)
			}
			lastIndex = i
		}
	}
	acked := 0
	order := make(map[int]int)
	for v, f := range fates {
		order[index(v)] = f.order
		off, there := at[v]
		switch {
		case f.order == 0:
			t.Fatalf("%q has no promise", v)
		case f.err == nil:
			acked++
			if !there || off != f.offset {
				t.Fatalf("%q was acknowledged at %d and is at %d (%v)", v, f.offset, off, there)
			}
		case runnelv1.AsError(f.err).GetKind() != runnelv1.ErrorKind_ERROR_KIND_INDETERMINATE && there:
			t.Fatalf("%q failed for sure (%v) and is at %d", v, f.err, off)
		}
	}
	keys := make([]int, 0, len(order))
	for i := range order {
		keys = append(keys, i)
	}
	slices.Sort(keys)
	for i := 1; i < len(keys); i++ {
		if order[keys[i]] < order[keys[i-1]] {
			t.Fatalf("the promise of %d ran before that of %d", keys[i], keys[i-1])
		}
	}
	return acked
}

func index(v string) int {
	var i int
	if _, err := fmt.Sscanf(v, "%d-", &i); err != nil {
		return -1
	}
	return i
}
