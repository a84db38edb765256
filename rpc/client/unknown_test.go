package client

import (
	"testing"
	"time"

	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

func TestEveryCallSaysTheSameOfAnUnknownTopic(t *testing.T) {
	simulate(t, func(t *testing.T) {
		cl := newFakeCluster(t, 1).client()
		ctx := within(t, time.Minute)
		const want = `topic "nope" does not exist: create it first`
		check := func(call string, err error, want string) {
			t.Helper()
			wantError(t, err, runnelv1.ErrorKind_ERROR_KIND_DEFINITE, runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_TOPIC)
			if err.Error() != want {
				t.Errorf("%s: %q, want %q", call, err, want)
			}
		}
		_, err := cl.Admin().DescribeTopic(ctx, &runnelv1.DescribeTopicRequest{Name: "nope"})
		check("describe", err, want)
		_, err = cl.Admin().DeleteTopic(ctx, &runnelv1.DeleteTopicRequest{Name: "nope"})
		check("delete", err, `topic "nope" does not exist`)
		md, err := cl.Metadata(ctx, "nope")
		if err != nil {
			t.Fatal(err)
		}
		check("metadata", md.GetTopics()[0].GetError(), want)
		_, err = cl.ListOffsets(ctx, "nope", AtEnd())
		check("offsets", err, want)
		check("produce", cl.ProduceSync(ctx, &Record{Topic: "nope"}), want)
	})
}
