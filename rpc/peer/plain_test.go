package peer

import (
	"errors"
	"fmt"
	"io"
	"syscall"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

func TestPlain(t *testing.T) {
	unavailable := func(s string) error { return status.Error(codes.Unavailable, s) }
	own := runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_UNAVAILABLE, "broker 2 opened this lane again on a newer connection")
	for want, err := range map[string]error{
		"the other broker closed the connection": unavailable("error reading from server: EOF"),
		"the other broker is stopping": unavailable(
			`closing transport due to: connection error: desc = "error reading from server: EOF", received prior goaway: code: NO_ERROR, debug data: "graceful_stop"`),
		"the connection was lost": unavailable(`connection error: desc = "transport: Error while dialing: peer: the connection was lost"`),
		"read tcp 1.1.1.1:1->1.1.1.2:2: read: connection reset by peer": unavailable("error reading from server: read tcp 1.1.1.1:1->1.1.1.2:2: read: connection reset by peer"),
		own.GetMessage():     runnelv1.ToStatus(own),
		"connection refused": syscall.ECONNREFUSED,
	} {
		if got := plain(err); got.Error() != want {
			t.Errorf("%v: %q, want %q", err, got, want)
		}
	}
	if err := fmt.Errorf("lane lost: %w", plain(io.ErrUnexpectedEOF)); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Error("the original is lost")
	}
}
