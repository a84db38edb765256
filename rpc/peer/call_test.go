package peer

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/runnel-io/runnel/partition/multiraft"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

func asError(t *testing.T, err error) *runnelv1.Error {
	t.Helper()
	var e *runnelv1.Error
	if !errors.As(err, &e) {
		t.Fatalf("not an *Error: %v", err)
	}
	return e
}

func callContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// echo answers with what it was asked, and with errors as told.
func echo(_ context.Context, from int32, method string, body []byte) ([]byte, error) {
	switch method {
	case "not-leader":
		e := runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_NOT_LEADER, "ask broker 3")
		e.LeaderId, e.LeaderAddress, e.LeaderTerm = 3, "b3:9000", 17
		return nil, e
	case "plain":
		return nil, errors.New("something broke")
	}
	return append([]byte{byte(from)}, body...), nil
}

func TestCallAnswersAndCarriesErrors(t *testing.T) {
	n := newTestNet()
	a := start(t, n, member(1), listenOn(t, "127.0.0.1:0"), func(c *Config) { c.Serve = echo })
	start(t, n, member(2), listenOn(t, "127.0.0.1:0"), func(c *Config) { c.Serve = echo })
	ctx := callContext(t)
	for _, to := range []int32{2, 1} { // another broker and oneself
		body := bytes.Repeat([]byte("x"), 100000)
		got, err := a.Call(ctx, to, "echo", body)
		if err != nil || len(got) != len(body)+1 || got[0] != 1 {
			t.Fatalf("broker %d: %d bytes, %v", to, len(got), err)
		}
		_, err = a.Call(ctx, to, "not-leader", nil)
		e := asError(t, err)
		if e.GetReason() != runnelv1.ErrorReason_ERROR_REASON_NOT_LEADER || e.GetLeaderId() != 3 || e.GetLeaderAddress() != "b3:9000" || e.GetLeaderTerm() != 17 {
			t.Fatalf("broker %d: %v", to, e)
		}
		_, err = a.Call(ctx, to, "plain", nil)
		if e := asError(t, err); e.GetReason() != runnelv1.ErrorReason_ERROR_REASON_INTERNAL || e.GetKind() != runnelv1.ErrorKind_ERROR_KIND_INDETERMINATE {
			t.Fatalf("broker %d: %v", to, e)
		}
	}
}

// A call that found no connection is retriable; one whose answer was lost is not known.
func TestCallKindTellsWhetherItWasSent(t *testing.T) {
	n := newTestNet()
	a := start(t, n, member(1), listenOn(t, "127.0.0.1:0"), nil)
	ctx := callContext(t)
	_, err := a.Call(ctx, 2, "x", nil)
	if e := asError(t, err); e.GetKind() != runnelv1.ErrorKind_ERROR_KIND_RETRIABLE || !strings.Contains(e.GetMessage(), "not known") {
		t.Fatalf("no address: %v %v", e.GetKind(), e)
	}
	gone := listenOn(t, "127.0.0.1:0")
	n.set(3, gone.Addr().String())
	_ = gone.Close()
	_, err = a.Call(ctx, 3, "x", nil)
	if e := asError(t, err); e.GetKind() != runnelv1.ErrorKind_ERROR_KIND_RETRIABLE || e.GetReason() != runnelv1.ErrorReason_ERROR_REASON_UNAVAILABLE {
		t.Fatalf("refused: %v %v", e.GetKind(), e)
	}
	// Served, then the broker stops before it answers.
	began := make(chan struct{})
	b := start(t, n, member(2), listenOn(t, "127.0.0.1:0"), func(c *Config) {
		c.Serve = func(ctx context.Context, _ int32, _ string, _ []byte) ([]byte, error) {
			close(began)
			<-ctx.Done()
			return nil, ctx.Err()
		}
	})
	result := make(chan error, 1)
	go func() {
		_, err := a.Call(ctx, 2, "x", nil)
		result <- err
	}()
	next(t, began, "the call to be served")
	b.Stop()
	if e := asError(t, next(t, result, "the call to fail")); e.GetKind() != runnelv1.ErrorKind_ERROR_KIND_INDETERMINATE {
		t.Fatalf("lost answer: %v %v", e.GetKind(), e)
	}
	// A cancelled call ends at once, whatever the other side does.
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	_, err = a.Call(cancelled, 3, "x", nil)
	if e := asError(t, err); e.GetReason() != runnelv1.ErrorReason_ERROR_REASON_TIMEOUT {
		t.Fatalf("cancelled: %v", e)
	}
}

// A kept connection whose broker restarted is replaced without a failed call.
func TestCallAfterTheOtherRestarted(t *testing.T) {
	n := newTestNet()
	serve := func(c *Config) { c.Serve = echo }
	a := start(t, n, member(1), listenOn(t, "127.0.0.1:0"), nil)
	b := start(t, n, member(2), listenOn(t, "127.0.0.1:0"), serve)
	ctx := callContext(t)
	if _, err := a.Call(ctx, 2, "echo", nil); err != nil {
		t.Fatal(err)
	}
	kept := a.peer(2).calls.c
	b.Stop()
	next(t, kept.gone, "the loss of the connection")
	start(t, n, member(2), listenOn(t, "127.0.0.1:0"), serve)
	if _, err := a.Call(ctx, 2, "echo", nil); err != nil {
		t.Fatal(err)
	}
}

// A broker of no cluster can call by address and is seen as broker 0, whatever it claims; it gets no lane.
func TestJoiningBrokerMayOnlyCall(t *testing.T) {
	n := newTestNet()
	member1 := start(t, n, member(1), listenOn(t, "127.0.0.1:0"), func(c *Config) { c.Serve = echo })
	joining := start(t, n, Identity{Nonce: 5, Incarnation: "new", BrokerID: 77}, listenOn(t, "127.0.0.1:0"), func(c *Config) { c.Serve = echo })
	ctx := callContext(t)
	got, err := joining.CallAddr(ctx, member1.addr, "c1", "register", []byte("hi"))
	if err != nil || string(got) != "\x00hi" {
		t.Fatalf("%q, %v", got, err)
	}
	// Of a cluster that it does not mean it is told, and asks nothing.
	got, err = joining.CallAddr(ctx, member1.addr, "c2", "register", []byte("hi"))
	if e := runnelv1.AsError(err); e.GetKind() != runnelv1.ErrorKind_ERROR_KIND_RETRIABLE || !strings.Contains(e.GetMessage(), `broker 1 of cluster "c1" answered`) {
		t.Fatalf("%q, %v", got, err)
	}
	// And the other way round: two that found ask each other.
	if got, err := member1.CallAddr(ctx, joining.addr, "", "state", nil); err != nil || got[0] != 0 {
		t.Fatalf("%q, %v", got, err)
	}
	n.set(1, member1.addr)
	joining.Send(1, 0, heartbeat(1))
	until(t, "the lane is refused and drops", func() bool { return !joining.Send(1, 0, heartbeat(1)) })
	joining.become(member(2))
	connect(t, joining, member1, 0)
}

func TestCallsEndWhenStopped(t *testing.T) {
	n := newTestNet()
	a := start(t, n, member(1), listenOn(t, "127.0.0.1:0"), nil)
	began, release := make(chan struct{}), make(chan struct{})
	defer close(release)
	start(t, n, member(2), listenOn(t, "127.0.0.1:0"), func(c *Config) {
		c.Serve = func(ctx context.Context, _ int32, _ string, _ []byte) ([]byte, error) {
			close(began)
			select {
			case <-release:
			case <-ctx.Done():
			}
			return nil, nil
		}
	})
	result := make(chan error, 1)
	go func() {
		_, err := a.Call(context.Background(), 2, "x", nil)
		result <- err
	}()
	next(t, began, "the call to be served")
	a.Stop()
	asError(t, next(t, result, "the call to end"))
	_, err := a.Call(context.Background(), 2, "x", nil)
	if e := asError(t, err); e.GetReason() != runnelv1.ErrorReason_ERROR_REASON_STOPPING {
		t.Fatalf("after the stop: %v", e)
	}
}

// The listener refuses a lane from a broker of no cluster by itself: it does not rely on that broker's own checks.
func TestListenerRefusesLaneOfJoiningBroker(t *testing.T) {
	n := newTestNet()
	home := start(t, n, member(1), listenOn(t, "127.0.0.1:0"), nil)
	joining := start(t, n, Identity{Nonce: 5, BrokerID: 77}, listenOn(t, "127.0.0.1:0"), nil)
	ctx := callContext(t)
	c, err := joining.dial(ctx, home.addr, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	stream, err := c.cc.NewStream(metadata.AppendToOutgoingContext(ctx, laneKey, "0"),
		&grpc.StreamDesc{StreamName: "Lane", ClientStreams: true, ServerStreams: true}, runnelv1.Peer_Lane_FullMethodName)
	if err != nil {
		t.Fatal(err)
	}
	_ = stream.SendMsg((&encoder{}).encode([]*multiraft.Packet{heartbeat(1)})) // may be refused already
	_ = stream.CloseSend()
	err = stream.RecvMsg(&inFrame{})
	if e := asError(t, runnelv1.AsError(err)); !strings.Contains(e.GetMessage(), "one cluster") {
		t.Fatalf("%v", err)
	}
	if len(home.received) != 0 {
		t.Fatal("its packet was delivered")
	}
}
