package client

import (
	"crypto/tls"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
)

// WithTLS has the client speak TLS with brokers. c.RootCAs are the CAs of their certificates (nil: the system's), c.Certificates what the
// client shows where brokers ask for it; nil stands for an empty c. The host of each broker's address must be among the names of its
// certificate, unless c.ServerName gives one name for all.
func WithTLS(c *tls.Config) Option {
	if c == nil {
		c = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	return WithDialOptions(grpc.WithTransportCredentials(credentials.NewTLS(c)))
}

// tlsRefusal names what TLS failed with, or what a broker that wants TLS does to a client without; empty for any other failure. Nothing was
// sent then. Trying again may help, once somebody has changed a file.
func tlsRefusal(message string) string {
	for _, mark := range []string{"authentication handshake failed: ", "error reading server preface: remote error: "} {
		_, why, found := strings.Cut(message, mark)
		if !found {
			continue
		}
		why, _, _ = strings.Cut(why, `"`)
		why = strings.TrimPrefix(strings.TrimPrefix(why, "remote error: "), "tls: ")
		switch {
		case strings.Contains(why, "does not look like a TLS handshake"):
			return "the broker does not speak TLS"
		case why == "EOF", strings.Contains(why, "connection reset"), strings.Contains(why, "context deadline exceeded"):
			return "" // it stopped, or hangs
		}
		return "TLS: " + strings.TrimPrefix(why, "failed to verify certificate: ")
	}
	if strings.Contains(message, "error reading server preface: EOF") || strings.Contains(message, "error reading server preface: read tcp") {
		return "the connection is closed at once: the broker may want TLS, or is connected to as many clients as it may be"
	}
	return ""
}
