package client

import (
	"context"

	"google.golang.org/grpc"

	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

func try[Req, Resp any](ctx context.Context, c *Client, req Req,
	call func(runnelv1.AdminClient, context.Context, Req, ...grpc.CallOption) (Resp, error)) (Resp, error) {
	panic("not yet")
}
