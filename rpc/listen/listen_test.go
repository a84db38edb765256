package listen_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/mem"

	"github.com/runnel-io/runnel/rpc/certs/dev"
	"github.com/runnel-io/runnel/rpc/listen"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must happen; it is never a measure.
const patience = 20 * time.Second

// reasons collects why connections were refused.
type reasons struct {
	mu  sync.Mutex
	all []string
}

func (r *reasons) add(reason string, _ net.Addr) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, reason)
}

func (r *reasons) count(reason string) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, one := range r.all {
		if one == reason {
			n++
		}
	}
	return n
}

// until repeats ok until it is true.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick, timeout := time.NewTicker(time.Millisecond), time.NewTimer(patience)
	defer tick.Stop()
	defer timeout.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-timeout.C:
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

func open(t *testing.T, most int, r *reasons) *listen.Listener {
	t.Helper()
	raw, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = raw.Close() })
	return listen.Bound(raw, most, r.add)
}

func dial(t *testing.T, l net.Listener) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestOneAboveTheCapIsClosedAndAnotherFitsOnceOneIsGone(t *testing.T) {
	var r reasons
	l := open(t, 2, &r)
	accepted := make(chan net.Conn, 10)
	go func() { // ends when the listener closes
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			accepted <- c
		}
	}()
	dial(t, l)
	dial(t, l)
	first, second := <-accepted, <-accepted
	defer second.Close()
	if n, err := dial(t, l).Read(make([]byte, 1)); err == nil {
		t.Fatalf("a third was accepted: %d", n)
	}
	if r.count(listen.Connections) != 1 || l.Open() != 2 {
		t.Errorf("refused %d, open %d", r.count(listen.Connections), l.Open())
	}
	for range 3 { // closing again gives no more room
		_ = first.Close()
	}
	dial(t, l)
	third := <-accepted
	defer third.Close()
	if n, err := dial(t, l).Read(make([]byte, 1)); err == nil {
		t.Fatalf("a third was accepted: %d", n)
	}
}

// counting tells how many buffers were taken, and how many are out.
type counting struct {
	mu         sync.Mutex
	taken, out int
}

func (c *counting) Get(n int) *[]byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.taken++
	c.out++
	b := make([]byte, n)
	return &b
}

func (c *counting) Put(*[]byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.out--
}

func (c *counting) counts() (taken, out int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.taken, c.out
}

func TestAnIdleConnectionHoldsNoBuffer(t *testing.T) {
	var r reasons
	l := open(t, 10, &r)
	other := dial(t, l)
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ready, ok := c.(interface {
		ReadOnReady(size int, pool mem.BufferPool) (*[]byte, int, error)
	})
	if !ok {
		t.Fatal("gRPC would hold a buffer for it")
	}
	pool := &counting{}
	type result struct {
		text []byte
		err  error
	}
	results := make(chan result)
	go func() { // ends at the first error
		for {
			buf, n, err := ready.ReadOnReady(1<<10, pool)
			if err != nil {
				results <- result{nil, err}
				return
			}
			text := bytes.Clone((*buf)[:n])
			pool.Put(buf)
			results <- result{text, nil}
		}
	}()
	for i, text := range []string{"a", "bc"} {
		// Each read takes one to look, and another once there is something.
		until(t, "a read has looked, and gave its buffer back", func() bool {
			taken, out := pool.counts()
			return taken > 2*i && out == 0
		})
		if _, err := other.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
		if got := <-results; string(got.text) != text || got.err != nil {
			t.Fatalf("got %q, %v", got.text, got.err)
		}
	}
	_ = other.Close()
	if got := <-results; !errors.Is(got.err, io.EOF) {
		t.Errorf("at the end: %v", got.err)
	}
	if _, out := pool.counts(); out != 0 {
		t.Errorf("%d buffers are held", out)
	}
}

// certified are what a server shakes hands with, at most so many at a time, and what a client of it does.
func certified(t *testing.T, most int, r *reasons) (credentials.TransportCredentials, *tls.Config) {
	t.Helper()
	ca, err := dev.NewCA("test", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	pair, err := ca.Sign(dev.Leaf{Hosts: []string{"127.0.0.1"}, Server: true}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	cert, err := tls.X509KeyPair(pair.Cert, pair.Key)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca.CertPEM)
	creds := listen.Secure(&tls.Config{Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: roots}, most,
		func(reason string, from net.Addr, _ error) { r.add(reason, from) })
	mine, err := ca.Sign(dev.Leaf{Client: true}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	own, err := tls.X509KeyPair(mine.Cert, mine.Key)
	if err != nil {
		t.Fatal(err)
	}
	return creds, &tls.Config{RootCAs: roots, ServerName: "127.0.0.1", NextProtos: []string{"h2"}, Certificates: []tls.Certificate{own}}
}

// secured has a server that shakes hands with whoever comes, at most so many at a time.
func secured(t *testing.T, most int, r *reasons) (*listen.Listener, *tls.Config) {
	t.Helper()
	creds, cfg := certified(t, most, r)
	listen.LingerFor(creds, patience) // the client ends it, not the clock
	l := open(t, 1000, r)
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { // as gRPC does
				defer c.Close()
				_ = c.SetDeadline(time.Now().Add(patience))
				if secure, _, err := creds.ServerHandshake(c); err == nil {
					_, _ = io.Copy(io.Discard, secure)
				}
			})
		}
	})
	t.Cleanup(serving.Wait)
	t.Cleanup(func() { _ = l.Close() })
	return l, cfg
}

func TestAHandshakeWithoutRoomIsRefused(t *testing.T) {
	var r reasons
	l, cfg := secured(t, 1, &r)
	stalls := dial(t, l)
	if _, err := stalls.Write([]byte{22, 3, 1}); err != nil {
		t.Fatal(err)
	}
	// Whether it took the one room is seen from a second one, which gets none.
	if _, err := dial(t, l).Read(make([]byte, 1)); err == nil || r.count(listen.Handshakes) != 1 {
		t.Fatalf("a second was let in: %v, %d", err, r.count(listen.Handshakes))
	}
	_ = stalls.Close()
	c := tls.Client(dial(t, l), cfg)
	if err := c.HandshakeContext(context.Background()); err != nil {
		t.Errorf("room was not given back: %v", err)
	}
	_ = c.Close()
}

// dialFrom is dial from another address of this host.
func dialFrom(t *testing.T, l net.Listener, host string) net.Conn {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(host)}}
	c, err := d.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestOneHostDoesNotTakeTheRoomOfAll(t *testing.T) {
	var r reasons
	l, cfg := secured(t, 4, &r)
	for range 2 { // what one host may have
		c := dialFrom(t, l, "127.0.0.2")
		if _, err := c.Write([]byte{22, 3, 1}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := dialFrom(t, l, "127.0.0.2").Read(make([]byte, 1)); err == nil || r.count(listen.Handshakes) != 1 {
		t.Fatalf("a third of the same host was let in: %v, %d", err, r.count(listen.Handshakes))
	}
	c := tls.Client(dialFrom(t, l, "127.0.0.3"), cfg)
	if err := c.HandshakeContext(context.Background()); err != nil {
		t.Errorf("another host: %v", err)
	}
	_ = c.Close()
}

func TestARefusedClientReadsWhy(t *testing.T) {
	var r reasons
	l, cfg := secured(t, 10, &r)
	cfg.Certificates = nil
	c := tls.Client(dial(t, l), cfg)
	if err := c.HandshakeContext(context.Background()); err != nil {
		t.Fatal(err) // with TLS 1.3 the client is done before it is refused
	}
	_, err := c.Read(make([]byte, 1))
	if err == nil || err.Error() != "remote error: tls: certificate required" {
		t.Errorf("the client reads %v", err)
	}
	if _, err := c.NetConn().Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("after the reason comes %v", err)
	}
	// Clients write their request meanwhile, and give up at the first write that fails. To a closed connection the second one does.
	for range 10 {
		if _, err := c.NetConn().Write(make([]byte, 1000)); err != nil {
			t.Fatalf("a write before the reason is read: %v", err)
		}
	}
	if r.count(listen.TLS) != 1 {
		t.Errorf("refused: %d", r.count(listen.TLS))
	}
}
