package client

import (
	"errors"
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
)

var errConnsClosed = errors.New("the client is closed")

// conns owns the connections, one per broker address, made when first wanted.
type conns struct {
	opts []grpc.DialOption

	mu     sync.Mutex
	byAddr map[string]*grpc.ClientConn // nil once closed
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
	return &conns{opts: append(opts, extra...), byAddr: make(map[string]*grpc.ClientConn)}
}

func (c *conns) get(addr string) (*grpc.ClientConn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byAddr == nil {
		return nil, errConnsClosed
	}
	if cc := c.byAddr[addr]; cc != nil {
		return cc, nil
	}
	// passthrough: the dialer resolves the name at each attempt, so a broker that moved to another address is found.
	cc, err := grpc.NewClient("passthrough:///"+addr, c.opts...)
	if err != nil {
		return nil, err
	}
	c.byAddr[addr] = cc
	return cc, nil
}

// leave closes a connection. The next one to its address asks anew where its name leads.
func (c *conns) leave(addr string, cc *grpc.ClientConn) {
	c.mu.Lock()
	if c.byAddr[addr] == cc {
		delete(c.byAddr, addr)
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
	for _, cc := range all {
		errs = append(errs, cc.Close())
	}
	return errors.Join(errs...)
}
