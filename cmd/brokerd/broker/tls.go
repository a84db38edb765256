package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/runnel-io/runnel/rpc/certs"
	"github.com/runnel-io/runnel/rpc/peer"
)

// TLS names the files of certificates and keys, as PEM, and of gossip's keys. What is "" is served in plain text.
type TLS struct {
	ClientCert, ClientKey, ClientCA string
	ClientAuth                      string // AuthRequire, AuthNone; "": AuthRequire
	PeerCert, PeerKey, PeerCA       string
	GossipKeys                      string
}

// What is asked of clients.
const (
	AuthRequire = "require" // a certificate of ClientCA
	AuthNone    = "none"    // nothing: whoever reaches the port may read and write
)

// certsEvery is how often the files are looked at.
const certsEvery = 2 * time.Second

func (t *TLS) client() bool { return t.ClientCert != "" }
func (t *TLS) peer() bool   { return t.PeerCert != "" }

// check reports all mistakes of names; the files are read at start.
func (t *TLS) check() error {
	var errs []error
	want := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	want((t.ClientCert == "") == (t.ClientKey == ""), "tls.client.cert and tls.client.key belong together: name both or none")
	want(t.ClientCA == "" || t.ClientCert != "", "tls.client.ca needs tls.client.cert and tls.client.key")
	switch t.ClientAuth {
	case "", AuthRequire:
		want(t.ClientCert == "" || t.ClientCA != "", "tls.client.ca is missing: name the file of the CA that signs clients' certificates, "+
			"or set tls.client.auth to none, and whoever reaches the port may read and write")
	case AuthNone:
		want(t.ClientCert != "", "tls.client.auth needs tls.client.cert and tls.client.key")
	default:
		want(false, "tls.client.auth is %q: use %s or %s", t.ClientAuth, AuthRequire, AuthNone)
	}
	named := 0
	for _, f := range []string{t.PeerCert, t.PeerKey, t.PeerCA} {
		if f != "" {
			named++
		}
	}
	want(named == 0 || named == 3, "tls.peer.cert, tls.peer.key and tls.peer.ca belong together: name all three or none")
	return errors.Join(errs...)
}

// secrets are what is in force; nil each: plain text.
type secrets struct {
	client, peer *certs.Store
	keys         *certs.Keys
	done         chan struct{} // watchSecrets has returned
}

// openSecrets reads the files.
func (b *Broker) openSecrets() error {
	m, err := certs.NewMetrics(b.reg)
	if err != nil {
		return err
	}
	o := certs.Options{Now: b.env.Now, Log: b.log.With("component", "tls"), Metrics: m}
	b.secrets, err = b.cfg.TLS.open(b.ctx, o, func(keys [][]byte) error { return b.gossip.SetKeys(keys) })
	return err
}

// settleWithin bounds the wait for files that can be used: whoever replaces them is done by then.
const settleWithin = 3 * time.Second

// open reads the files. gossip is told of keys that change.
func (t *TLS) open(ctx context.Context, o certs.Options, gossip func(keys [][]byte) error) (s secrets, err error) {
	ctx, cancel := context.WithTimeout(ctx, settleWithin)
	defer cancel()
	var errs []error
	if t.client() {
		s.client, err = certs.OpenClient(ctx, certs.Files{Cert: t.ClientCert, Key: t.ClientKey, CA: t.ClientCA}, t.ClientAuth != AuthNone, o)
		errs = append(errs, err)
	}
	if t.peer() {
		s.peer, err = certs.OpenPeer(ctx, certs.Files{Cert: t.PeerCert, Key: t.PeerKey, CA: t.PeerCA}, o)
		errs = append(errs, err)
	}
	if t.GossipKeys != "" {
		s.keys, err = certs.OpenKeys(ctx, t.GossipKeys, gossip, o)
		errs = append(errs, err)
	}
	return s, errors.Join(errs...)
}

// CheckTLS reads the files as a start does, and answers until when the certificates of clients' port and between brokers are valid; zero
// where there is none.
func CheckTLS(ctx context.Context, t TLS) (client, peer time.Time, err error) {
	m, err := certs.NewMetrics(nil)
	if err != nil {
		return client, peer, err
	}
	s, err := t.open(ctx, certs.Options{Now: time.Now, Log: slog.New(slog.DiscardHandler), Metrics: m}, nil)
	if s.client != nil {
		client = s.client.NotAfter()
	}
	if s.peer != nil {
		peer = s.peer.NotAfter()
	}
	return client, peer, err
}

// watchSecrets takes changed files until ctx ends.
func (b *Broker) watchSecrets(ctx context.Context) {
	defer close(b.secrets.done)
	t := time.NewTicker(b.cfg.CertsEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		if s := b.secrets.client; s != nil {
			s.Look()
		}
		if s := b.secrets.peer; s != nil {
			s.Look()
		}
		if k := b.secrets.keys; k != nil {
			k.Look()
		}
	}
}

func (b *Broker) peerTLS() *peer.TLS {
	if b.secrets.peer == nil {
		return nil
	}
	return &peer.TLS{Server: b.secrets.peer.Server(), Client: b.secrets.peer.Client()}
}

func (b *Broker) gossipKeys() [][]byte {
	if b.secrets.keys == nil {
		return nil
	}
	return b.secrets.keys.Opened()
}
