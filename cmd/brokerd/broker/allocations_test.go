package broker_test

import (
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/runnel-io/runnel/cmd/brokerd/broker/brokertest"
	"github.com/runnel-io/runnel/rpc/client"
)

// The guard against regressions of speed: not times, which depend on the machine, but what a record costs the heap, on its whole
// way through a client, three brokers and three logs. The bounds are twice what it was when they were set: 0.3
// allocations and 2,250 bytes a record of 200 bytes.
const (
	mostAllocations = 0.6
	mostBytes       = 4500.0
)

func TestARecordCostsLittleMemoryOnItsWholeWay(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates too")
	}
	c := brokertest.Start(t, 3)
	cl := dial(t, c)
	create(t, cl, "orders", 12, 3)
	value := make([]byte, 200)
	ctx := patient(t)
	run := func(n int) {
		var failed atomic.Int64
		promise := func(_ *client.Record, err error) {
			if err != nil {
				failed.Add(1)
			}
		}
		for range n {
			cl.Produce(ctx, &client.Record{Topic: "orders", Partition: client.AnyPartition, Value: value}, promise)
		}
		if err := cl.Flush(ctx); err != nil {
			t.Fatal(err)
		}
		if failed.Load() != 0 {
			t.Fatalf("%d records failed", failed.Load())
		}
	}
	run(20_000) // pools and connections
	const n = 200_000
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	run(n)
	runtime.ReadMemStats(&after)
	// The record itself is the test's: one allocation of 128 bytes.
	allocations := float64(after.Mallocs-before.Mallocs)/n - 1
	bytes := float64(after.TotalAlloc-before.TotalAlloc)/n - 128
	t.Logf("%.3f allocations and %.0f bytes a record", allocations, bytes)
	if allocations > mostAllocations || bytes > mostBytes {
		t.Errorf("a record costs %.3f allocations and %.0f bytes, more than %.1f and %.0f", allocations, bytes, mostAllocations, mostBytes)
	}
}
