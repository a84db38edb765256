package workload

import (
	"crypto/tls"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/runnel-io/runnel/rpc/client"
)

// Target is a cluster as its clients come to it.
type Target struct {
	Seeds []string
	TLS   *tls.Config // nil: plain text
}

// New makes a client of it.
func (t Target) New(opts ...client.Option) (*client.Client, error) {
	if t.TLS != nil {
		opts = append(opts, client.WithTLS(t.TLS))
	}
	return client.New(t.Seeds, opts...)
}

// Credentials are gRPC's for a client without the SDK.
func Credentials(c *tls.Config) credentials.TransportCredentials {
	if c == nil {
		return insecure.NewCredentials()
	}
	return credentials.NewTLS(c)
}
