package peer

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

func TestHandshakeRules(t *testing.T) {
	own := member(1)
	other := func(change func(*runnelv1.HelloRequest)) *runnelv1.HelloRequest {
		r := helloRequest(member(2), spoken)
		change(r)
		return r
	}
	for _, c := range []struct {
		name  string
		hello *runnelv1.HelloRequest
		says  string // "" = accepted
	}{
		{"same cluster", other(func(*runnelv1.HelloRequest) {}), ""},
		{"joining", other(func(r *runnelv1.HelloRequest) { r.ClusterId, r.BrokerId = "", 0 }), ""},
		{"another cluster", other(func(r *runnelv1.HelloRequest) { r.ClusterId = "c2" }), "belongs to cluster c2"},
		{"another protocol", other(func(r *runnelv1.HelloRequest) { r.ProtocolVersion = 9 }), "speaks version 9"},
		{"own id", other(func(r *runnelv1.HelloRequest) { r.BrokerId = 1 }), "data folder was copied"},
	} {
		e := acceptable(own, spoken, c.hello)
		if (e == nil) != (c.says == "") || e != nil && !strings.Contains(e.GetMessage(), c.says) {
			t.Errorf("%s: %v", c.name, e)
		}
	}
}

// A foreign broker gets the reason, on lanes as on calls, and its packets never arrive.
func TestForeignClusterIsRefused(t *testing.T) {
	n := newTestNet()
	home := start(t, n, member(1), listenOn(t, "127.0.0.1:0"), nil)
	foreign := member(2)
	foreign.ClusterID = "c2"
	stranger := start(t, n, foreign, listenOn(t, "127.0.0.1:0"), nil)
	_, err := stranger.CallAddr(callContext(t), home.addr, "", "x", nil)
	if e := asError(t, err); e.GetKind() != runnelv1.ErrorKind_ERROR_KIND_RETRIABLE || !strings.Contains(e.GetMessage(), "cluster c2") {
		t.Fatalf("%v", e)
	}
	stranger.Send(1, 0, heartbeat(1))
	until(t, "the lane drops", func() bool { return !stranger.Send(1, 0, heartbeat(1)) })
	if len(home.received) != 0 {
		t.Fatal("a packet from another cluster arrived")
	}
}

// A stale address that leads to another broker of the same cluster is noticed.
func TestWrongBrokerAtTheAddress(t *testing.T) {
	a, b := two(t)
	a.net.set(3, b.addr)
	_, err := a.Call(callContext(t), 3, "x", nil)
	if e := asError(t, err); e.GetKind() != runnelv1.ErrorKind_ERROR_KIND_RETRIABLE || !strings.Contains(e.GetMessage(), "broker 3") || !strings.Contains(e.GetMessage(), "broker 2") {
		t.Fatalf("%v", e)
	}
}

// A dead broker's address may be this broker's own by now: nobody copied a data folder then.
func TestAnAddressThatLeadsBackToItsOwnBroker(t *testing.T) {
	a, _ := two(t)
	a.net.set(3, a.addr)
	_, err := a.Call(callContext(t), 3, "x", nil)
	e := asError(t, err)
	if e.GetKind() != runnelv1.ErrorKind_ERROR_KIND_RETRIABLE || !strings.Contains(e.GetMessage(), "the address of broker 3, ") ||
		!strings.Contains(e.GetMessage(), "answers as this broker itself") || strings.Contains(e.GetMessage(), "copied") {
		t.Fatalf("%v", e)
	}
	if e := acceptable(a.identity(), spoken, helloRequest(a.identity(), spoken)); !strings.Contains(e.GetMessage(), "connected to itself") {
		t.Fatalf("%v", e)
	}
}

// Nobody was asked anything when the handshake was refused, so the refusal is never the answer of the broker that was called.
func TestAStrangerAtABrokersAddressAnswersNothing(t *testing.T) {
	for name, change := range map[string]func(*Identity){
		"of another cluster": func(id *Identity) { id.ClusterID = "c2" },
		"a copied folder":    func(id *Identity) { id.BrokerID, id.Nonce = 1, 9 },
	} {
		n := newTestNet()
		a := start(t, n, member(1), listenOn(t, "127.0.0.1:0"), nil)
		id := member(2)
		change(&id)
		stranger := start(t, newTestNet(), id, listenOn(t, "127.0.0.1:0"), nil)
		n.set(2, stranger.addr)
		_, err := a.Call(callContext(t), 2, "x", nil)
		if e := asError(t, err); e.GetKind() != runnelv1.ErrorKind_ERROR_KIND_RETRIABLE || e.GetReason() != runnelv1.ErrorReason_ERROR_REASON_UNAVAILABLE {
			t.Errorf("%s: %v, %v", name, e.GetKind(), e)
		}
	}
}

func TestAdmitCanRefuse(t *testing.T) {
	n := newTestNet()
	a := start(t, n, member(1), listenOn(t, "127.0.0.1:0"), nil)
	start(t, n, member(2), listenOn(t, "127.0.0.1:0"), func(c *Config) {
		c.Admit = func(id Identity) error {
			if id.Incarnation != "registered" {
				return runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, "broker %d has a new disk", id.BrokerID)
			}
			return nil
		}
	})
	_, err := a.Call(callContext(t), 2, "x", nil)
	if e := asError(t, err); !strings.Contains(e.GetMessage(), "new disk") {
		t.Fatal(e)
	}
	id := member(1)
	id.Incarnation = "registered"
	a.become(id)
	until(t, "the registered incarnation is admitted", func() bool {
		_, err := a.Call(callContext(t), 2, "x", nil)
		return err == nil
	})
}

// Plain gRPC, HTTP, noise, a half hello: none is served, none disturbs brokers.
func TestGarbageIsClosedAndHarmless(t *testing.T) {
	a, b := two(t)
	noise := [][]byte{
		[]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), []byte("GET / HTTP/1.1\r\n\r\n"), bytes.Repeat([]byte{0xff}, 100000),
		[]byte(handshakeMagic + "\xff\xff"), []byte(handshakeMagic + "\x05\x00\xff\xff\xff\xff\xff"), {},
	}
	for _, x := range noise {
		c, err := net.Dial("tcp", b.addr)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = c.Write(x) // the other side may have closed already
		if len(x) > 0 {
			_ = c.SetReadDeadline(time.Now().Add(patience))
			var ne net.Error
			if _, err := io.ReadAll(c); errors.As(err, &ne) && ne.Timeout() {
				t.Fatalf("%.20q was not closed", x)
			}
		}
		_ = c.Close()
	}
	until(t, "the refusals are counted", func() bool { return testutil.ToFloat64(b.metrics.refusedHello) >= 5 })
	cc, err := grpc.NewClient("passthrough:///"+b.addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cc.Close() }()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if _, err := runnelv1.NewPeerClient(cc).Call(ctx, &runnelv1.CallRequest{}); err == nil {
		t.Fatal("a call without a handshake was served")
	}
	connect(t, a, b, 0)
}

// Connections above the cap are closed at once; when others end there is room again.
func TestConnectionsAreCapped(t *testing.T) {
	n := newTestNet()
	b := start(t, n, member(2), listenOn(t, "127.0.0.1:0"), func(c *Config) { c.MaxConns = 3 })
	var held []net.Conn
	for range 3 {
		c, err := net.Dial("tcp", b.addr)
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, c)
	}
	a := start(t, n, member(1), listenOn(t, "127.0.0.1:0"), nil)
	until(t, "one above the cap is refused", func() bool {
		_, err := a.CallAddr(callContext(t), b.addr, "", "x", nil)
		return err != nil && testutil.ToFloat64(b.metrics.refusedConns) > 0
	})
	for _, c := range held {
		_ = c.Close()
	}
	until(t, "there is room again", func() bool {
		_, err := a.CallAddr(callContext(t), b.addr, "", "x", nil)
		return err == nil
	})
}

// Stop does not wait for a stranger that connected and says nothing.
func TestStopEndsUnfinishedHandshakes(t *testing.T) {
	n := newTestNet()
	b := start(t, n, member(2), listenOn(t, "127.0.0.1:0"), nil)
	c, err := net.Dial("tcp", b.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	until(t, "it is accepted", func() bool {
		b.listener.mu.Lock()
		defer b.listener.mu.Unlock()
		return len(b.listener.conns) == 1
	})
	b.Stop()
	_ = c.SetReadDeadline(time.Now().Add(patience))
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Fatal("still open")
	}
}
