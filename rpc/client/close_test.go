package client

import (
	"context"
	"testing"
	"time"

	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

func TestListOffsetsEndsWithTheClient(t *testing.T) {
	simulate(t, func(t *testing.T) {
		c := newFakeCluster(t, 1)
		c.topic("t", noLeader)
		cl := c.client()
		done := make(chan error, 1)
		go func() {
			_, err := cl.ListOffsets(within(t, time.Minute), "t", AtEnd())
			done <- err
		}()
		wait(t.Context(), time.Second)
		if err := cl.Close(); err != nil {
			t.Fatal(err)
		}
		wantError(t, <-done, runnelv1.ErrorKind_ERROR_KIND_DEFINITE, runnelv1.ErrorReason_ERROR_REASON_STOPPING)
	})
}

// The promise of a record that comes after Close runs in Produce.
func TestFlushBesideAProduceAfterCloseEnds(t *testing.T) {
	simulate(t, func(t *testing.T) {
		c := newFakeCluster(t, 1)
		cl := c.client()
		if err := cl.Close(); err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		cl.Produce(context.Background(), rec("t", 0, "late"), func(*Record, error) {
			go func() { done <- cl.Flush(within(t, time.Minute)) }()
			wait(t.Context(), 10*time.Millisecond)
		})
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
