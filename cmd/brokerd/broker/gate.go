package broker

import (
	"context"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc"

	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// gate answers client calls with UNAVAILABLE and the reason until the broker serves. Clients then retry, here or at
// another broker, instead of meeting a refused connection or half a broker.
type gate struct {
	closed atomic.Pointer[runnelv1.Error] // nil: open
	mu     sync.Mutex                     // of who opens and closes
	shut   bool                           // it never opens again
}

func newGate() *gate {
	g := &gate{}
	g.close(runnelv1.ErrorReason_ERROR_REASON_UNAVAILABLE, "the broker is starting")
	return g
}

func (g *gate) close(r runnelv1.ErrorReason, why string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed.Store(runnelv1.Errorf(r, "%s; try again, or another broker", why))
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.shut {
		g.closed.Store(nil)
	}
}

// shutDown closes the gate for good.
func (g *gate) shutDown(why string) {
	g.mu.Lock()
	g.shut = true
	g.mu.Unlock()
	g.close(runnelv1.ErrorReason_ERROR_REASON_STOPPING, why)
}

// ours tells whether a method belongs to the services behind the gate; gRPC's health service is before it.
func ours(method string) bool {
	return len(method) > 11 && method[:11] == "/runnel.v1."
}

func (g *gate) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	if e := g.closed.Load(); e != nil && ours(info.FullMethod) {
		return nil, runnelv1.ToStatus(e)
	}
	return next(ctx, req)
}

func (g *gate) stream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	if e := g.closed.Load(); e != nil && ours(info.FullMethod) {
		return runnelv1.ToStatus(e)
	}
	return next(srv, ss)
}
