package admin

import (
	"context"
	"fmt"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
)

// maxBy bounds the name of whoever asks, which goes into the controller's log.
const maxBy = 200

// askedBy tells who makes a call: the address, and the name of the client's certificate where one was verified.
func askedBy(ctx context.Context) string {
	p, ok := peer.FromContext(ctx)
	if !ok || p.Addr == nil {
		return ""
	}
	by := p.Addr.String()
	if tls, ok := p.AuthInfo.(credentials.TLSInfo); ok && len(tls.State.VerifiedChains) > 0 {
		by = fmt.Sprintf("%s (%s)", by, tls.State.VerifiedChains[0][0].Subject)
	}
	return by[:min(len(by), maxBy)]
}
