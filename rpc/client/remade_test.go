package client

import (
	"fmt"
	"testing"
	"time"

	"github.com/runnel-io/runnel/partition/record"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// A topic that is deleted and made again may have fewer partitions: what waits for the others fails, and keys go to those that there are.
func TestATopicMadeAgainWithFewerPartitionsIsWrittenOn(t *testing.T) {
	simulate(t, func(t *testing.T) {
		c := newFakeCluster(t, 1)
		c.topic("t", 1, 1, noLeader, 1)
		cl := c.client(WithDeliveryTimeout(20 * time.Second))
		ctx := within(t, 10*time.Minute)
		if err := cl.ProduceSync(ctx, rec("t", 1, "first")); err != nil {
			t.Fatal(err)
		}
		c.locked(func() {
			c.judge = func(_ int32, _ string, n int32, _ record.Header) verdict {
				return verdict{hangs: n == 3, appends: true}
			}
		})
		var o outcome
		cl.Produce(ctx, rec("t", 2, "kept"), o.promise)
		cl.Produce(ctx, rec("t", 3, "sent"), o.promise)
		wait(ctx, 100*time.Millisecond)
		was := c.topics["t"]
		c.topic("t", 1)
		began := time.Now()
		if err := cl.Flush(ctx); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("failed after %s", took)
		}
		wantError(t, o.failed["kept"], runnelv1.ErrorKind_ERROR_KIND_DEFINITE, runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_PARTITION)
		wantError(t, o.failed["sent"], runnelv1.ErrorKind_ERROR_KIND_INDETERMINATE, runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_PARTITION)
		if want := `topic "t" has partitions 0 to 0, not 2`; o.failed["kept"].Error() != want {
			t.Errorf("%q, want %q", o.failed["kept"], want)
		}
		for i := range 20 {
			r := &Record{Topic: "t", Partition: AnyPartition}
			if i%2 == 0 {
				r.Key = fmt.Append(nil, i)
			}
			if err := cl.ProduceSync(ctx, r); err != nil {
				t.Fatalf("record %d: %v", i, err)
			}
		}

		// Partitions that were there all the time know the first sequences of the id that they were written with.
		c.locked(func() { c.topics["t"] = was; c.revision++ })
		cl.refresh.trigger()
		wait(ctx, time.Second)
		if err := cl.ProduceSync(ctx, rec("t", 1, "second")); err != nil {
			t.Fatal(err)
		}
		wantValues(t, c.values("t", 1), "first", "second")
	})
}

// A client that has nothing on its way learns of it from the first record that goes to a partition that is gone.
func TestAnIdleClientLearnsThatPartitionsAreGone(t *testing.T) {
	simulate(t, func(t *testing.T) {
		c := newFakeCluster(t, 1)
		c.topic("t", 1, 1)
		cl := c.client()
		ctx := within(t, time.Minute)
		if err := cl.ProduceSync(ctx, rec("t", 1, "a")); err != nil {
			t.Fatal(err)
		}
		c.topic("t", 1)
		began := time.Now()
		err := cl.ProduceSync(ctx, rec("t", 1, "b"))
		if e := runnelv1.AsError(err); e.GetReason() != runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_PARTITION { // on its way again or not
			t.Fatal(err)
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("failed after %s", took)
		}
	})
}
