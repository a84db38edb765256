package catchup

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/runnel-io/runnel/partition/env"
	"github.com/runnel-io/runnel/partition/raftlog"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

func TestReplicaIsInstalledFromAnotherBroker(t *testing.T) {
	clock := newClock()
	src, to := newSource(t, clock, replica, 60), newStore(t, clock)
	server := src.server(clock, nil)
	net := &direct{servers: map[int32]*Server{1: server}}
	client := NewClient(ClientConfig{Env: testEnv(clock), Caller: net})
	var seen []Progress
	index, err := client.Run(context.Background(), newInstaller(t, to), 1, group, func(p Progress) { seen = append(seen, p) })
	must(t, err)
	src.sameAs(t, to, index)
	last := seen[len(seen)-1]
	for i, p := range seen[1:] {
		if p.Done < seen[i].Done {
			t.Fatalf("progress goes back: %+v, %+v", seen[i], p)
		}
	}
	if len(seen) < 5 || last.Done > last.Total || last.Done < last.Total*9/10 || last.Index != index {
		t.Fatalf("%d steps, the last %+v", len(seen), last)
	}
	if len(server.shipments) != 0 || net.calls[methodClose] != 1 {
		t.Fatal("the shipment is left open")
	}
}

// What came while the files travelled comes as files too, not through raft.
func TestLongTransferGetsWhatCameMeanwhile(t *testing.T) {
	clock := newClock()
	src, to := newSource(t, clock, replica, 60), newStore(t, clock)
	src.grow = 20
	net := &direct{servers: map[int32]*Server{1: src.server(clock, nil)}}
	slow := 20 // pieces that take a second
	net.tap = func(method string, out []byte) ([]byte, error) {
		if method == methodRead && slow > 0 {
			slow--
			clock.advance(time.Second)
		}
		return out, nil
	}
	index, err := NewClient(ClientConfig{Env: testEnv(clock), Caller: net}).Run(context.Background(), newInstaller(t, to), 1, group, nil)
	must(t, err)
	if src.ships < 2 || src.ships > 4 {
		t.Fatalf("%d manifests", src.ships)
	}
	src.sameAs(t, to, index)
}

// A source that is written to faster than it is read ends it after some rounds all the same.
func TestEndlessGrowthEndsARun(t *testing.T) {
	clock := newClock()
	src, to := newSource(t, clock, replica, 10), newStore(t, clock)
	src.grow = 10
	net := &direct{servers: map[int32]*Server{1: src.server(clock, nil)}}
	net.tap = func(_ string, out []byte) ([]byte, error) {
		clock.advance(3 * time.Second)
		return out, nil
	}
	index, err := NewClient(ClientConfig{Env: testEnv(clock), Caller: net}).Run(context.Background(), newInstaller(t, to), 1, group, nil)
	must(t, err)
	if src.ships != maxRounds {
		t.Fatalf("%d manifests, want %d", src.ships, maxRounds)
	}
	src.sameAs(t, to, index)
}

// The connection breaks again and again; each time the transfer goes on where it was, and the whole is read but once.
func TestCutTransferGoesOn(t *testing.T) {
	clock := newClock()
	src, to := newSource(t, clock, replica, 150), newStore(t, clock)
	net := &direct{servers: map[int32]*Server{1: src.server(clock, nil)}}
	client := NewClient(ClientConfig{Env: testEnv(clock), Caller: net})
	n, bytes := 0, 0
	net.tap = func(method string, out []byte) ([]byte, error) {
		if method == methodClose {
			return out, nil
		}
		if n++; n%20 == 0 {
			return nil, errCut
		}
		if method == methodRead && len(out) > 1000 && len(out) < 1<<20 {
			bytes += len(out)
		}
		return out, nil
	}
	in := newInstaller(t, to)
	tries, total := 0, int64(0)
	for {
		tries++
		index, err := client.Run(context.Background(), in, 1, group, func(p Progress) { total = p.Total })
		if err == nil {
			src.sameAs(t, to, index)
			break
		}
		if !errors.Is(err, errCut) || tries > 50 {
			t.Fatalf("try %d: %v", tries, err)
		}
	}
	if tries < 3 {
		t.Fatalf("%d tries only", tries)
	}
	if total -= 3 << 20; int64(bytes) > total*5/4 { // but for the checkpoint
		t.Errorf("%d bytes of files were read, there are %d", bytes, total)
	}
}

func TestRule19DamagedPiecesComeAgain(t *testing.T) {
	clock := newClock()
	src, to := newSource(t, clock, replica, 60), newStore(t, clock)
	net := &direct{servers: map[int32]*Server{1: src.server(clock, nil)}}
	client := NewClient(ClientConfig{Env: testEnv(clock), Caller: net})
	damaged, always := 0, false
	net.tap = func(method string, out []byte) ([]byte, error) {
		if method == methodRead && len(out) > 1000 && len(out) < 1<<20 && (always || damaged < 2) {
			damaged++
			out[len(out)/2] ^= 4
		}
		return out, nil
	}
	in := newInstaller(t, to)
	index, err := client.Run(context.Background(), in, 1, group, nil)
	must(t, err)
	src.sameAs(t, to, index)

	// But not for ever.
	to, always = newStore(t, clock), true
	in = newInstaller(t, to)
	var d *raftlog.DamagedError
	if _, err := client.Run(context.Background(), in, 1, group, nil); !errors.As(err, &d) {
		t.Fatalf("damage on every way: %v", err)
	}
	must(t, in.Abort())
}

// The first source goes away in the middle; another one takes over.
func TestAnotherSourceTakesOver(t *testing.T) {
	clock := newClock()
	one, to := newSource(t, clock, replica, 60), newStore(t, clock)
	two := newSource(t, clock, replica+1, 40)
	net := &direct{servers: map[int32]*Server{1: one.server(clock, nil), 2: two.server(clock, nil)}}
	reads := 0
	net.tap = func(method string, out []byte) ([]byte, error) {
		if method == methodRead {
			if reads++; reads == 7 {
				must(t, one.log.Close())
			}
		}
		return out, nil
	}
	client := NewClient(ClientConfig{Env: testEnv(clock), Caller: net})
	in := newInstaller(t, to)
	_, err := client.Run(context.Background(), in, 1, group, nil)
	if e := runnelv1.AsError(err); err == nil || e.GetKind() != runnelv1.ErrorKind_ERROR_KIND_RETRIABLE {
		t.Fatalf("the source is closed: %v", err)
	}
	index, err := client.Run(context.Background(), in, 2, group, nil)
	must(t, err)
	two.sameAs(t, to, index)
}

func TestServerBoundsAndExpiresShipments(t *testing.T) {
	clock := newClock()
	src := newSource(t, clock, replica, 20)
	server := src.server(clock, func(c *ServerConfig) { c.MaxShipments, c.Idle = 2, time.Minute })
	manifest, err := encode(manifestRequest{Group: group})
	must(t, err)
	ask := func() error {
		_, err := server.Serve(context.Background(), 9, methodManifest, manifest)
		return err
	}
	reason := func(err error) runnelv1.ErrorReason { return runnelv1.AsError(err).GetReason() }
	must(t, ask())
	must(t, ask())
	if err := ask(); err == nil || reason(err) != runnelv1.ErrorReason_ERROR_REASON_OVERLOADED {
		t.Fatalf("a third shipment: %v", err)
	}
	var used uint64
	for id := range server.shipments {
		used = id
	}
	read, err := encode(readRequest{Shipment: used, Max: 100})
	must(t, err)
	for range 5 {
		clock.advance(25 * time.Second)
		if _, err := server.Serve(context.Background(), 9, methodRead, read); err != nil {
			t.Fatalf("one that is read from: %v", err)
		}
	}
	if n := len(server.shipments); n != 1 {
		t.Fatalf("%d shipments, one of which nobody reads", n)
	}
	if _, err := server.Serve(context.Background(), 8, methodRead, read); err == nil {
		t.Fatal("another broker reads it")
	}
	if _, err := server.Serve(context.Background(), 0, methodManifest, manifest); err == nil {
		t.Fatal("somebody from outside the cluster is served")
	}
	server.Stop()
	if _, err := server.Serve(context.Background(), 9, methodRead, read); err == nil || clock.waits() != 0 {
		t.Fatalf("after the stop: %v, %d timers", err, clock.waits())
	}
	if err := ask(); err == nil || reason(err) != runnelv1.ErrorReason_ERROR_REASON_STOPPING {
		t.Fatalf("after the stop: %v", err)
	}
}

func TestMalformedRequestsAreRefused(t *testing.T) {
	clock := newClock()
	src := newSource(t, clock, replica, 20)
	server := src.server(clock, nil)
	defer server.Stop()
	manifest, err := encode(manifestRequest{Group: group})
	must(t, err)
	_, err = server.Serve(context.Background(), 9, methodManifest, manifest)
	must(t, err)
	var id uint64
	for id = range server.shipments {
	}
	for _, c := range []struct {
		method string
		req    any
	}{
		{methodRead, readRequest{Shipment: id, File: 99}}, {methodRead, readRequest{Shipment: id, File: -2}},
		{methodRead, readRequest{Shipment: id, Offset: -1}}, {methodRead, readRequest{Shipment: id, File: checkpointFile, Offset: 1 << 60}},
		{methodSum, readRequest{Shipment: id, File: -1}}, {methodTail, tailRequest{Shipment: id, From: 1}},
		{methodManifest, manifestRequest{Group: 8}}, {methodRead, readRequest{Shipment: id + 1}}, {"ship.nothing", nil}, {methodRead, "text"},
	} {
		body, err := encode(c.req)
		must(t, err)
		if _, err := server.Serve(context.Background(), 9, c.method, body); err == nil {
			t.Errorf("%s %+v is answered", c.method, c.req)
		}
	}
	if src.log.Segments() == nil || src.store.Replicas()[0].Quarantine != "" {
		t.Error("a malformed request harmed the source")
	}
}

func TestLimiterGivesOutASteadyRate(t *testing.T) {
	clock := newClock()
	l := NewLimiter(clock, 1000)
	if d := l.take(100); d != 0 {
		t.Fatalf("the burst waits %s", d)
	}
	if d := l.take(500); d != 500*time.Millisecond {
		t.Fatalf("waits %s", d)
	}
	clock.advance(400 * time.Millisecond)
	if d := l.take(400); d != 500*time.Millisecond {
		t.Fatalf("waits %s, 100 ms were still owed", d)
	}
	clock.advance(time.Hour)
	if d := l.take(1000); d != time.Second-burst {
		t.Fatalf("an idle hour is worth more than the burst: %s", d)
	}
	l.SetRate(0)
	if d := l.take(1 << 30); d != 0 {
		t.Fatalf("no limit waits %s", d)
	}
	ctx, cancel := context.WithCancel(context.Background())
	l.SetRate(1)
	over := make(chan error)
	go func() { over <- l.Wait(ctx, 1000) }()
	cancel()
	if err := <-over; !errors.Is(err, context.Canceled) {
		t.Fatalf("cancelled: %v", err)
	}
}

// The rate holds for all transfers of a broker together, and bounds a transfer as a whole.
func TestTransferKeepsToTheRate(t *testing.T) {
	clock := newClock()
	src, to := newSource(t, clock, replica, 60), newStore(t, clock)
	limiter := NewLimiter(clock, 1<<20)
	net := &direct{servers: map[int32]*Server{1: src.server(clock, func(c *ServerConfig) { c.Limiter = limiter })}}
	begun, in := clock.Now(), newInstaller(t, to)
	clock.during(t, time.Millisecond, func() error {
		_, err := NewClient(ClientConfig{Env: testEnv(clock), Caller: net}).Run(context.Background(), in, 1, group, nil)
		return err
	})
	bytes := time.Duration(60 * 8 << 10)
	if took, least := clock.Now().Sub(begun), bytes*time.Second/(1<<20)-burst; took < least {
		t.Errorf("%d bytes took %s, at 1 MiB/s it is %s at least", bytes, took, least)
	}
}

func TestAWaitEndsWhenTheRateRises(t *testing.T) {
	clock := &stillClock{now: time.Unix(100, 0)}
	l := NewLimiter(clock, 1)
	done := make(chan error, 1)
	booked := make(chan struct{})
	clock.timer = func() { close(booked) }
	go func() { done <- l.Wait(t.Context(), 1<<20) }() // 12 days
	<-booked
	clock.timer = func() {}
	l.SetRate(0)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	l.SetRate(1000)
	if d := l.take(1000); d != time.Second {
		t.Errorf("what was booked at the old rate holds the next one up: %s", d)
	}
}

// stillClock is a clock that stands still, with timers that never end.
type stillClock struct {
	env.Clock
	now   time.Time
	timer func() // told of each
}

func (c *stillClock) Now() time.Time { return c.now }

func (c *stillClock) Wall() time.Time { return c.Now() }
func (c *stillClock) AfterFunc(time.Duration, func()) env.Timer {
	c.timer()
	return noTimer{}
}

type noTimer struct{}

func (noTimer) Stop() bool               { return true }
func (noTimer) Reset(time.Duration) bool { return true }

// The rate is for most logs. One that a broker needs to be a member at all goes past it, also when others have booked it for days.
func TestSomeLogsGoPastTheRate(t *testing.T) {
	clock := newClock()
	src, to := newSource(t, clock, replica, 60), newStore(t, clock)
	limiter := NewLimiter(clock, 1)
	limiter.take(1 << 20)
	net := &direct{servers: map[int32]*Server{1: src.server(clock, func(c *ServerConfig) {
		c.Limiter, c.Unlimited = limiter, func(g uint64) bool { return g == group }
	})}}
	index, err := NewClient(ClientConfig{Env: testEnv(clock), Caller: net}).Run(context.Background(), newInstaller(t, to), 1, group, nil)
	must(t, err)
	src.sameAs(t, to, index)
}
