package certs

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"
)

// PeerRole is the URI that a certificate for the traffic between brokers carries.
const PeerRole = "runnel://peer"

// The uses, as metrics and logs name them.
const (
	useClient = "client"
	usePeer   = "peer"
	useGossip = "gossip"
)

// expiresSoon is how long before its end a certificate is logged about, once a day.
const expiresSoon = 7 * 24 * time.Hour

// Files are those of one use, as PEM. Cert may hold intermediate certificates after the first, CA several roots.
type Files struct{ Cert, Key, CA string }

// Options are what all uses share. All are required.
type Options struct {
	Now     func() time.Time
	Log     *slog.Logger
	Metrics *Metrics
}

// Store holds what one use has in force.
type Store struct {
	use     string
	files   Files
	require bool // of OpenClient: clients must show a certificate
	o       Options
	watch   *watch
	current atomic.Pointer[material]
	warned  time.Time // of Look
}

// material is what the files held at one time. It never changes.
type material struct {
	cert  tls.Certificate
	roots *x509.CertPool // nil without a CA
	// server answers one handshake of the listener.
	server *tls.Config
}

// OpenClient reads what the clients' port needs. With require, clients must show a certificate of Files.CA; without, they may, and it is
// checked if there is a CA. Files that cannot be used may be about to be replaced: until ctx ends they are read again.
func OpenClient(ctx context.Context, f Files, require bool, o Options) (*Store, error) {
	return open(ctx, useClient, f, require, o)
}

// OpenPeer reads what the traffic between brokers needs, as OpenClient does. Both ends always show a certificate.
func OpenPeer(ctx context.Context, f Files, o Options) (*Store, error) {
	return open(ctx, usePeer, f, true, o)
}

func open(ctx context.Context, use string, f Files, require bool, o Options) (*Store, error) {
	s := &Store{use: use, files: f, require: require, o: o}
	paths := []string{f.Cert, f.Key}
	if f.CA != "" {
		paths = append(paths, f.CA)
	}
	s.watch = &watch{use: use, paths: paths, take: s.take, log: o.Log, metrics: o.Metrics}
	if err := s.watch.open(ctx); err != nil {
		return nil, fmt.Errorf("tls.%s: %w", use, err)
	}
	o.Metrics.known(use)
	return s, nil
}

// Look takes changed files. It is for one goroutine at a time.
func (s *Store) Look() {
	s.watch.look()
	now, end := s.o.Now(), s.current.Load().cert.Leaf.NotAfter
	if end.Sub(now) < expiresSoon && now.Sub(s.warned) >= 24*time.Hour {
		s.warned = now
		s.o.Log.Warn("a certificate expires soon: replace its file, which is read again by itself", "use", s.use, "file", s.files.Cert, "not_after", end)
	}
}

// NotAfter is when the certificate in force expires.
func (s *Store) NotAfter() time.Time { return s.current.Load().cert.Leaf.NotAfter }

func (s *Store) take(contents [][]byte) error {
	m, err := s.check(contents)
	if err != nil {
		return err
	}
	s.current.Store(m)
	s.o.Metrics.notAfter.WithLabelValues(s.use).Set(float64(m.cert.Leaf.NotAfter.Unix()))
	return nil
}

// check makes material of the files' contents, or says what is wrong with them.
func (s *Store) check(contents [][]byte) (*material, error) {
	cert, err := tls.X509KeyPair(contents[0], contents[1])
	if err != nil {
		return nil, fmt.Errorf("%s and %s are no pair of certificate and key: %w", s.files.Cert, s.files.Key, err)
	}
	m := &material{cert: cert}
	if len(contents) > 2 {
		if m.roots, err = rootsOf(contents[2]); err != nil {
			return nil, fmt.Errorf("%s %w", s.files.CA, err)
		}
	}
	leaf, now := cert.Leaf, s.o.Now()
	switch {
	case now.After(leaf.NotAfter):
		return nil, fmt.Errorf("the certificate in %s expired at %s: replace it", s.files.Cert, leaf.NotAfter.UTC().Format(time.RFC3339))
	case now.Before(leaf.NotBefore):
		return nil, fmt.Errorf("the certificate in %s is valid from %s only: is this host's clock right?", s.files.Cert, leaf.NotBefore.UTC().Format(time.RFC3339))
	case !serves(leaf):
		return nil, fmt.Errorf("the certificate in %s is not for servers: its extended key usage lacks serverAuth", s.files.Cert)
	}
	if s.use == usePeer {
		if err := s.accepts(m, cert.Leaf, intermediates(cert), x509.ExtKeyUsageServerAuth); err != nil {
			return nil, fmt.Errorf("other brokers would refuse the certificate in %s: %w", s.files.Cert, err)
		}
		if err := s.accepts(m, cert.Leaf, intermediates(cert), x509.ExtKeyUsageClientAuth); err != nil {
			return nil, fmt.Errorf("other brokers would refuse the certificate in %s where this one connects to them: %w", s.files.Cert, err)
		}
	}
	m.server = s.serverConfig(m)
	return m, nil
}

// serves tells whether a certificate may be a server's; one without extended key usages may be anything.
func serves(c *x509.Certificate) bool {
	return len(c.ExtKeyUsage)+len(c.UnknownExtKeyUsage) == 0 ||
		slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageServerAuth) || slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageAny)
}

func intermediates(c tls.Certificate) []*x509.Certificate {
	var out []*x509.Certificate
	for _, raw := range c.Certificate[1:] {
		if one, err := x509.ParseCertificate(raw); err == nil { // others parse it again, and what is none helps no chain
			out = append(out, one)
		}
	}
	return out
}

// accepts is the rule for the certificate of another broker: of the peers' CA, for this end of a connection, and with the role.
func (s *Store) accepts(m *material, leaf *x509.Certificate, between []*x509.Certificate, end x509.ExtKeyUsage) error {
	pool := x509.NewCertPool()
	for _, c := range between {
		pool.AddCert(c)
	}
	if _, err := leaf.Verify(x509.VerifyOptions{
		Roots: m.roots, Intermediates: pool, CurrentTime: s.o.Now(), KeyUsages: []x509.ExtKeyUsage{end},
	}); err != nil {
		return err
	}
	return hasRole(leaf)
}

var errRole = errors.New("it is no broker's certificate: the URI " + PeerRole + " is not among its subject alternative names")

func hasRole(c *x509.Certificate) error {
	for _, u := range c.URIs {
		if u.String() == PeerRole {
			return nil
		}
	}
	return errRole
}
