package client

import (
	"log/slog"

	"google.golang.org/grpc"
	grpcmetadata "google.golang.org/grpc/metadata"

	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// leaveStranger closes the connection of a stream that has had its first answer, if another broker than the expected one gave it. Its
// name, or its address, led there when it was made; on it that broker would say for ever that it does not lead.
func (c *conns) leaveStranger(log *slog.Logger, rpc interface {
	Header() (grpcmetadata.MD, error)
}, want int32, addr string, cc *grpc.ClientConn) {
	h, err := rpc.Header()
	if err != nil {
		return // the stream has broken, and its receiver will see it
	}
	c.leaveIfNot(log, h, want, addr, cc)
}

// leaveIfNot is leaveStranger for a header.
func (c *conns) leaveIfNot(log *slog.Logger, h grpcmetadata.MD, want int32, addr string, cc *grpc.ClientConn) {
	if got, told := runnelv1.BrokerOf(h); told && got != want {
		log.Warn("another broker answers, connecting anew", "component", "client", "address", addr, "expected", want, "broker", got)
		c.leave(addr, cc)
	}
}
