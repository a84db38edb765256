package client

import (
	"errors"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
)

const (
	// Measured for batches of 64 KiB: the defaults of gRPC (64 KiB windows, 32 KiB buffers) cost half the throughput.
	windowBytes = 16 << 20
	ioBytes     = 256 << 10
	// maxMessage is above any answer that brokers give within the credit that a reader may ask for.
	maxMessage = 96 << 20
	// fetchesPerConn is how many fetch streams share a connection, half of the calls that brokers take on one. gRPC has a call
	// wait while there are too many, and fetch streams last: so there is always room for the others.
	fetchesPerConn = 512
)

var errConnsClosed = errors.New("the client is closed")

// conns owns the connections, made when first wanted: one per broker address, and more if many fetch streams go there.
type conns struct {
	opts []grpc.DialOption

	mu     sync.Mutex
	byAddr map[string][]*conn // nil once closed
}

// conn is one connection. Guarded by conns.mu.
type conn struct {
	cc      *grpc.ClientConn
	fetches int
}

func newConns(extra []grpc.DialOption) *conns {
	opts := []grpc.DialOption{
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithInitialWindowSize(windowBytes),
		grpc.WithInitialConnWindowSize(windowBytes),
		grpc.WithReadBufferSize(ioBytes),
		grpc.WithWriteBufferSize(ioBytes),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage), grpc.MaxCallSendMsgSize(maxMessage)),
		// A fetch stream has no other way to learn that its broker vanished without a reset.
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 10 * time.Second, Timeout: 5 * time.Second}),
		// A broker comes back within seconds of a restart; gRPC's own back-off would have us wait for up to 2 min.
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: time.Second},
			MinConnectTimeout: 2 * time.Second,
		}),
	}
	return &conns{opts: append(opts, extra...), byAddr: make(map[string][]*conn)}
}

// get gives the connection for calls and produce streams.
func (c *conns) get(addr string) (*grpc.ClientConn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	cn, err := c.findLocked(addr, func(*conn) bool { return true })
	if err != nil {
		return nil, err
	}
	return cn.cc, nil
}

// getFetch gives a connection for a fetch stream, which is over when done is called.
func (c *conns) getFetch(addr string) (cc *grpc.ClientConn, done func(), err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	cn, err := c.findLocked(addr, func(cn *conn) bool { return cn.fetches < fetchesPerConn })
	if err != nil {
		return nil, nil, err
	}
	cn.fetches++
	return cn.cc, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		cn.fetches--
	}, nil
}

// findLocked gives the first connection to addr that is fit, or makes one.
func (c *conns) findLocked(addr string, fit func(*conn) bool) (*conn, error) {
	if c.byAddr == nil {
		return nil, errConnsClosed
	}
	if i := slices.IndexFunc(c.byAddr[addr], fit); i >= 0 {
		return c.byAddr[addr][i], nil
	}
	// passthrough: the dialer resolves the name at each attempt, so a broker that moved to another address is found.
	cc, err := grpc.NewClient("passthrough:///"+addr, c.opts...)
	if err != nil {
		return nil, err
	}
	cn := &conn{cc: cc}
	c.byAddr[addr] = append(c.byAddr[addr], cn)
	return cn, nil
}

// leave closes a connection. The next one to its address asks anew where its name leads.
func (c *conns) leave(addr string, cc *grpc.ClientConn) {
	c.mu.Lock()
	if c.byAddr != nil {
		c.byAddr[addr] = slices.DeleteFunc(c.byAddr[addr], func(cn *conn) bool { return cn.cc == cc })
	}
	c.mu.Unlock()
	_ = cc.Close() // fails only when it is closed already
}

func (c *conns) close() error {
	c.mu.Lock()
	all := c.byAddr
	c.byAddr = nil
	c.mu.Unlock()
	var errs []error
	for _, cns := range all {
		for _, cn := range cns {
			errs = append(errs, cn.cc.Close())
		}
	}
	return errors.Join(errs...)
}
