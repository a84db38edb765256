package peer

import (
	"context"
	"errors"
	"fmt"
	"time"

	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// failFor is how long a failed dial answers for others that want the same connection: those that waited for it need not try
// one after another.
const failFor = 50 * time.Millisecond

// caller keeps one connection for calls to one broker.
type caller struct {
	p  *Peers
	to int32

	lock chan struct{} // one slot, a mutex that a context can give up on; guards all below
	c    *conn
	err  error // of the newest dial
	when time.Time
}

func (p *Peers) newCaller(to int32) *caller {
	return &caller{p: p, to: to, lock: make(chan struct{}, 1)}
}

// get gives a live connection, dialling if needed. Its errors mean that nothing was sent.
func (l *caller) get(ctx context.Context) (*conn, error) {
	select {
	case l.lock <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-l.lock }()
	if l.c != nil {
		if !l.c.dead() && l.c.self == l.p.cfg.Identity() {
			return l.c, nil
		}
		l.c.close()
		l.c = nil
	}
	if l.err != nil && time.Since(l.when) < failFor {
		return nil, l.err
	}
	addr, ok := l.p.cfg.Resolve(l.to)
	if !ok {
		return nil, fmt.Errorf("peer: the address of broker %d is not known", l.to)
	}
	c, err := l.p.dial(ctx, addr, l.to)
	if ctx.Err() != nil && err != nil {
		return nil, err // says nothing about the broker
	}
	l.c, l.err, l.when = c, err, time.Now()
	return c, err
}

func (l *caller) close() {
	l.lock <- struct{}{}
	defer func() { <-l.lock }()
	if l.c != nil {
		l.c.close()
		l.c = nil
	}
}

// Call asks a broker of the cluster, itself included, and answers what its Config.Serve answered. Every error is a
// *runnelv1.Error: what Serve answered, or RETRIABLE UNAVAILABLE if the call was surely never sent, or indeterminate.
func (p *Peers) Call(ctx context.Context, broker int32, method string, body []byte) ([]byte, error) {
	return p.call(ctx, broker, method, body, func(l *peerLinks) *caller { return l.calls })
}

// Bulk makes calls that carry much, over a connection to each broker that carries nothing else: a megabyte of an old log must not
// stand before a call that somebody waits for. It is dialled when first used.
type Bulk struct{ p *Peers }

// Bulk gives the caller for what is large and not urgent.
func (p *Peers) Bulk() Bulk { return Bulk{p} }

// Call is as Peers.Call.
func (b Bulk) Call(ctx context.Context, broker int32, method string, body []byte) ([]byte, error) {
	return b.p.call(ctx, broker, method, body, func(l *peerLinks) *caller { return l.bulk })
}

func (p *Peers) call(ctx context.Context, broker int32, method string, body []byte, over func(*peerLinks) *caller) ([]byte, error) {
	ctx, done, e := p.enter(ctx)
	if e != nil {
		return nil, e
	}
	defer done()
	if id := p.cfg.Identity(); broker != 0 && broker == id.BrokerID {
		out, err := p.cfg.Serve(ctx, broker, method, body)
		if err != nil {
			return nil, runnelv1.AsError(err)
		}
		return out, nil
	}
	l := p.peer(broker)
	if l == nil {
		return nil, errStopping()
	}
	c, err := over(l).get(ctx)
	if err != nil {
		return nil, neverSent(err, fmt.Sprintf("broker %d", broker))
	}
	return invoke(ctx, c, method, body)
}

// CallAddr asks whoever of the cluster, or of any for "", listens at addr, over a connection of its own, also while this broker belongs to no
// cluster: this is for joining. A broker of another cluster is not asked. Errors are those of Call.
func (p *Peers) CallAddr(ctx context.Context, addr, cluster, method string, body []byte) ([]byte, error) {
	ctx, done, e := p.enter(ctx)
	if e != nil {
		return nil, e
	}
	defer done()
	c, err := p.dial(ctx, addr, 0)
	if err != nil {
		return nil, neverSent(err, addr)
	}
	defer c.close()
	if cluster != "" && c.other.ClusterID != cluster {
		return nil, neverSent(&refusal{err: runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_UNAVAILABLE,
			"a broker of cluster %q was expected, but broker %d of cluster %q answered", cluster, c.other.BrokerID, c.other.ClusterID)}, addr)
	}
	return invoke(ctx, c, method, body)
}

func invoke(ctx context.Context, c *conn, method string, body []byte) ([]byte, error) {
	if len(body) > maxFrame {
		return nil, runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, "a call to %s of %d bytes, %d fit", method, len(body), maxFrame)
	}
	req, resp := &runnelv1.CallRequest{Method: method, Body: body}, &runnelv1.CallResponse{}
	if err := c.cc.Invoke(ctx, runnelv1.Peer_Call_FullMethodName, req, resp); err != nil {
		// It may have been served: gRPC does not tell a call that was never sent from one whose answer was lost.
		e := runnelv1.FromStatus(err)
		e.Message = plainText(e.GetMessage())
		return nil, e
	}
	if e := resp.GetError(); e != nil {
		return nil, e
	}
	return resp.GetBody(), nil
}

// neverSent is the error of a call that got no connection: whatever it was, trying again is safe. A refused handshake is no answer to the
// call either: a stranger may have the address of a dead broker, such as one of another cluster, and it will come back elsewhere.
func neverSent(err error, whom string) *runnelv1.Error {
	reason := runnelv1.ErrorReason_ERROR_REASON_UNAVAILABLE
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		reason = runnelv1.ErrorReason_ERROR_REASON_TIMEOUT
	}
	e := runnelv1.Errorf(reason, "%s cannot be reached: %v", whom, err)
	e.Kind = runnelv1.ErrorKind_ERROR_KIND_RETRIABLE
	return e
}

func errStopping() *runnelv1.Error {
	return runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_STOPPING, "this broker is stopping")
}
