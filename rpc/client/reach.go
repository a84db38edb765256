package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// refusedFor is how long every address has to refuse a connection, or not to resolve, before WithFailFast believes that
// there is no cluster: a broker that starts just now listens within that.
const refusedFor = 2 * time.Second

// reach remembers which addresses refuse connections, for calls that are not to wait for a cluster that is not there.
type reach struct {
	failFast bool

	mu      sync.Mutex
	refused map[string]refusal
	last    string // why the last attempt of any kind failed
}

type refusal struct {
	since  time.Time
	reason string
}

// note takes in how an attempt at addr ended. What its ctx ended tells nothing.
func (r *reach) note(addr string, err error, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err == nil {
		r.last = ""
		delete(r.refused, addr)
		return
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return
	}
	r.last = plainReason(runnelv1.AsError(err))
	why := refusalOf(err)
	if why == "" {
		delete(r.refused, addr)
		return
	}
	since := now
	if old, ok := r.refused[addr]; ok {
		since = old.since
	}
	if r.refused == nil {
		r.refused = make(map[string]refusal)
	}
	r.refused[addr] = refusal{since, why}
}

// reason is why the last attempt failed; empty if it did not.
func (r *reach) reason() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.last
}

// nobody tells that no address has taken a connection since began, for long enough; nil if that is not so, or if the
// client is to go on trying.
func (r *reach) nobody(addrs []string, began, now time.Time) *Error {
	if !r.failFast {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	var reasons []string
	for _, a := range addrs {
		f, ok := r.refused[a]
		if !ok || now.Sub(f.since) < refusedFor || now.Sub(began) < refusedFor {
			return nil
		}
		if !slices.Contains(reasons, f.reason) {
			reasons = append(reasons, f.reason)
		}
	}
	return notWritten(runnelv1.ErrorReason_ERROR_REASON_UNAVAILABLE,
		fmt.Sprintf("no broker answers at %s: %s", strings.Join(addrs, ", "), strings.Join(reasons, ", ")))
}

// refusalOf names what a connection failed with when there is nobody at the address, or TLS comes to nothing; empty for any other
// failure. Then nothing was sent.
func refusalOf(err error) string {
	said := connecting(err)
	if why := tlsRefusal(said); why != "" {
		return why
	}
	if !strings.Contains(said, dialing) {
		return ""
	}
	for _, s := range []string{"connection refused", "no such host"} {
		if strings.Contains(said, s) {
			return s
		}
	}
	if strings.Contains(said, ": lookup ") {
		return "the name does not resolve"
	}
	return ""
}

// unsent tells that a call failed because no connection came about, for whatever reason: a host that is down refuses nothing.
func unsent(err error) bool {
	return refusalOf(err) != "" || strings.Contains(connecting(err), dialing)
}

// connecting is what gRPC says of a call for which it may have had no connection, else empty. It passes on the dialer's error as text
// only; what a broker says is never taken for one.
func connecting(err error) string {
	st, ok := status.FromError(err)
	if !ok || st.Code() != codes.Unavailable || len(st.Details()) > 0 {
		return ""
	}
	return st.Message()
}

// dialing is what gRPC puts before a dialer's error.
const dialing = "Error while dialing: "

// plainReason is an error's text without what gRPC wraps around that of a failed connection.
func plainReason(e *Error) string {
	s := e.Error()
	const mark = `desc = "`
	if i := strings.LastIndex(s, mark); i >= 0 {
		s = strings.TrimSuffix(s[i+len(mark):], `"`)
	}
	s = strings.TrimPrefix(s, "transport: ")
	if strings.Contains(s, "context deadline exceeded") { // of one attempt
		return "the broker asked last does not answer"
	}
	return strings.TrimPrefix(s, dialing)
}
