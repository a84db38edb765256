package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/runnel-io/runnel/bench/workload"
	"github.com/runnel-io/runnel/rpc/certs/dev"
)

// filesReadWithin is how long a running broker takes to read changed files: it looks each two seconds and takes what it sees twice, and one that is
// stopped meanwhile (stop) does so later. A step of a rotation that went on before would be the operator's mistake.
const filesReadWithin = 6 * time.Second

// refuseWithin is how long a broker may take to refuse a connection; one that is stopped does not.
const refuseWithin = 2 * time.Second

// certificates are the files of all brokers, in one folder, and what the clients of this process make of them.
type certificates struct {
	dir string

	mu    sync.Mutex
	roots *x509.CertPool
	pair  tls.Certificate
}

func newCertificates(dir string) (*certificates, error) {
	c := &certificates{dir: dir}
	if err := dev.Write(dir, []string{"broker"}, time.Now()); err != nil {
		return nil, err
	}
	return c, c.load()
}

func (c *certificates) in(name string) string { return filepath.Join(c.dir, name) }

// flags are those of brokers.
func (c *certificates) flags() []string {
	return []string{
		"--tls-client-cert", c.in(dev.BrokerCert), "--tls-client-key", c.in(dev.BrokerKey), "--tls-client-ca", c.in(dev.CACert),
		"--tls-peer-cert", c.in(dev.PeerCert), "--tls-peer-key", c.in(dev.PeerKey), "--tls-peer-ca", c.in(dev.PeerCACert),
		"--gossip-key-file", c.in(dev.GossipKeyFile),
	}
}

// load has this process's clients use what the files hold now.
func (c *certificates) load() error {
	text, err := os.ReadFile(c.in(dev.CACert))
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		return errors.New("no CA")
	}
	pair, err := tls.LoadX509KeyPair(c.in(dev.ClientCert), c.in(dev.ClientKey))
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.roots, c.pair = roots, pair
	return nil
}

func (c *certificates) now() (*x509.CertPool, *tls.Certificate) {
	c.mu.Lock()
	defer c.mu.Unlock()
	pair := c.pair
	return c.roots, &pair
}

// client is the configuration of this process's clients. The brokers' addresses are the proxy's and their own, so only the CA is checked.
func (c *certificates) client() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12, InsecureSkipVerify: true,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			_, pair := c.now()
			return pair, nil
		},
		VerifyConnection: func(cs tls.ConnectionState) error {
			roots, _ := c.now()
			_, err := cs.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: roots})
			return err
		},
	}
}

// put replaces files, each of them at once.
func (c *certificates) put(files map[string][]byte) error {
	for name, text := range files {
		next := c.in("next")
		if err := os.WriteFile(next, text, 0o600); err != nil {
			return err
		}
		if err := os.Rename(next, c.in(name)); err != nil {
			return err
		}
	}
	return nil
}

// target is the cluster for clients.
func (r *run) target() workload.Target {
	t := workload.Target{Seeds: r.cluster.Seeds()}
	if r.certs != nil {
		t.TLS = r.certs.client()
	}
	return t
}

// rotate changes both CAs, all certificates and keys and the key of gossip, in the three steps that operators take: what is new is trusted beside
// what is old, then used, then what is old is trusted no more. It ends although ctx does, since a half of it is none.
func (r *run) rotate(context.Context) (string, error) {
	c := r.certs
	fresh, err := os.MkdirTemp(c.dir, "fresh")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(fresh)
	if err := dev.Write(filepath.Join(fresh, "set"), []string{"broker"}, time.Now()); err != nil {
		return "", err
	}
	old, set := map[string][]byte{}, map[string][]byte{}
	for _, name := range dev.Files() {
		var err1, err2 error
		old[name], err1 = os.ReadFile(c.in(name))
		set[name], err2 = os.ReadFile(filepath.Join(fresh, "set", name))
		if err := errors.Join(err1, err2); err != nil {
			return "", err
		}
	}
	_, before := c.now()
	for _, files := range []map[string][]byte{
		{
			dev.CACert: join(old[dev.CACert], set[dev.CACert]), dev.PeerCACert: join(old[dev.PeerCACert], set[dev.PeerCACert]),
			dev.GossipKeyFile: join(old[dev.GossipKeyFile], set[dev.GossipKeyFile]),
		},
		{
			dev.BrokerCert: set[dev.BrokerCert], dev.BrokerKey: set[dev.BrokerKey], dev.PeerCert: set[dev.PeerCert], dev.PeerKey: set[dev.PeerKey],
			dev.ClientCert: set[dev.ClientCert], dev.ClientKey: set[dev.ClientKey], dev.GossipKeyFile: join(set[dev.GossipKeyFile], old[dev.GossipKeyFile]),
		},
		{dev.CACert: set[dev.CACert], dev.PeerCACert: set[dev.PeerCACert], dev.GossipKeyFile: set[dev.GossipKeyFile]},
	} {
		if err := errors.Join(c.put(files), c.load()); err != nil {
			return "", err
		}
		nap(r.life, filesReadWithin)
		if err := r.life.Err(); err != nil {
			return "", err
		}
	}
	refused := r.refuse(before)
	if refused == 0 {
		return "", errUnfit // all were down just then, and nobody saw it done
	}
	return fmt.Sprintf("both CAs, all certificates and gossip's key; %d brokers refuse the former ones", refused), nil
}

func join(a, b []byte) []byte { return append(bytes.Clone(a), b...) }

// refuse counts the running brokers that refuse a client's certificate which was rotated away. One that goes on taking it breaks a promise; one that was
// stopped until just now may take it until it has looked at its files twice.
func (r *run) refuse(former *tls.Certificate) (refused int) {
	for _, m := range r.machines {
		if !m.Running() {
			continue
		}
		refuses := false
		if err := until(r.life, filesReadWithin, func(context.Context) string { // the end of the bound is not to cut the last look short
			var accepts bool
			if accepts, refuses = r.offer(m, former); accepts {
				return "it is taken"
			}
			return "" // also if the broker was stopped or killed just then, which tells nothing
		}); err != nil && r.life.Err() == nil {
			r.violate("run", "broker %d accepts a client's certificate of a CA that was taken away", m.Number)
		}
		if refuses {
			refused++
		}
	}
	return refused
}

// offer shows a client's certificate to a broker, and tells whether it accepts or refuses it. Of one that does not answer neither is known.
func (r *run) offer(m *machine, pair *tls.Certificate) (accepts, refuses bool) {
	cfg := r.certs.client()
	cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return pair, nil }
	ctx, cancel := context.WithTimeout(r.life, refuseWithin)
	defer cancel()
	conn, err := (&tls.Dialer{Config: cfg}).DialContext(ctx, "tcp", m.Client)
	if err == nil {
		if d, ok := ctx.Deadline(); ok {
			_ = conn.SetDeadline(d) // then the read fails, and tells nothing
		}
		_, err = conn.Read(make([]byte, 1)) // with TLS 1.3 the refusal comes after the client's handshake
		_ = conn.Close()
	}
	var op *net.OpError
	return err == nil, errors.As(err, &op) && op.Op == "remote error" // an alert
}
