package runnelv1

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

func TestErrorSurvivesTheWire(t *testing.T) {
	e := Errorf(ErrorReason_ERROR_REASON_NOT_LEADER, "partition %d is led elsewhere", 3)
	e.LeaderId, e.LeaderAddress = 2, "127.0.0.1:7080"
	if got := FromStatus(ToStatus(e)); !proto.Equal(got, e) {
		t.Fatalf("got %v, want %v", got, e)
	}
}

func TestEveryReasonHasAKind(t *testing.T) {
	for r, name := range ErrorReason_name {
		k := KindOf(ErrorReason(r))
		if k == ErrorKind_ERROR_KIND_UNSPECIFIED {
			t.Errorf("%s has no kind", name)
		}
	}
}

func TestAsErrorNeverClaimsMoreThanIsKnown(t *testing.T) {
	if AsError(nil) != nil {
		t.Fatal("nil became an error")
	}
	for _, err := range []error{context.Canceled, context.DeadlineExceeded, fmt.Errorf("x"), fmt.Errorf("wrapped: %w", context.Canceled)} {
		if k := AsError(err).GetKind(); k != ErrorKind_ERROR_KIND_INDETERMINATE {
			t.Errorf("%v became %v", err, k)
		}
	}
	in := Errorf(ErrorReason_ERROR_REASON_STOPPING, "x")
	if AsError(fmt.Errorf("around: %w", in)) != in {
		t.Error("the error in the chain was not found")
	}
}

// A program that is newer than the broker it asks says so, rather than in gRPC's words alone.
func TestACallThatABrokerDoesNotKnowSaysWhoIsOld(t *testing.T) {
	e := FromStatus(status.Error(codes.Unimplemented, "unknown method Fly"))
	if e.GetKind() != ErrorKind_ERROR_KIND_DEFINITE || e.GetReason() != ErrorReason_ERROR_REASON_OLD_RELEASE ||
		!strings.Contains(e.GetMessage(), "upgrade") || !strings.Contains(e.GetMessage(), "unknown method Fly") {
		t.Errorf("%v", e)
	}
}
