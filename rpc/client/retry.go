package client

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc"
	grpcmetadata "google.golang.org/grpc/metadata"

	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

const (
	// retryMax is the longest pause between two rounds of attempts.
	retryMax = time.Second
	// callPatience is how long one broker has to answer a call; ctx may be shorter.
	callPatience = 3 * time.Second
	// adminPatience is longer, because creating a topic waits for its leaders.
	adminPatience = 30 * time.Second
)

// callFunc is one attempt of a call at one broker.
type callFunc[Req, Resp any] func(ctx context.Context, cc grpc.ClientConnInterface, req Req, opts ...grpc.CallOption) (Resp, error)

func brokerCall[Req, Resp any](f func(runnelv1.BrokerClient, context.Context, Req, ...grpc.CallOption) (Resp, error)) callFunc[Req, Resp] {
	return func(ctx context.Context, cc grpc.ClientConnInterface, req Req, opts ...grpc.CallOption) (Resp, error) {
		return f(runnelv1.NewBrokerClient(cc), ctx, req, opts...)
	}
}

func adminCall[Req, Resp any](f func(runnelv1.AdminClient, context.Context, Req, ...grpc.CallOption) (Resp, error)) callFunc[Req, Resp] {
	return func(ctx context.Context, cc grpc.ClientConnInterface, req Req, opts ...grpc.CallOption) (Resp, error) {
		return f(runnelv1.NewAdminClient(cc), ctx, req, opts...)
	}
}

// caller is what calls that any broker can answer need.
type caller struct {
	refresh  *refresher
	conns    *conns
	patience time.Duration
	// patient calls go on although no address takes a connection, even WithFailFast.
	patient bool
	// changes says that the call changes something: once an attempt may have done so, nothing is refused for certain.
	changes bool
	// once calls end with the first attempt that may have changed something.
	once bool
	// unanimous calls end with a definite error only if all brokers give one: what one of them cannot do another one may.
	unanimous bool
}

// retry makes a call at one broker after the other until one answers with success or a definite error, or ctx ends. The
// error is an *Error, indeterminate if any attempt was.
func retry[Req, Resp any](ctx context.Context, c caller, req Req, call callFunc[Req, Resp]) (Resp, error) {
	var (
		none  Resp
		last  *Error
		maybe bool
		tries int
	)
	began := time.Now()
	for pause := pollMin; ; pause = min(2*pause, retryMax) {
		todo := c.refresh.order(time.Now())
		hinted, refused := false, true // refused: by all that were asked in this round
		for len(todo) > 0 {
			addr := todo[0]
			todo = todo[1:]
			resp, err := attempt(ctx, c, addr, req, call)
			c.refresh.reach.note(addr, err, time.Now())
			if err == nil {
				return resp, nil
			}
			tries++
			was := last
			last = runnelv1.AsError(err)
			if r := last.GetReason(); r == runnelv1.ErrorReason_ERROR_REASON_UNAVAILABLE || r == runnelv1.ErrorReason_ERROR_REASON_TIMEOUT {
				c.refresh.avoid(addr)
			}
			definite := last.GetKind() == runnelv1.ErrorKind_ERROR_KIND_DEFINITE
			refused = refused && definite
			if definite && (!c.unanimous || refused && len(todo) == 0) {
				if maybe && c.changes {
					last = &Error{
						Kind: runnelv1.ErrorKind_ERROR_KIND_INDETERMINATE, Reason: last.GetReason(),
						Message: "an earlier attempt may have been carried out, look whether it was; the last one was refused: " + last.Error(),
					}
				}
				return none, last
			}
			maybe = maybe || !definite && last.GetKind() != runnelv1.ErrorKind_ERROR_KIND_RETRIABLE && !unsent(err)
			if ctx.Err() != nil {
				if was != nil {
					last = was // the end of ctx is no reason
				}
				break
			}
			if maybe && c.once {
				return none, last
			}
			if a := last.GetLeaderAddress(); a != "" && a != addr && !hinted {
				hinted = true
				todo = append([]string{a}, todo...)
			}
		}
		if e := c.refresh.reach.nobody(c.refresh.meta.endpoints(), began, time.Now()); e != nil && !c.patient {
			if maybe {
				e.Kind = runnelv1.ErrorKind_ERROR_KIND_INDETERMINATE
			}
			return none, e
		}
		if ctx.Err() == nil {
			wait(ctx, pause)
		}
		if ctx.Err() != nil {
			return none, gaveUp(ctx, time.Since(began), last, maybe, tries)
		}
	}
}

func attempt[Req, Resp any](ctx context.Context, c caller, addr string, req Req, call callFunc[Req, Resp]) (Resp, error) {
	var none Resp
	if err := ctx.Err(); err != nil {
		return none, err
	}
	cc, err := c.conns.get(addr)
	if err != nil {
		return none, errClosedCall()
	}
	ctx, cancel := context.WithTimeout(ctx, c.patience)
	defer cancel()
	var h grpcmetadata.MD
	resp, err := call(ctx, cc, req, grpc.Header(&h))
	if c.conns.leaveForeign(c.refresh.log, h, c.refresh.meta.cluster(), addr, cc) {
		return none, foreignAnswer(addr)
	}
	return resp, err
}

func gaveUp(ctx context.Context, after time.Duration, last *Error, maybe bool, tries int) *Error {
	reason := ""
	if last != nil {
		reason = plainReason(last)
	}
	e := noAnswer(ctx, after, tries, reason)
	if !maybe {
		e.Kind = runnelv1.ErrorKind_ERROR_KIND_RETRIABLE
	}
	return e
}

// noAnswer is what a call ends with that ctx ended after some time. Attempts and reason are left out if 0 and empty.
func noAnswer(ctx context.Context, after time.Duration, tries int, reason string) *Error {
	e := runnelv1.AsError(ctx.Err())
	unit := 10 * time.Millisecond
	if after >= time.Second {
		unit = 100 * time.Millisecond
	}
	e.Message = fmt.Sprintf("no answer within %v", after.Round(unit))
	if errors.Is(ctx.Err(), context.Canceled) {
		e.Message = fmt.Sprintf("cancelled after %v without an answer", after.Round(unit))
	}
	switch {
	case tries == 1:
		e.Message += " (1 attempt)"
	case tries > 1:
		e.Message += fmt.Sprintf(" (%d attempts)", tries)
	}
	if reason != "" {
		e.Message += ": " + reason
	}
	return e
}

// wait pauses for d or until ctx ends.
func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

func (p *producer) caller() caller {
	return caller{refresh: p.refresh, conns: p.conns, patience: callPatience}
}
