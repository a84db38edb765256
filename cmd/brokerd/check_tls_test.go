package main

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/runnel-io/runnel/rpc/certs/dev"
)

func TestCheckConfigReadsCertificatesAndKeys(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "certs")
	if err := dev.Write(dir, []string{"localhost"}, time.Now()); err != nil {
		t.Fatal(err)
	}
	in := func(name string) string { return filepath.Join(dir, name) }
	args := func(peerKey string) []string {
		return []string{
			"--data-dir", filepath.Join(dir, "data"), "--disk-reserve-bytes", "0",
			"--tls-client-cert", in(dev.BrokerCert), "--tls-client-key", in(dev.BrokerKey), "--tls-client-ca", in(dev.CACert),
			"--tls-peer-cert", in(dev.PeerCert), "--tls-peer-key", in(peerKey), "--tls-peer-ca", in(dev.PeerCACert), "--gossip-key-file", in(dev.GossipKeyFile),
		}
	}
	status, out, errs := checked(t, args(dev.PeerKey)...)
	if status != 0 {
		t.Errorf("status %d: %s%s", status, out, errs)
	}
	wantWords(t, out, "tls.client.cert", "the certificate fits and is valid until", "tls.peer.cert")
	if status, out, _ = checked(t, args(dev.BrokerKey)...); status != 1 {
		t.Errorf("a foreign key: status %d: %s", status, out)
	}
	wantWords(t, out, "tls.peer: ", "no pair of certificate and key")
}
