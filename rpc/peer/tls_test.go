package peer

import (
	"crypto/tls"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/runnel-io/runnel/partition/multiraft"
	"github.com/runnel-io/runnel/rpc/certs"
	"github.com/runnel-io/runnel/rpc/certs/dev"
)

// peerTLS reads the set in dir.
func peerTLS(t *testing.T, dir string) *TLS {
	t.Helper()
	m, err := certs.NewMetrics(nil)
	if err != nil {
		t.Fatal(err)
	}
	in := func(name string) string { return filepath.Join(dir, name) }
	s, err := certs.OpenPeer(t.Context(), certs.Files{Cert: in(dev.PeerCert), Key: in(dev.PeerKey), CA: in(dev.PeerCACert)},
		certs.Options{Now: time.Now, Log: slog.New(slog.DiscardHandler), Metrics: m})
	if err != nil {
		t.Fatal(err)
	}
	return &TLS{Server: s.Server(), Client: s.Client()}
}

func newSet(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "certs")
	if err := dev.Write(dir, nil, time.Now()); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestLanesAndCallsGoOverTLS(t *testing.T) {
	n, set := newTestNet(), peerTLS(t, newSet(t))
	with := func(c *Config) { c.TLS = set }
	a := start(t, n, member(1), listenOn(t, "127.0.0.1:0"), with)
	b := start(t, n, member(2), listenOn(t, "127.0.0.1:0"), with)
	for lane := range multiraft.Lane(multiraft.NumLanes) {
		connect(t, a, b, lane)
		connect(t, b, a, lane)
	}
	if _, err := a.Call(t.Context(), 2, "x", nil); err != nil {
		t.Error(err)
	}
	if _, err := a.Bulk().Call(t.Context(), 2, "x", nil); err != nil {
		t.Error(err)
	}
	if _, err := a.CallAddr(t.Context(), b.addr, "", "x", nil); err != nil {
		t.Error(err)
	}
	if who, err := a.Who(t.Context(), b.addr); err != nil || who.BrokerID != 2 {
		t.Errorf("%+v, %v", who, err)
	}
}

// Whoever is no broker of this CA, or has no TLS, gets nowhere, whichever end it is, and both are told what to do.
func TestBrokersWithoutTheClustersCertificateGetNowhere(t *testing.T) {
	n, set := newTestNet(), newSet(t)
	a := start(t, n, member(1), listenOn(t, "127.0.0.1:0"), func(c *Config) { c.TLS = peerTLS(t, set) })
	client := *peerTLS(t, set)
	pair, err := tls.LoadX509KeyPair(filepath.Join(set, dev.ClientCert), filepath.Join(set, dev.ClientKey))
	if err != nil {
		t.Fatal(err)
	}
	client.Client = &tls.Config{Certificates: []tls.Certificate{pair}, InsecureSkipVerify: true}
	for i, x := range []struct {
		name    string
		tls     *TLS
		out, in string // what the stranger meets, and what who connects to it meets
	}{
		{"no TLS", nil, "may want TLS", "tls.peer.cert"},
		{"another CA", peerTLS(t, newSet(t)), "", "unknown authority"},
		{"a client's certificate", &client, "", ""},
	} {
		t.Run(x.name, func(t *testing.T) {
			b := start(t, newTestNet(), member(int32(i+2)), listenOn(t, "127.0.0.1:0"), func(c *Config) { c.TLS = x.tls })
			if _, err := b.CallAddr(t.Context(), a.addr, "", "x", nil); err == nil || !strings.Contains(err.Error(), x.out) {
				t.Errorf("the stranger connects: %v", err)
			}
			if who, err := b.Who(t.Context(), a.addr); err == nil {
				t.Errorf("the stranger is told who it is: %+v", who)
			}
			if x.name == "a client's certificate" {
				return // its listener is a broker's
			}
			if _, err := a.CallAddr(t.Context(), b.addr, "", "x", nil); err == nil || !strings.Contains(err.Error(), x.in) {
				t.Errorf("the stranger is connected to: %v", err)
			}
		})
	}
}

func TestAConnectionOfTLSThatSaysNothingEndsInTime(t *testing.T) {
	n := newTestNet()
	a := start(t, n, member(1), listenOn(t, "127.0.0.1:0"), func(c *Config) { c.TLS = peerTLS(t, newSet(t)) })
	l := listenOn(t, "127.0.0.1:0") // it accepts, and says nothing
	defer l.Close()
	if _, err := a.CallAddr(t.Context(), l.Addr().String(), "", "x", nil); err == nil || !strings.Contains(err.Error(), "deadline") {
		t.Errorf("got %v", err)
	}
}
