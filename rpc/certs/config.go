package certs

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
)

// Server is the configuration of a listener. It answers each handshake with what is in force then.
func (s *Store) Server() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12, SessionTicketsDisabled: true, Time: s.o.Now,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return s.current.Load().server, nil },
	}
}

func (s *Store) serverConfig(m *material) *tls.Config {
	c := &tls.Config{
		MinVersion: tls.VersionTLS12, SessionTicketsDisabled: true, Time: s.o.Now,
		Certificates: []tls.Certificate{m.cert}, ClientCAs: m.roots,
	}
	switch {
	case s.require:
		c.ClientAuth = tls.RequireAndVerifyClientCert
	case m.roots != nil:
		c.ClientAuth = tls.VerifyClientCertIfGiven
	}
	if s.use == usePeer {
		c.VerifyConnection = func(cs tls.ConnectionState) error { return s.other(cs, x509.ExtKeyUsageClientAuth) }
	}
	return c
}

// Client is the configuration of a broker that connects to another. The certificate that the other end shows is checked by other, which
// compares no host name (see the package's doc): that is why Go's own check is off.
func (s *Store) Client() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12, Time: s.o.Now,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &s.current.Load().cert, nil },
		InsecureSkipVerify:   true,
		VerifyConnection:     func(cs tls.ConnectionState) error { return s.other(cs, x509.ExtKeyUsageServerAuth) },
	}
}

// other checks what the other broker showed; crypto/tls has checked that it holds the key.
func (s *Store) other(cs tls.ConnectionState, end x509.ExtKeyUsage) error {
	if len(cs.PeerCertificates) == 0 {
		return errors.New("the other end shows no certificate")
	}
	return s.accepts(s.current.Load(), cs.PeerCertificates[0], cs.PeerCertificates[1:], end)
}
