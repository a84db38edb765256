package broker

import (
	"testing"

	"github.com/runnel-io/runnel/partition/record"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// A topic that does not exist is named in one way by all calls.
func TestOneWordingForAnUnknownTopic(t *testing.T) {
	h := newHarness(t, harnessOptions{})
	const want = `topic "nope" does not exist: create it first`
	c := h.produce()
	send(t, c, 1, part("nope", 0, makeBatch(t, 1, 1, record.CodecNone)))
	ask := &runnelv1.FetchPartition{Topic: "nope"}
	for call, e := range map[string]*runnelv1.Error{
		"metadata": must[*runnelv1.MetadataResponse](t)(h.client.Metadata(h.ctx, &runnelv1.MetadataRequest{Topics: []string{"nope"}})).GetTopics()[0].GetError(),
		"produce":  must[*runnelv1.ProduceResponse](t)(c.Recv()).GetResults()[0].GetError(),
		"fetch":    recvFetch(t, h.fetch(1, ask)).GetResults()[0].GetError(),
		"once": must[*runnelv1.FetchOnceResponse](t)(h.client.FetchOnce(h.ctx, &runnelv1.FetchOnceRequest{
			Partitions: []*runnelv1.FetchPartition{ask},
		})).GetResults()[0].GetResult().GetError(),
		"offsets": must[*runnelv1.ListOffsetsResponse](t)(h.client.ListOffsets(h.ctx, &runnelv1.ListOffsetsRequest{
			Partitions: []*runnelv1.ListOffsetsPartition{{Topic: "nope", At: &runnelv1.ListOffsetsPartition_End{End: true}}},
		})).GetResults()[0].GetError(),
	} {
		if e.GetReason() != runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_TOPIC || e.GetMessage() != want {
			t.Errorf("%s: %v", call, e)
		}
	}
}
