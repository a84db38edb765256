package main

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"testing"

	"github.com/runnel-io/runnel/bench/proc"
	"github.com/runnel-io/runnel/rpc/certs/dev"
)

// TestACertificateIsAcceptedOrRefusedOrNeither offers one to a server that trusts its CA, to one that trusts another, to one that ends every
// connection, and to nobody.
func TestACertificateIsAcceptedOrRefusedOrNeither(t *testing.T) {
	mine, err := newCertificates(t.TempDir() + "/mine")
	if err != nil {
		t.Fatal(err)
	}
	others, err := newCertificates(t.TempDir() + "/others")
	if err != nil {
		t.Fatal(err)
	}
	server, err := tls.LoadX509KeyPair(mine.in(dev.BrokerCert), mine.in(dev.BrokerKey))
	if err != nil {
		t.Fatal(err)
	}
	// serve answers at a new address with one byte to each client whose certificate it takes; without CAs, it ends each connection.
	serve := func(trusted *x509.CertPool) string {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Close() }) // ends the goroutine
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				if trusted != nil {
					s := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{server}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: trusted, MinVersion: tls.VersionTLS13})
					_, _ = s.Write([]byte{1}) // fails if the client's certificate is refused
				}
				_ = c.Close()
			}
		}()
		return l.Addr().String()
	}
	nobody, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := nobody.Close(); err != nil {
		t.Fatal(err)
	}
	r := &run{certs: mine, life: t.Context()}
	roots, pair := mine.now()
	foreign, _ := others.now()
	for name, c := range map[string]struct {
		address          string
		accepts, refuses bool
	}{
		"accepted":              {serve(roots), true, false},
		"refused":               {serve(foreign), false, true},
		"ended":                 {serve(nil), false, false},
		"nobody at the address": {nobody.Addr().String(), false, false},
	} {
		if accepts, refuses := r.offer(&machine{Broker: &proc.Broker{Client: c.address}}, pair); accepts != c.accepts || refuses != c.refuses {
			t.Errorf("%s: accepts %t, refuses %t", name, accepts, refuses)
		}
	}
}
