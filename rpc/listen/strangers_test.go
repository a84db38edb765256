package listen_test

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
)

func TestAServerStopsAlthoughStrangersSayNothing(t *testing.T) {
	for _, secure := range []bool{false, true} {
		t.Run(map[bool]string{false: "plain", true: "TLS"}[secure], func(t *testing.T) {
			var r reasons
			var opts []grpc.ServerOption
			with := insecure.NewCredentials()
			var cfg *tls.Config
			if secure {
				var creds credentials.TransportCredentials
				creds, cfg = certified(t, 100, &r)
				opts, with = append(opts, grpc.Creds(creds)), credentials.NewTLS(cfg)
			}
			server := grpc.NewServer(append(opts, grpc.ConnectionTimeout(patience))...)
			healthv1.RegisterHealthServer(server, health.NewServer())
			l := open(t, 1000, &r)
			served := make(chan error, 1)
			go func() { served <- server.Serve(l) }()
			defer server.Stop()

			strangers := []net.Conn{dial(t, l)}
			if secure { // and one that says nothing after TLS
				c := tls.Client(dial(t, l), cfg)
				if err := c.Handshake(); err != nil {
					t.Fatal(err)
				}
				strangers = append(strangers, c)
			}
			cc, err := grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(with))
			if err != nil {
				t.Fatal(err)
			}
			defer cc.Close()
			call := func() error {
				_, err := healthv1.NewHealthClient(cc).Check(t.Context(), &healthv1.HealthCheckRequest{})
				return err
			}
			if err := call(); err != nil {
				t.Fatal(err)
			}
			until(t, "all are accepted", func() bool { return l.Open() == int64(len(strangers)+1) })

			l.CloseStrangers()
			for _, c := range append(strangers, dial(t, l)) {
				if _, err := io.Copy(io.Discard, c); err != nil && !errors.Is(err, syscall.ECONNRESET) {
					t.Errorf("a stranger is not closed: %v", err)
				}
			}
			if err := call(); err != nil || l.Open() != 1 {
				t.Errorf("a client that shook hands: %v; open %d", err, l.Open())
			}
			began := time.Now()
			server.GracefulStop()
			if d := time.Since(began); d > patience/4 {
				t.Errorf("the server stopped after %v", d)
			}
			if err := <-served; err != nil {
				t.Error(err)
			}
			if n := l.Strangers(); n != 0 {
				t.Errorf("%d strangers are kept", n)
			}
		})
	}
}
