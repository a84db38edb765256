package client

import (
	"fmt"
	"log/slog"

	"google.golang.org/grpc"
	grpcmetadata "google.golang.org/grpc/metadata"

	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// leaveStranger closes the connection of a stream that has had its first answer, if another broker than the expected one gave it. Its
// name, or its address, led there when it was made; on it that broker would say for ever that it does not lead. It answers true if the broker
// is of another cluster: what it says on the stream, then and later, is about other topics of the same names, and must not be taken.
func (c *conns) leaveStranger(log *slog.Logger, rpc interface {
	Header() (grpcmetadata.MD, error)
}, cluster string, want int32, addr string, cc *grpc.ClientConn) (foreign bool) {
	h, err := rpc.Header()
	if err != nil {
		return false // the stream has broken, and its receiver will see it
	}
	return c.leaveIfNot(log, h, cluster, want, addr, cc)
}

// leaveIfNot is leaveStranger for a header.
func (c *conns) leaveIfNot(log *slog.Logger, h grpcmetadata.MD, cluster string, want int32, addr string, cc *grpc.ClientConn) (foreign bool) {
	if c.leaveForeign(log, h, cluster, addr, cc) {
		return true
	}
	if got, told := runnelv1.BrokerOf(h); told && got != want {
		log.Warn("another broker answers, connecting anew", "component", "client", "address", addr, "expected", want, "broker", got)
		c.leave(addr, cc)
	}
	return false
}

// leaveForeign closes a connection if a broker of another cluster gave the answer that h belongs to. A broker that does not tell its
// cluster, of an older release, counts as one of ours.
func (c *conns) leaveForeign(log *slog.Logger, h grpcmetadata.MD, cluster, addr string, cc *grpc.ClientConn) bool {
	got := runnelv1.ClusterOf(h)
	if got == "" || cluster == "" || got == cluster {
		return false
	}
	log.Warn("a broker of another cluster answers, connecting anew", "component", "client", "address", addr, "expected", cluster, "cluster", got)
	c.leave(addr, cc)
	return true
}

// foreignAnswer stands for whatever a broker of another cluster answered: in ours the call had no effect.
func foreignAnswer(addr string) *Error {
	return notWritten(runnelv1.ErrorReason_ERROR_REASON_UNAVAILABLE, fmt.Sprintf("at %s is a broker of another cluster", addr))
}
