package sim

import (
	"context"
	"fmt"
	"time"

	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

const (
	// callLimit is how long a served call may take: the caller has given up by then.
	callLimit = 10 * time.Second
	// linkLimit is when a connection is given up on which something stays unacknowledged, as rpc/peer has it.
	linkLimit = 3 * time.Second
)

// call asks the broker of another machine, or this one, and waits. broker is whom the caller means, 0 for whoever is there. An
// unreachable machine is a retriable error at once, a lost message a time-out. It must be called on a goroutine of the boot.
func (b *boot) call(ctx context.Context, to *machine, broker int32, method string, body []byte) ([]byte, error) {
	if to == b.m {
		return b.serve(ctx, b.id, method, body)
	}
	c := b.m.c
	type answer struct {
		out []byte
		err error
	}
	got := make(chan answer, 1)
	put := func(out []byte, err error) {
		select {
		case got <- answer{out, err}:
		default: // a message that came twice
		}
	}
	refused := runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_UNAVAILABLE, "machine %d does not answer: try again", to.n)
	from := b.id
	var server *boot // that serves the call
	over, sent := false, false
	defer func() { over = true }()
	ok := c.net.Send(b.m.n, to.n, laneCall, func() {
		t := to.up
		if t == nil || t.over || broker != 0 && t.id != broker {
			put(nil, refused)
			return
		}
		server = t
		ctx, cancel := context.WithCancel(t.ctx)
		c.w.After(callLimit, cancel)
		c.start(t, func() {
			defer cancel()
			out, err := t.serve(ctx, from, method, body)
			sent = true
			c.net.Send(to.n, b.m.n, laneCall, func() { put(out, err) })
		})
	})
	if !ok {
		return nil, refused
	}
	var watch func()
	watch = func() {
		switch {
		case over:
		case server == nil || server.over || sent:
			put(nil, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_TIMEOUT, "the connection to machine %d is broken", to.n))
		default:
			c.w.After(linkLimit, watch)
		}
	}
	c.w.After(linkLimit, watch)
	defer b.env.Resumed()
	select {
	case a := <-got:
		return a.out, a.err
	case <-ctx.Done():
	case <-b.ctx.Done():
	}
	return nil, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_TIMEOUT, "machine %d did not answer %s in time", to.n, method)
}

// caller is the way of controller, agent and catch-up to other brokers.
type caller struct{ b *boot }

func (x caller) Call(ctx context.Context, broker int32, method string, body []byte) ([]byte, error) {
	b := x.b
	to := b.m.c.byBroker[broker]
	if to == nil || b.over {
		return nil, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_UNAVAILABLE, "broker %d is not known", broker)
	}
	out, err := b.call(ctx, to, broker, method, body)
	if err != nil {
		return nil, fmt.Errorf("call %s: %w", method, err)
	}
	return out, nil
}
