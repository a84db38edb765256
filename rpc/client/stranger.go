package client

import (
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
	if got := runnelv1.ClusterOf(h); got != "" && cluster != "" && got != cluster {
		log.Warn("a broker of another cluster answers, connecting anew", "component", "client", "address", addr, "expected", cluster, "cluster", got)
		c.leave(addr, cc)
		return true
	}
	if got, told := runnelv1.BrokerOf(h); told && got != want {
		log.Warn("another broker answers, connecting anew", "component", "client", "address", addr, "expected", want, "broker", got)
		c.leave(addr, cc)
	}
	return false
}
