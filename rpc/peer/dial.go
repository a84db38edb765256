package peer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"

	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

const (
	connectTimeout   = 2 * time.Second // TCP connect
	handshakeTimeout = 3 * time.Second
	keepaliveTime    = 10 * time.Second // the least that gRPC allows; the broker heartbeats detect failures long before
	keepaliveTimeout = 3 * time.Second

	window     = 16 << 20 // HTTP/2 windows: 64 KiB frames at several hundred MB/s need more than gRPC's 64 KiB
	bufferSize = 256 << 10
)

// conn is one TCP connection to another broker, past its handshake, with gRPC on it. It never reconnects.
type conn struct {
	cc    *grpc.ClientConn
	self  Identity      // as told in the handshake
	other Identity      // as answered
	gone  chan struct{} // closed when the TCP connection is
}

// dead tells whether the TCP connection is known to be closed.
func (c *conn) dead() bool {
	select {
	case <-c.gone:
		return true
	default:
		return false
	}
}

// close ends it; calls in flight fail.
func (c *conn) close() { _ = c.cc.Close() } // fails only when closed already

// refusal is an error of the handshake: the other side said no, or is not who it should be.
type refusal struct {
	err     *runnelv1.Error
	joining bool // the broker that answered belongs to no cluster yet
}

func (r *refusal) Error() string { return "peer: handshake refused: " + r.err.Error() }
func (r *refusal) Unwrap() error { return r.err }

// dial connects to addr and shakes hands. broker is who must answer, 0 for anyone. On error nothing was sent but a hello.
func (p *Peers) dial(ctx context.Context, addr string, broker int32) (*conn, error) {
	raw, err := p.connect(ctx, addr)
	if err != nil {
		return nil, err
	}
	self := p.cfg.Identity()
	other, err := p.greet(ctx, raw, self, broker)
	if err != nil {
		_ = raw.Close() // the reason is err
		return nil, err
	}
	once := &onceConn{Conn: raw, gone: make(chan struct{})}
	cc, err := grpc.NewClient("passthrough:///"+addr,
		grpc.WithContextDialer(once.dial),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithAuthority("runnel-peer"),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(p.codec), grpc.MaxCallRecvMsgSize(maxMessage), grpc.MaxCallSendMsgSize(maxMessage)),
		grpc.WithStaticStreamWindowSize(window), grpc.WithStaticConnWindowSize(window),
		grpc.WithReadBufferSize(bufferSize), grpc.WithWriteBufferSize(bufferSize),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: keepaliveTime, Timeout: keepaliveTimeout, PermitWithoutStream: true}),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: backoff.DefaultConfig, MinConnectTimeout: handshakeTimeout}),
		grpc.WithIdleTimeout(0), grpc.WithDisableServiceConfig(), grpc.WithDisableRetry(), grpc.WithNoProxy(),
	)
	if err != nil {
		_ = raw.Close() // the reason is err
		return nil, fmt.Errorf("peer: connect to %s: %w", addr, err)
	}
	cc.Connect()
	return &conn{cc: cc, self: self, other: other, gone: once.gone}, nil
}

// connect opens a connection, with TLS on it if that is configured.
func (p *Peers) connect(ctx context.Context, addr string) (net.Conn, error) {
	d := net.Dialer{Timeout: connectTimeout, Control: socketOptions}
	raw, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		var op *net.OpError
		if errors.As(err, &op) { // it says the address again
			err = op.Err
		}
		return nil, fmt.Errorf("peer: connect to %s: %w", addr, err)
	}
	c, err := p.secureClient(ctx, raw)
	if err != nil {
		_ = raw.Close() // the reason is err
		return nil, fmt.Errorf("peer: TLS with %s: %w", addr, err)
	}
	return c, nil
}

// greet is the dialler's side of the handshake.
func (p *Peers) greet(ctx context.Context, raw net.Conn, self Identity, broker int32) (Identity, error) {
	deadline := time.Now().Add(handshakeTimeout)
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	// A context that is cancelled without a deadline must end the wait too.
	end := context.AfterFunc(ctx, func() { _ = raw.SetDeadline(time.Unix(1, 0)) })
	defer end()
	if err := raw.SetDeadline(deadline); err != nil {
		return Identity{}, fmt.Errorf("peer: handshake: %w", err)
	}
	resp := &runnelv1.HelloResponse{}
	err := writeHello(raw, helloRequest(self, p.cfg.versions))
	if err == nil {
		err = readHello(raw, resp)
	}
	if err != nil {
		return Identity{}, fmt.Errorf("peer: handshake with %s: %w", raw.RemoteAddr(), mayWantTLS(raw, err))
	}
	if broker != 0 && isSelf(self, resp) {
		return Identity{}, &refusal{err: runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_UNAVAILABLE,
			"the address of broker %d, %s, answers as this broker itself, broker %d: this broker has taken over the address that broker %d had; "+
				"start broker %d at an address of its own", broker, raw.RemoteAddr(), self.BrokerID, broker, broker)}
	}
	if e := resp.GetError(); e != nil {
		return Identity{}, &refusal{err: e}
	}
	if e := acceptable(self, p.cfg.versions, resp); e != nil {
		return Identity{}, &refusal{err: e}
	}
	if broker != 0 && (resp.GetBrokerId() != broker || resp.GetClusterId() != self.ClusterID) {
		return Identity{}, &refusal{joining: resp.GetClusterId() == "", err: runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_UNAVAILABLE,
			"broker %d of cluster %q was expected at %s, but broker %d of cluster %q answered: its address is out of date, or it is still starting",
			broker, self.ClusterID, raw.RemoteAddr(), resp.GetBrokerId(), resp.GetClusterId())}
	}
	if !end() { // ctx ended: its function may still set the deadline
		return Identity{}, fmt.Errorf("peer: handshake: %w", ctx.Err())
	}
	if err := raw.SetDeadline(time.Time{}); err != nil {
		return Identity{}, fmt.Errorf("peer: handshake: %w", err)
	}
	who := identityOf(resp)
	who.Protocol = p.cfg.versions.common(versionsOf(resp))
	return who, nil
}

var errUsed = errors.New("peer: the connection was lost")

// onceConn gives gRPC one established connection, once: whoever owns the conn decides on reconnecting, not gRPC.
type onceConn struct {
	net.Conn
	use   sync.Once
	close sync.Once
	gone  chan struct{}
}

func (o *onceConn) dial(context.Context, string) (net.Conn, error) {
	var c net.Conn
	o.use.Do(func() { c = o })
	if c == nil {
		return nil, errUsed
	}
	return c, nil
}

func (o *onceConn) Close() error {
	o.close.Do(func() { close(o.gone) })
	return o.Conn.Close()
}
