package client

import (
	"strings"
	"testing"
	"time"

	"github.com/runnel-io/runnel/partition/record"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

func TestAReaderTellsWhyItWaits(t *testing.T) {
	simulate(t, func(t *testing.T) {
		c := newFakeCluster(t, 2)
		c.topic("t", 1, noLeader, noLeader)
		cl := c.client()
		wantWaiting := func(r *Reader, want string) {
			t.Helper()
			wait(within(t, time.Minute), 5*time.Second)
			if got := r.Waiting(); got != want && !(want != "" && strings.Contains(got, want)) {
				t.Errorf("waits for %q, want %q", got, want)
			}
		}
		wantWaiting(reader(t, cl, "t", FromStart()), "partition t/1 has no leader (and 1 more partition waits)")
		wantWaiting(reader(t, cl, "t", FromStart(), Partitions(2)), "partition t/2 has no leader")
		wantWaiting(reader(t, cl, "t", FromOffset(0), Partitions(1)), "partition t/1 has no leader")
		r := reader(t, cl, "t", FromStart(), Partitions(0))
		wantWaiting(r, "")
		c.stop(1)
		wantWaiting(r, "partition t/0: broker 1: connection refused")
		wantWaiting(reader(t, cl, "t", FromStart(), Partitions(0)), "partition t/0: its leader, broker 1, does not answer: connection refused")
		c.restart(1)
		wantWaiting(r, "")
	})
}

func TestAnOffsetBeyondTheEndIsAnErrorThatNamesTheLog(t *testing.T) {
	simulate(t, func(t *testing.T) {
		c := newFakeCluster(t, 1)
		c.topic("t", 1)
		c.fill("t", 0, 10, 10, record.CodecNone)
		c.locked(func() { c.topics["t"][0].start = 35 })
		cl := c.client()
		for name, opts := range map[string][]ReaderOption{
			"to the end": {FromOffset(999), ToEnd()}, "following": {FromOffset(999)},
		} {
			for _, err := range reader(t, cl, "t", opts...).Records(within(t, time.Minute)) {
				wantError(t, err, runnelv1.ErrorKind_ERROR_KIND_DEFINITE, runnelv1.ErrorReason_ERROR_REASON_OFFSET_OUT_OF_RANGE)
				if want := "offset 999 of partition t/0 is out of range: its log starts at offset 35 and ends at 100"; err.Error() != want {
					t.Errorf("%s: %q, want %q", name, err, want)
				}
			}
		}
		wantSpan(t, collect(t, reader(t, cl, "t", FromOffset(999), ToEnd(), ResetToStart()), -1)[0], 35, 100)
		for _, err := range reader(t, cl, "t", FromOffset(100), ToEnd()).Records(within(t, time.Minute)) {
			t.Errorf("at the end itself: %v", err)
		}
	})
}
