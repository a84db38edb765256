package broker

import (
	"testing"

	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// Who asks for an offset out of range is told the range: an error without it looks like a log that ends at 0.
func TestAnOffsetOutOfRangeComesWithTheRange(t *testing.T) {
	h := newHarness(t, harnessOptions{})
	h.rep.append(t, 9, 10)
	h.rep.mu.Lock()
	h.rep.start = 4
	h.rep.err = runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_OFFSET_OUT_OF_RANGE, "offset 1 is below the log start 4")
	h.rep.mu.Unlock()
	check := func(how string, r *runnelv1.FetchPartitionResult) {
		t.Helper()
		wantReason(t, r.GetError(), runnelv1.ErrorReason_ERROR_REASON_OFFSET_OUT_OF_RANGE)
		if r.GetLogStartOffset() != 4 || r.GetHighWatermark() != 9 {
			t.Errorf("%s: the log is said to be from %d to %d", how, r.GetLogStartOffset(), r.GetHighWatermark())
		}
	}
	check("stream", recvFetch(t, h.fetch(1<<20, from(0, 1))).GetResults()[0])
	for _, plain := range []bool{false, true} {
		r := must[*runnelv1.FetchOnceResponse](t)(h.client.FetchOnce(h.ctx, &runnelv1.FetchOnceRequest{
			Partitions: []*runnelv1.FetchPartition{from(0, 1)}, PlainRecords: plain,
		}))
		check("once", r.GetResults()[0].GetResult())
	}
}
