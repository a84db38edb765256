package catchup

import (
	"context"
	"errors"
	"runtime"
	"testing"

	"github.com/runnel-io/runnel/partition/raftlog"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// Retention takes files away that were not read yet. The client goes on by itself with what is left; what it has received
// and still is there does not come again.
func TestSourceIsTrimmedDuringATransfer(t *testing.T) {
	clock := newClock()
	src, to := newSource(t, clock, replica, 120), newStore(t, clock)
	net := &direct{servers: map[int32]*Server{1: src.server(clock, nil)}}
	sums := 0
	net.tap = func(method string, out []byte) ([]byte, error) {
		if method == methodSum {
			switch sums++; sums {
			case 2:
				src.trim(5)
			case 4:
				src.trim(2) // two that were received, counted from the new start, and none that was not
			}
		}
		return out, nil
	}
	index, err := NewClient(ClientConfig{Env: testEnv(clock), Caller: net}).Run(context.Background(), newInstaller(t, to), 1, group, nil)
	must(t, err)
	src.sameAs(t, to, index)
	if src.ships != 2 {
		t.Fatalf("%d manifests", src.ships)
	}
	if first := src.log.Segments()[0].FirstIndex; first <= 2 {
		t.Fatal("nothing was trimmed")
	}
}

// A source that ends each shipment at once is given up.
func TestShipmentsThatAreOverAtOnceEndARun(t *testing.T) {
	clock := newClock()
	src, to := newSource(t, clock, replica, 60), newStore(t, clock)
	server := src.server(clock, nil)
	net := &direct{servers: map[int32]*Server{1: server}}
	net.tap = func(method string, out []byte) ([]byte, error) {
		if method == methodManifest {
			for _, sh := range server.shipments {
				must(t, sh.Close())
			}
		}
		return out, nil
	}
	in := newInstaller(t, to)
	_, err := NewClient(ClientConfig{Env: testEnv(clock), Caller: net}).Run(context.Background(), in, 1, group, nil)
	if err == nil || !isOver(err) || src.ships != maxOver {
		t.Fatalf("%d manifests: %v", src.ships, err)
	}
	must(t, in.Abort())
}

// Damage at the source has the right hash. The receiver finds it and has the source look, which is quarantined for it.
func TestRule02DamageAtTheSourceQuarantinesIt(t *testing.T) {
	clock := newClock()
	src, to := newSource(t, clock, replica, 60), newStore(t, clock)
	two := newSource(t, clock, replica+1, 40)
	src.damage(1, src.ents[src.log.Segments()[1].FirstIndex-2].Data[500:600])
	net := &direct{servers: map[int32]*Server{1: src.server(clock, nil), 2: two.server(clock, nil)}}
	client := NewClient(ClientConfig{Env: testEnv(clock), Caller: net})
	in := newInstaller(t, to)
	var d *raftlog.DamagedError
	if _, err := client.Run(context.Background(), in, 1, group, nil); !errors.As(err, &d) || d.Transit {
		t.Fatalf("damage at the source: %v", err)
	}
	if src.store.Replicas()[0].Quarantine == "" {
		t.Fatal("the damaged source goes on")
	}
	index, err := client.Run(context.Background(), in, 2, group, nil)
	must(t, err)
	two.sameAs(t, to, index)
}

// A hash that has to be read waits for the rate, and holds nobody up who ends the shipment meanwhile.
func TestHashTakesFromTheLimiterAndLetsOthersClose(t *testing.T) {
	clock := newClock()
	src := newSourceOf(t, clock, replica, 500, 3<<20)
	limiter := NewLimiter(clock, 1)
	server := src.server(clock, func(c *ServerConfig) { c.Limiter = limiter })
	manifest, err := encode(manifestRequest{Group: group})
	must(t, err)
	_, err = server.Serve(context.Background(), 9, methodManifest, manifest)
	must(t, err)
	for _, method := range []string{methodSum, methodCheck} {
		waiting, over := clock.waits(), make(chan error, 1)
		var id uint64
		for id = range server.shipments {
		}
		body, err := encode(readRequest{Shipment: id})
		must(t, err)
		ctx, cancel := context.WithCancel(context.Background())
		go func() {
			_, err := server.Serve(ctx, 9, method, body)
			over <- err
		}()
		for clock.waits() == waiting { // for the rate
			runtime.Gosched()
		}
		if method == methodCheck {
			server.Stop() // would hang
			must(t, src.log.Close())
		}
		cancel()
		if err := <-over; runnelv1.AsError(err).GetReason() != runnelv1.ErrorReason_ERROR_REASON_TIMEOUT {
			t.Fatalf("%s: %v", method, err)
		}
	}
}
