package runnelv1

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// KindOf tells what a reason means for the caller when nothing more is known. Unknown reasons are indeterminate:
// claiming less would be a guess.
func KindOf(r ErrorReason) ErrorKind {
	switch r {
	case ErrorReason_ERROR_REASON_INVALID_ARGUMENT,
		ErrorReason_ERROR_REASON_UNKNOWN_TOPIC,
		ErrorReason_ERROR_REASON_UNKNOWN_PARTITION,
		ErrorReason_ERROR_REASON_CORRUPT_BATCH,
		ErrorReason_ERROR_REASON_BATCH_TOO_LARGE,
		ErrorReason_ERROR_REASON_OUT_OF_ORDER_SEQUENCE,
		ErrorReason_ERROR_REASON_UNKNOWN_PRODUCER,
		ErrorReason_ERROR_REASON_PRODUCER_FENCED,
		ErrorReason_ERROR_REASON_OFFSET_OUT_OF_RANGE,
		ErrorReason_ERROR_REASON_TOPIC_EXISTS,
		ErrorReason_ERROR_REASON_UNKNOWN_SETTING,
		ErrorReason_ERROR_REASON_NOT_ENOUGH_BROKERS,
		ErrorReason_ERROR_REASON_INVALID_TIMESTAMP,
		ErrorReason_ERROR_REASON_DUPLICATE_SEQUENCE,
		ErrorReason_ERROR_REASON_UNKNOWN_BROKER,
		ErrorReason_ERROR_REASON_UNKNOWN_MOVE,
		ErrorReason_ERROR_REASON_MOVE_UNDER_WAY,
		ErrorReason_ERROR_REASON_MOVE_TOO_FAR,
		ErrorReason_ERROR_REASON_BROKER_IN_USE,
		ErrorReason_ERROR_REASON_QUORUM_ALIVE,
		ErrorReason_ERROR_REASON_OUTDATED,
		ErrorReason_ERROR_REASON_OLD_RELEASE:
		return ErrorKind_ERROR_KIND_DEFINITE
	case ErrorReason_ERROR_REASON_NOT_LEADER,
		ErrorReason_ERROR_REASON_OVERLOADED,
		ErrorReason_ERROR_REASON_UNAVAILABLE,
		ErrorReason_ERROR_REASON_STOPPING,
		ErrorReason_ERROR_REASON_TOO_MANY_PRODUCERS,
		ErrorReason_ERROR_REASON_NOT_CONTROLLER,
		ErrorReason_ERROR_REASON_DISK_FULL:
		return ErrorKind_ERROR_KIND_RETRIABLE
	default:
		return ErrorKind_ERROR_KIND_INDETERMINATE
	}
}

// Errorf makes an error with the kind that its reason has by default.
func Errorf(r ErrorReason, format string, args ...any) *Error {
	return &Error{Kind: KindOf(r), Reason: r, Message: fmt.Sprintf(format, args...)}
}

// Error makes *Error a Go error. The text is for a person.
func (e *Error) Error() string {
	if e.GetMessage() == "" {
		return e.GetReason().String()
	}
	return e.GetMessage()
}

// AsError finds an *Error in err's chain. An error of a context becomes TIMEOUT, a gRPC status what FromStatus makes of
// it, and anything else INTERNAL. It answers nil for nil.
func AsError(err error) *Error {
	if err == nil {
		return nil
	}
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return Errorf(ErrorReason_ERROR_REASON_TIMEOUT, "gave up waiting: %v", err)
	}
	if _, ok := status.FromError(err); ok {
		return FromStatus(err)
	}
	return Errorf(ErrorReason_ERROR_REASON_INTERNAL, "%v", err)
}

// ToStatus turns an error into the gRPC status of a failed call, with the Error as its detail. It answers nil for nil.
func ToStatus(e *Error) error {
	if e == nil {
		return nil
	}
	code := codes.Unknown
	switch e.GetKind() {
	case ErrorKind_ERROR_KIND_DEFINITE:
		code = codes.InvalidArgument
		switch e.GetReason() {
		case ErrorReason_ERROR_REASON_UNKNOWN_TOPIC, ErrorReason_ERROR_REASON_UNKNOWN_PARTITION,
			ErrorReason_ERROR_REASON_UNKNOWN_BROKER, ErrorReason_ERROR_REASON_UNKNOWN_MOVE:
			code = codes.NotFound
		case ErrorReason_ERROR_REASON_TOPIC_EXISTS:
			code = codes.AlreadyExists
		case ErrorReason_ERROR_REASON_NOT_ENOUGH_BROKERS, ErrorReason_ERROR_REASON_MOVE_UNDER_WAY,
			ErrorReason_ERROR_REASON_MOVE_TOO_FAR, ErrorReason_ERROR_REASON_BROKER_IN_USE, ErrorReason_ERROR_REASON_QUORUM_ALIVE,
			ErrorReason_ERROR_REASON_OUTDATED,
			ErrorReason_ERROR_REASON_OLD_RELEASE:
			code = codes.FailedPrecondition
		case ErrorReason_ERROR_REASON_OFFSET_OUT_OF_RANGE:
			code = codes.OutOfRange
		}
	case ErrorKind_ERROR_KIND_RETRIABLE:
		code = codes.Unavailable
		if e.GetReason() == ErrorReason_ERROR_REASON_OVERLOADED {
			code = codes.ResourceExhausted
		}
	}
	st, err := status.New(code, e.Error()).WithDetails(e)
	if err != nil { // an Error always marshals; keep the words if that ever changes
		return status.Error(code, e.Error())
	}
	return st.Err()
}

// FromStatus finds the Error in a failed call. Without a detail the status comes from gRPC itself: a call that was
// never sent cannot be told from one whose answer was lost, so it is indeterminate. It answers nil for nil.
func FromStatus(err error) *Error {
	if err == nil {
		return nil
	}
	st, ok := status.FromError(err)
	if !ok {
		return Errorf(ErrorReason_ERROR_REASON_INTERNAL, "%v", err)
	}
	for _, d := range st.Details() {
		if e, ok := d.(*Error); ok {
			return e
		}
	}
	e := &Error{Kind: ErrorKind_ERROR_KIND_INDETERMINATE, Reason: ErrorReason_ERROR_REASON_UNAVAILABLE, Message: st.Message()}
	switch st.Code() {
	case codes.DeadlineExceeded, codes.Canceled:
		e.Reason = ErrorReason_ERROR_REASON_TIMEOUT
	case codes.Unimplemented:
		e.Reason, e.Kind = ErrorReason_ERROR_REASON_OLD_RELEASE, ErrorKind_ERROR_KIND_DEFINITE
		e.Message = fmt.Sprintf("the broker that was asked does not know this call: its release is older than this program; upgrade it first (%s)", st.Message())
	case codes.InvalidArgument, codes.Unauthenticated, codes.PermissionDenied:
		e.Reason, e.Kind = ErrorReason_ERROR_REASON_INVALID_ARGUMENT, ErrorKind_ERROR_KIND_DEFINITE
	case codes.Internal, codes.Unknown:
		e.Reason = ErrorReason_ERROR_REASON_INTERNAL
	}
	return e
}
