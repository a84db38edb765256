package brokertest

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/runnel-io/runnel/cmd/brokerd/broker"
	"github.com/runnel-io/runnel/rpc/certs/dev"
)

// TLS has a cluster encrypt and authenticate everything, with certificates and keys made now for up to nine brokers.
func TLS() Option {
	return func(c *Cluster) {
		c.t.Helper()
		c.certs = filepath.Join(c.dir, "certs")
		if err := dev.Write(c.certs, c.Addresses(), time.Now()); err != nil {
			c.t.Fatal(err)
		}
		c.edit = append(c.edit, func(_ int, cfg *broker.Config) {
			in := func(name string) string { return filepath.Join(c.certs, name) }
			cfg.TLS = broker.TLS{
				ClientCert: in(dev.BrokerCert), ClientKey: in(dev.BrokerKey), ClientCA: in(dev.CACert),
				PeerCert: in(dev.PeerCert), PeerKey: in(dev.PeerKey), PeerCA: in(dev.PeerCACert), GossipKeys: in(dev.GossipKeyFile),
			}
			cfg.CertsEvery = 20 * time.Millisecond
		})
	}
}

// Addresses are those that up to nine brokers have.
func (c *Cluster) Addresses() []string {
	var out []string
	for i := 1; i <= 9; i++ {
		out = append(out, fmt.Sprintf("%s%d", c.hosts, i))
	}
	return out
}

// Certs is the folder of the cluster's certificates and keys.
func (c *Cluster) Certs() string { return c.certs }

// ClientTLS is what a client of the cluster uses: the CA, and the certificate of that name in the folder; "" for none.
func (c *Cluster) ClientTLS(name string) *tls.Config {
	c.t.Helper()
	return ClientTLS(c.t, filepath.Join(c.certs, dev.CACert), c.certs, name)
}

// ClientTLS reads a client's configuration: it trusts ca, and shows the pair of that name in dir, if there is a name.
func ClientTLS(t testing.TB, ca, dir, name string) *tls.Config {
	t.Helper()
	text, err := os.ReadFile(ca)
	if err != nil {
		t.Fatal(err)
	}
	cfg := &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}
	if !cfg.RootCAs.AppendCertsFromPEM(text) {
		t.Fatalf("%s holds no CA", ca)
	}
	if name != "" {
		pair, err := tls.LoadX509KeyPair(filepath.Join(dir, name+".crt"), filepath.Join(dir, name+".key"))
		if err != nil {
			t.Fatal(err)
		}
		// Whatever the other end says that it accepts: it is to refuse what it must.
		cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
	}
	return cfg
}
