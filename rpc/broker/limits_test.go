package broker

import (
	"testing"

	"github.com/runnel-io/runnel/partition"
	"github.com/runnel-io/runnel/partition/record"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// A request with the largest batch fits the client port, and one byte more is refused by name, not as a broken stream.
func TestTheLargestBatchFitsARequest(t *testing.T) {
	l := Limits{}.withDefaults()
	if room := l.MessageBytes - partition.MaxBatchBytes; room < 1<<20 {
		t.Errorf("a request has %d bytes beside the largest batch", room)
	}
	if l.FetchOnceBytes < partition.MaxBatchBytes || l.CreditBytes < partition.MaxBatchBytes {
		t.Errorf("the largest batch is above what is read at once: %+v", l)
	}
	h := newHarness(t, harnessOptions{})
	h.rep.limits = record.Limits{MaxBytes: partition.MaxBatchBytes}
	overhead := len(makeBatch(t, 1, partition.MaxBatchBytes/2, record.CodecNone)) - partition.MaxBatchBytes/2
	largest := makeBatch(t, 1, partition.MaxBatchBytes-overhead, record.CodecNone)
	if len(largest) != partition.MaxBatchBytes {
		t.Fatalf("made %d bytes", len(largest))
	}
	c := h.produce()
	send(t, c, 1, part("t", 0, largest))
	send(t, c, 2, part("t", 0, makeBatch(t, 1, partition.MaxBatchBytes-overhead+1, record.CodecNone)))
	for range 2 {
		r := must[*runnelv1.ProduceResponse](t)(c.Recv())
		e := r.GetResults()[0].GetError()
		if r.GetCorrelationId() == 1 && e != nil {
			t.Errorf("the largest batch: %v", e)
		} else if r.GetCorrelationId() == 2 {
			wantReason(t, e, runnelv1.ErrorReason_ERROR_REASON_BATCH_TOO_LARGE)
		}
	}
}
