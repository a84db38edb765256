package certs_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/runnel-io/runnel/rpc/certs"
	"github.com/runnel-io/runnel/rpc/certs/dev"
)

// once is for an open that looks once.
var once = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// fixture is a folder of files and a clock.
type fixture struct {
	t   *testing.T
	dir string
	now time.Time
	reg *prometheus.Registry
	log strings.Builder
	o   certs.Options
}

func newFixture(t *testing.T) *fixture {
	f := &fixture{t: t, dir: t.TempDir(), now: time.Now(), reg: prometheus.NewRegistry()}
	m, err := certs.NewMetrics(f.reg)
	if err != nil {
		t.Fatal(err)
	}
	f.o = certs.Options{Now: func() time.Time { return f.now }, Log: slog.New(slog.NewTextHandler(&f.log, nil)), Metrics: m}
	return f
}

func (f *fixture) ca(name string) *dev.CA {
	f.t.Helper()
	ca, err := dev.NewCA(name, f.now)
	if err != nil {
		f.t.Fatal(err)
	}
	return ca
}

func (f *fixture) sign(ca *dev.CA, l dev.Leaf) dev.Pair {
	f.t.Helper()
	p, err := ca.Sign(l, f.now)
	if err != nil {
		f.t.Fatal(err)
	}
	return p
}

func (f *fixture) write(name string, text []byte) {
	f.t.Helper()
	if err := os.WriteFile(filepath.Join(f.dir, name), text, 0o600); err != nil {
		f.t.Fatal(err)
	}
}

// files writes a pair and the CAs.
func (f *fixture) files(p dev.Pair, cas ...*dev.CA) certs.Files {
	f.write("a.crt", p.Cert)
	f.write("a.key", p.Key)
	var bundle []byte
	for _, ca := range cas {
		bundle = append(bundle, ca.CertPEM...)
	}
	f.write("a.ca", bundle)
	in := func(n string) string { return filepath.Join(f.dir, n) }
	return certs.Files{Cert: in("a.crt"), Key: in("a.key"), CA: in("a.ca")}
}

func (f *fixture) reloads(use, result string) float64 {
	f.t.Helper()
	all, err := f.reg.Gather()
	if err != nil {
		f.t.Fatal(err)
	}
	for _, m := range all {
		for _, one := range m.GetMetric() {
			labels := map[string]string{}
			for _, l := range one.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			if m.GetName() == "runnel_tls_reloads_total" && labels["use"] == use && labels["result"] == result {
				return one.GetCounter().GetValue()
			}
		}
	}
	f.t.Fatalf("no runnel_tls_reloads_total of %s, %s", use, result)
	return 0
}

// shake has a client and a server shake hands and say a word each, and gives what each met.
func shake(t *testing.T, server, client *tls.Config) (state tls.ConnectionState, serverErr, clientErr error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	// Sockets, not a pipe: whoever refuses may close before the other has written.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	done := make(chan error, 1)
	go func() {
		raw, err := l.Accept()
		if err != nil {
			done <- err
			return
		}
		c := tls.Server(raw, server)
		defer raw.Close()
		if err := c.HandshakeContext(ctx); err != nil {
			done <- err
			return
		}
		_, err = c.Write([]byte("hello"))
		done <- err
	}()
	raw, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	c := tls.Client(raw, client)
	clientErr = c.HandshakeContext(ctx)
	if clientErr == nil {
		_, clientErr = io.ReadFull(c, make([]byte, 5)) // with TLS 1.3 the server's refusal comes after the client's handshake
	}
	state = c.ConnectionState()
	_ = raw.Close()
	return state, <-done, clientErr
}

func TestBrokersOfOneCATrustEachOther(t *testing.T) {
	f := newFixture(t)
	ca := f.ca("peers")
	s, err := certs.OpenPeer(once, f.files(f.sign(ca, dev.PeerLeaf(nil)), ca), f.o)
	if err != nil {
		t.Fatal(err)
	}
	state, se, ce := shake(t, s.Server(), s.Client())
	if se != nil || ce != nil {
		t.Fatalf("%v, %v", se, ce)
	}
	if state.Version < tls.VersionTLS12 {
		t.Errorf("version %x", state.Version)
	}
}

// Each stranger is tried at both ends: as the one who connects, and as the one who answers.
func TestStrangersAreNoBrokers(t *testing.T) {
	f := newFixture(t)
	ca, other := f.ca("peers"), f.ca("others")
	s, err := certs.OpenPeer(once, f.files(f.sign(ca, dev.PeerLeaf(nil)), ca), f.o)
	if err != nil {
		t.Fatal(err)
	}
	both := func(l dev.Leaf) dev.Leaf { l.Server, l.Client = true, true; return l }
	past := dev.PeerLeaf(nil)
	past.NotBefore, past.NotAfter = f.now.Add(-2*time.Hour), f.now.Add(-time.Hour)
	for _, x := range []struct {
		name string
		pair dev.Pair
	}{
		{"a client's certificate of the same CA", f.sign(ca, both(dev.Leaf{Name: "client"}))},
		{"the role as a name", f.sign(ca, both(dev.Leaf{Name: certs.PeerRole, Hosts: []string{"peer"}}))},
		{"a role that begins alike", f.sign(ca, both(dev.Leaf{URIs: []string{certs.PeerRole + "s"}}))},
		{"another CA", f.sign(other, dev.PeerLeaf(nil))},
		{"an expired certificate", f.sign(ca, past)},
	} {
		t.Run(x.name, func(t *testing.T) {
			pair, err := tls.X509KeyPair(x.pair.Cert, x.pair.Key)
			if err != nil {
				t.Fatal(err)
			}
			_, se, _ := shake(t, s.Server(), &tls.Config{Certificates: []tls.Certificate{pair}, InsecureSkipVerify: true})
			if se == nil {
				t.Error("it was accepted")
			}
			_, _, ce := shake(t, &tls.Config{Certificates: []tls.Certificate{pair}}, s.Client())
			if ce == nil {
				t.Error("its listener was trusted")
			}
		})
	}
	if _, se, _ := shake(t, s.Server(), &tls.Config{InsecureSkipVerify: true}); se == nil {
		t.Error("no certificate at all was accepted")
	}
	_, se, _ := shake(t, s.Server(), &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11})
	if se == nil || !strings.Contains(se.Error(), "version") {
		t.Errorf("TLS 1.1: %v", se)
	}
}

func TestClientsShowACertificateWhereItIsRequired(t *testing.T) {
	f := newFixture(t)
	ca, other := f.ca("all"), f.ca("others")
	files := f.files(f.sign(ca, dev.Leaf{Hosts: []string{"127.0.0.1"}, Server: true}), ca)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca.CertPEM)
	client := func(pairs ...dev.Pair) *tls.Config {
		c := &tls.Config{RootCAs: pool, ServerName: "127.0.0.1"}
		for _, p := range pairs {
			pair, err := tls.X509KeyPair(p.Cert, p.Key)
			if err != nil {
				t.Fatal(err)
			}
			c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
		}
		return c
	}
	good, bad := f.sign(ca, dev.Leaf{Client: true}), f.sign(other, dev.Leaf{Client: true})
	server := f.sign(ca, dev.Leaf{Server: true})
	for _, x := range []struct {
		name    string
		require bool
		ca      bool
		with    *tls.Config
		ok      bool
	}{
		{"required and shown", true, true, client(good), true},
		{"required and missing", true, true, client(), false},
		{"required and of another CA", true, true, client(bad), false},
		{"required and only for servers", true, true, client(server), false},
		{"not required and missing", false, true, client(), true},
		{"not required, and of another CA", false, true, client(bad), false},
		{"no CA", false, false, client(bad), true},
	} {
		t.Run(x.name, func(t *testing.T) {
			fs := files
			if !x.ca {
				fs.CA = ""
			}
			s, err := certs.OpenClient(once, fs, x.require, f.o)
			if err != nil {
				t.Fatal(err)
			}
			_, se, ce := shake(t, s.Server(), x.with)
			if ok := se == nil && ce == nil; ok != x.ok {
				t.Errorf("accepted: %v, want %v (%v, %v)", ok, x.ok, se, ce)
			}
		})
	}
}

func TestWhatCannotWorkIsRefusedAtTheStart(t *testing.T) {
	f := newFixture(t)
	ca, other := f.ca("peers"), f.ca("others")
	good := f.sign(ca, dev.PeerLeaf(nil))
	expired, early, noRole, oneWay := dev.PeerLeaf(nil), dev.PeerLeaf(nil), dev.PeerLeaf(nil), dev.PeerLeaf(nil)
	expired.NotBefore, expired.NotAfter = f.now.Add(-2*time.Hour), f.now.Add(-time.Hour)
	early.NotBefore = f.now.Add(time.Hour)
	noRole.URIs, oneWay.Client = nil, false
	for _, x := range []struct {
		name, want string
		files      func() certs.Files
	}{
		{"no file", "no such file", func() certs.Files {
			return certs.Files{Cert: f.dir + "/none", Key: f.dir + "/none", CA: f.dir + "/none"}
		}},
		{"foreign key", "no pair", func() certs.Files {
			return f.files(dev.Pair{Cert: good.Cert, Key: f.sign(ca, dev.PeerLeaf(nil)).Key}, ca)
		}},
		{"no PEM", "no pair", func() certs.Files { return f.files(dev.Pair{Cert: []byte("x"), Key: good.Key}, ca) }},
		{"no CA", "no certificate of a CA", func() certs.Files { return f.files(good) }},
		{"expired", "expired at", func() certs.Files { return f.files(f.sign(ca, expired), ca) }},
		{"too early", "clock", func() certs.Files { return f.files(f.sign(ca, early), ca) }},
		{"no role", certs.PeerRole, func() certs.Files { return f.files(f.sign(ca, noRole), ca) }},
		{"one end only", "connects to them", func() certs.Files { return f.files(f.sign(ca, oneWay), ca) }},
		{"another CA", "other brokers would refuse", func() certs.Files { return f.files(good, other) }},
		{"huge", "larger than", func() certs.Files {
			return f.files(dev.Pair{Cert: append(good.Cert, make([]byte, 2<<20)...), Key: good.Key}, ca)
		}},
	} {
		t.Run(x.name, func(t *testing.T) {
			_, err := certs.OpenPeer(once, x.files(), f.o)
			if err == nil || !strings.Contains(err.Error(), x.want) {
				t.Errorf("got %v, want %q", err, x.want)
			}
		})
	}
}

func TestChangedFilesAreInForceForTheNextHandshake(t *testing.T) {
	f := newFixture(t)
	first, second := f.ca("first"), f.ca("second")
	s, err := certs.OpenPeer(once, f.files(f.sign(first, dev.PeerLeaf(nil)), first), f.o)
	if err != nil {
		t.Fatal(err)
	}
	server, client := s.Server(), s.Client() // made once, as by listeners
	of := func(ca *dev.CA) *tls.Config {
		pair := f.sign(ca, dev.PeerLeaf(nil))
		cert, err := tls.X509KeyPair(pair.Cert, pair.Key)
		if err != nil {
			t.Fatal(err)
		}
		return &tls.Config{Certificates: []tls.Certificate{cert}, InsecureSkipVerify: true}
	}
	accepts := func(ca *dev.CA) bool {
		_, se, ce := shake(t, server, of(ca))
		return se == nil && ce == nil
	}
	if !accepts(first) || accepts(second) {
		t.Fatal("wrong before any change")
	}
	f.files(f.sign(first, dev.PeerLeaf(nil)), first, second) // both CAs, then the other's certificate, then the other alone
	s.Look()
	s.Look()
	if !accepts(first) || !accepts(second) {
		t.Error("a CA that was added is not trusted, or one that stayed no longer")
	}
	f.files(f.sign(second, dev.PeerLeaf(nil)), second)
	s.Look()
	s.Look()
	if accepts(first) || !accepts(second) {
		t.Error("a CA that was taken away is still trusted")
	}
	if _, _, ce := shake(t, of(first), client); ce == nil {
		t.Error("a listener of the CA that was taken away is trusted")
	}
	if _, se, ce := shake(t, server, client); se != nil || ce != nil {
		t.Errorf("%v, %v", se, ce)
	}
	if n := f.reloads("peer", "ok"); n != 2 {
		t.Errorf("%v reloads counted, want 2", n)
	}
	s.Look()
	if n := f.reloads("peer", "ok"); n != 2 {
		t.Errorf("%v reloads counted without a change", n)
	}
}

func TestBrokenFilesLeaveTheFormerOnesInForce(t *testing.T) {
	f := newFixture(t)
	ca := f.ca("peers")
	s, err := certs.OpenPeer(once, f.files(f.sign(ca, dev.PeerLeaf(nil)), ca), f.o)
	if err != nil {
		t.Fatal(err)
	}
	before := s.NotAfter()
	later := dev.PeerLeaf(nil)
	later.NotAfter = f.now.Add(30 * 24 * time.Hour)
	next := f.sign(ca, later)
	f.write("a.crt", next.Cert) // the key is not written yet
	s.Look()
	if n := f.reloads("peer", "failed"); n != 0 || f.log.Len() != 0 {
		t.Errorf("a pair that is half written was called bad at the first look: %v, %s", n, f.log.String())
	}
	s.Look()
	s.Look()
	if n := f.reloads("peer", "failed"); n != 1 {
		t.Errorf("%v failures counted, want 1", n)
	}
	if text := f.log.String(); strings.Count(text, "level=ERROR") != 1 || !strings.Contains(text, "no pair") {
		t.Errorf("logged: %s", text)
	}
	if _, se, ce := shake(t, s.Server(), s.Client()); se != nil || ce != nil || !s.NotAfter().Equal(before) {
		t.Errorf("the former pair is not in force: %v, %v", se, ce)
	}
	f.write("a.key", next.Key)
	s.Look()
	s.Look()
	if s.NotAfter().Equal(before) || f.reloads("peer", "ok") != 1 {
		t.Error("the whole pair was not taken")
	}
	if err := os.Remove(filepath.Join(f.dir, "a.ca")); err != nil {
		t.Fatal(err)
	}
	s.Look()
	s.Look()
	if _, se, ce := shake(t, s.Server(), s.Client()); se != nil || ce != nil || f.reloads("peer", "failed") != 2 {
		t.Errorf("a file that is gone: %v, %v", se, ce)
	}
	if n := testutil.CollectAndCount(f.reg, "runnel_tls_certificate_not_after_seconds"); n != 1 {
		t.Errorf("%d expiries told", n)
	}
}

func TestACertificateThatExpiresSoonIsLoggedOnceADay(t *testing.T) {
	f := newFixture(t)
	ca := f.ca("peers")
	s, err := certs.OpenPeer(once, f.files(f.sign(ca, dev.PeerLeaf(nil)), ca), f.o)
	if err != nil {
		t.Fatal(err)
	}
	s.Look()
	f.now = s.NotAfter().Add(-5 * 24 * time.Hour)
	for range 3 {
		s.Look()
	}
	f.now = f.now.Add(25 * time.Hour)
	s.Look()
	if n := strings.Count(f.log.String(), "expires soon"); n != 2 {
		t.Errorf("logged %d times, want 2: %s", n, f.log.String())
	}
}
