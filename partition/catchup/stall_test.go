package catchup

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"time"

	"github.com/runnel-io/runnel/partition/raftlog"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// hanging is a network in which a call of a method does not return, as when the disk there hangs, from the n-th of them on.
type hanging struct {
	*direct
	method string
	n      int
	hangs  chan struct{} // told of each
}

func (h *hanging) Call(ctx context.Context, broker int32, method string, body []byte) ([]byte, error) {
	if method == h.method {
		if h.n--; h.n < 0 {
			h.hangs <- struct{}{}
			<-ctx.Done()
			return nil, runnelv1.AsError(ctx.Err())
		}
	}
	return h.direct.Call(ctx, broker, method, body)
}

// Whatever a source is asked, it is given up after a while in which it answers nothing, and what was received is of use all the same.
func TestASourceThatHangsIsGivenUp(t *testing.T) {
	for _, c := range []struct {
		method string
		n      int
	}{{methodManifest, 0}, {methodRead, 0}, {methodRead, 8}, {methodSum, 2}, {methodTail, 0}} {
		t.Run(c.method, func(t *testing.T) {
			clock := newClock()
			src, to := newSource(t, clock, replica, 60), newStore(t, clock)
			net := &hanging{
				direct: &direct{servers: map[int32]*Server{1: src.server(clock, nil)}}, method: c.method, n: c.n, hangs: make(chan struct{}, 1),
			}
			client, in := NewClient(ClientConfig{Env: testEnv(clock), Caller: net}), newInstaller(t, to)
			over := make(chan error, 1)
			begun := clock.Now()
			go func() {
				_, err := client.Run(context.Background(), in, 1, group, nil)
				over <- err
			}()
			<-net.hangs
			clock.advance(silence - time.Second)
			select {
			case err := <-over:
				t.Fatalf("after %s: %v", clock.Now().Sub(begun), err)
			default:
			}
			clock.advance(time.Second)
			if err := <-over; !errors.Is(err, ErrStalled) || isOver(err) {
				t.Fatalf("it ends with: %v", err)
			}
			if n := net.direct.calls[methodClose]; c.method != methodManifest && n != 1 {
				t.Errorf("the shipment was closed %d times", n)
			}
			net.method, net.direct.calls = "", nil
			index, err := client.Run(context.Background(), in, 1, group, nil)
			must(t, err)
			src.sameAs(t, to, index)
			if c.method == methodTail && net.direct.calls[methodRead] > 4 { // the checkpoint's
				t.Errorf("all came again, in %d reads", net.direct.calls[methodRead])
			}
		})
	}
}

// A caller's end is no stall of the source.
func TestACancelledRunIsNoStall(t *testing.T) {
	clock := newClock()
	src, to := newSource(t, clock, replica, 60), newStore(t, clock)
	net := &hanging{direct: &direct{servers: map[int32]*Server{1: src.server(clock, nil)}}, method: methodRead, hangs: make(chan struct{}, 1)}
	ctx, cancel := context.WithCancel(context.Background())
	over := make(chan error, 1)
	in := newInstaller(t, to)
	go func() {
		_, err := NewClient(ClientConfig{Env: testEnv(clock), Caller: net}).Run(ctx, in, 1, group, nil)
		over <- err
	}()
	<-net.hangs
	cancel()
	if err := <-over; err == nil || errors.Is(err, ErrStalled) {
		t.Fatalf("it ends with: %v", err)
	}
	must(t, in.Abort())
}

// A piece of a megabyte may wait for minutes at a low rate, also for the hash of a file that was received in part before.
func TestWaitingForTheRateIsNoStall(t *testing.T) {
	clock := newClock()
	src, to := newSourceOf(t, clock, replica, 500, 3<<20), newStore(t, clock)
	limiter := NewLimiter(clock, 0)
	net := &direct{servers: map[int32]*Server{1: src.server(clock, func(c *ServerConfig) { c.Limiter = limiter })}}
	client, in := NewClient(ClientConfig{Env: testEnv(clock), Caller: net}), newInstaller(t, to)
	net.tap = func(method string, out []byte) ([]byte, error) {
		if method == methodRead && net.calls[methodRead] == 6 { // two pieces of the first file are there
			return nil, errCut
		}
		return out, nil
	}
	if _, err := client.Run(context.Background(), in, 1, group, nil); !errors.Is(err, errCut) {
		t.Fatal(err)
	}
	net.tap, net.calls = nil, nil
	limiter.SetRate(8 << 10) // two minutes a piece
	begun := clock.Now()
	clock.during(t, time.Second, func() error {
		_, err := client.Run(context.Background(), in, 1, group, nil)
		return err
	})
	if took := clock.Now().Sub(begun); took < 10*time.Minute {
		t.Errorf("it took %s, which is no low rate", took)
	}
	src.sameAs(t, to, uint64(len(src.ents))+1)
	if n := net.calls[methodSum]; n < 3 {
		t.Errorf("a hash that had to be read came in %d calls", n)
	}
}

func TestTheBoundGoesByTheLowerRateAndByHowOftenASourceStalled(t *testing.T) {
	clock := newClock()
	for _, c := range []struct {
		own, told int64
		stalls    int
		want      time.Duration
	}{
		{0, 0, 0, time.Minute},
		{0, 0, 1, 2 * time.Minute},
		{0, 0, 100, 8 * time.Minute},
		{64 << 20, 0, 0, time.Minute + time.Second},
		{0, 1 << 20, 0, time.Minute + 64*time.Second},
		{64 << 20, 1 << 20, 0, time.Minute + 64*time.Second},
		{1 << 20, 64 << 20, 1, 2*time.Minute + 128*time.Second},
		{1 << 20, -1, 0, time.Minute + 64*time.Second},
	} {
		client := NewClient(ClientConfig{Limiter: NewLimiter(clock, c.own)}).Patient(c.stalls)
		tr := &transfer{c: &client.c, patience: client.patience, rate: c.told}
		if got := tr.bound(); got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
	}
}

// A release before this one asks for a hash and a check of a file in one call each.
func TestAHashAndACheckOfAllOfAFileAtOnce(t *testing.T) {
	clock := newClock()
	src := newSourceOf(t, clock, replica, 500, 3<<20)
	server := src.server(clock, nil)
	defer server.Stop()
	body, err := encode(manifestRequest{Group: group})
	must(t, err)
	_, err = server.Serve(context.Background(), 9, methodManifest, body)
	must(t, err)
	var id uint64
	for id = range server.shipments {
	}
	ask := func(method string, r readRequest) []byte {
		t.Helper()
		r.Shipment = id
		body, err := encode(r)
		must(t, err)
		out, err := server.Serve(context.Background(), 9, method, body)
		must(t, err)
		return out
	}
	if out := ask(methodSum, readRequest{Max: maxChunk}); len(out) != 0 {
		t.Errorf("a piece of a hash of %d bytes", len(out))
	}
	if out := ask(methodSum, readRequest{}); len(out) != raftlog.SumBytes {
		t.Errorf("a hash of %d bytes", len(out))
	}
	if out := ask(methodCheck, readRequest{}); len(out) != 0 {
		t.Errorf("a check that goes on at %x", out)
	}
	net := &direct{servers: map[int32]*Server{9: server}}
	client := NewClient(ClientConfig{Env: testEnv(clock), Caller: net})
	sh := server.shipments[id]
	tr := &transfer{c: &client.c, broker: 9, id: id, m: sh.Manifest()}
	must(t, tr.check(context.Background(), 0))
	if n := net.calls[methodCheck]; n < 3 {
		t.Errorf("a check of 3 MiB in %d calls", n)
	}
}

// A receiver that gives a source up closes its shipment, and a call of it may hang for hours yet. It counts until then, and holds up nobody.
func TestAShipmentCountsUntilItsLastCallEnds(t *testing.T) {
	for _, installed := range []bool{false, true} {
		clock := newClock()
		src := newSource(t, clock, replica, 20)
		limiter := NewLimiter(clock, 1)
		server := src.server(clock, func(c *ServerConfig) { c.MaxShipments, c.Limiter = 1, limiter })
		serve := func(method string, r any) error {
			body, err := encode(r)
			must(t, err)
			_, err = server.Serve(context.Background(), 9, method, body)
			return err
		}
		must(t, serve(methodManifest, manifestRequest{Group: group}))
		var id uint64
		for id = range server.shipments {
		}
		read := readRequest{Shipment: id, Max: 1 << 20}
		waiting, over := clock.waits(), make(chan error, 1)
		go func() { over <- serve(methodRead, read) }() // the rate stands in for the disk
		for clock.waits() == waiting {
			runtime.Gosched()
		}
		must(t, serve(methodClose, closeRequest{Shipment: id, Installed: installed}))
		if err := serve(methodRead, read); !isOver(err) {
			t.Errorf("a read of a shipment that was closed: %v", err)
		}
		clock.advance(5 * time.Minute) // it is not closed by its age either
		if err := serve(methodManifest, manifestRequest{Group: group}); runnelv1.AsError(err).GetReason() != runnelv1.ErrorReason_ERROR_REASON_OVERLOADED {
			t.Errorf("another shipment while the call of the one goes on: %v", err)
		}
		limiter.SetRate(0)
		must(t, <-over)
		if n := len(server.shipments); n != 0 {
			t.Errorf("%d shipments after the end of the call", n)
		}
		must(t, serve(methodManifest, manifestRequest{Group: group}))
		server.Stop()
		if n := clock.waits(); n != 0 {
			t.Errorf("%d timers are left", n)
		}
	}
}
