package main

import (
	"context"
	"testing"

	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

func TestWhatIsNoAnswerToTooMuchLoad(t *testing.T) {
	of := func(reason runnelv1.ErrorReason, kind runnelv1.ErrorKind) *runnelv1.Error {
		e := runnelv1.Errorf(reason, "why")
		if kind != 0 {
			e.Kind = kind
		}
		return e
	}
	for _, c := range []struct {
		e    *runnelv1.Error
		fair bool
	}{
		{of(runnelv1.ErrorReason_ERROR_REASON_OVERLOADED, 0), true},
		{of(runnelv1.ErrorReason_ERROR_REASON_OFFSET_OUT_OF_RANGE, 0), true},
		{of(runnelv1.ErrorReason_ERROR_REASON_TIMEOUT, runnelv1.ErrorKind_ERROR_KIND_DEFINITE), true},
		{of(runnelv1.ErrorReason_ERROR_REASON_TIMEOUT, 0), false}, // nobody knows what became of it
		{of(runnelv1.ErrorReason_ERROR_REASON_UNKNOWN_PRODUCER, 0), false},
		{of(runnelv1.ErrorReason_ERROR_REASON_LOST_LEADERSHIP, 0), false},
		{&runnelv1.Error{Reason: runnelv1.ErrorReason_ERROR_REASON_OVERLOADED, Kind: runnelv1.ErrorKind_ERROR_KIND_RETRIABLE}, false}, // no words
	} {
		tally := newTally()
		tally.failed(context.Background(), "a load", c.e)
		if got := tally.Worst == ""; got != c.fair {
			t.Errorf("%v %v is fair: %v, not %v", c.e.GetKind(), c.e.GetReason(), got, c.fair)
		}
	}
	for reason, want := range map[string]bool{"overloaded": true, "unknown_topic": true, "out_of_order_sequence": false, "timeout": false, "nonsense": false} {
		if fair(reason) != want {
			t.Errorf("%s of a broker is fair: %v, not %v", reason, !want, want)
		}
	}
}
