package broker

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"runtime/debug"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"

	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// GRPCOptions are those of the client port.
type GRPCOptions struct {
	Limits Limits
	// MaxStreams bounds the calls at once on one connection. Default 1024.
	MaxStreams uint32
	// Reflection answers which services there are, for grpcurl and the like.
	Reflection bool
	// Extra options, such as credentials.
	Extra []grpc.ServerOption
	Log   *slog.Logger
}

// Flow control and buffers. With gRPC's 64 KiB windows a stream carries a third to a half of what these do, but a stream's window
// is also what it can make the broker buffer beside the request that is being read, whatever the budget says: 16 MiB were
// 1.6 GB of a hundred producers that a broker cannot keep up with. A request larger than the window widens it while it is read.
const (
	windowBytes     = 2 << 20
	connWindowBytes = 16 << 20 // bounds nothing: gRPC widens it as bytes come, whether or not anybody reads them
	bufferBytes     = 256 << 10
)

// never is gRPC's word for a ping that is not sent.
const never = time.Duration(math.MaxInt64)

// NewGRPCServer makes the server of the client port, with the health service registered (serving nothing until
// SetServingStatus says so; the empty service name starts as SERVING, as gRPC has it). Register the services, then
// Serve. On the way down: health.Shutdown, Server.Stop, then GracefulStop bounded by a timer, then Stop.
func NewGRPCServer(o GRPCOptions) (*grpc.Server, *health.Server) {
	log := o.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if o.MaxStreams == 0 {
		o.MaxStreams = 1024
	}
	l := o.Limits.withDefaults()
	g := grpc.NewServer(append([]grpc.ServerOption{
		grpc.ForceServerCodecV2(Codec(l)),
		grpc.StaticStreamWindowSize(windowBytes), grpc.StaticConnWindowSize(connWindowBytes),
		grpc.ReadBufferSize(bufferBytes), grpc.WriteBufferSize(bufferBytes),
		grpc.MaxRecvMsgSize(l.MessageBytes), grpc.MaxConcurrentStreams(o.MaxStreams), grpc.MaxHeaderListSize(16 << 10),
		grpc.ConnectionTimeout(10 * time.Second),
		// Clients may ping often enough to outlive a NAT's forgetting, and not more.
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: never}), // package listen finds clients that are gone
		grpc.ChainUnaryInterceptor(recoverUnary(log)), grpc.ChainStreamInterceptor(recoverStream(log)),
	}, o.Extra...)...)
	h := health.NewServer()
	healthpb.RegisterHealthServer(g, h)
	if o.Reflection {
		reflection.Register(g)
	}
	return g, h
}

func recoverUnary(log *slog.Logger) grpc.UnaryServerInterceptor {
	return func(ctx context.Context, req any, info *grpc.UnaryServerInfo, h grpc.UnaryHandler) (resp any, err error) {
		defer func() {
			if r := recover(); r != nil {
				resp, err = nil, recovered(log, info.FullMethod, r)
			}
		}()
		return h(ctx, req)
	}
}

func recoverStream(log *slog.Logger) grpc.StreamServerInterceptor {
	return func(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, h grpc.StreamHandler) (err error) {
		defer func() {
			if r := recover(); r != nil {
				err = recovered(log, info.FullMethod, r)
			}
		}()
		return h(srv, ss)
	}
}

// recovered logs a defect and makes the error for the client: INTERNAL, without the details, which are for the log.
func recovered(log *slog.Logger, method string, r any) error {
	log.Error("a defect in serving a client", "component", "rpc", "method", method, "panic", fmt.Sprint(r), "stack", string(debug.Stack()))
	return runnelv1.ToStatus(runnelv1.Errorf(reasonInternal, "%s met a defect: the broker's log has more", method))
}
