package client

import (
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/runnel-io/runnel/partition/record"
)

func (c *conns) count(addr string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.byAddr[addr])
}

// A broker takes 1,024 calls on a connection, and a fetch stream is one for as long as its reader lives.
func TestManyReadersLeaveRoomForTheProducer(t *testing.T) {
	simulate(t, func(t *testing.T) {
		c := newFakeCluster(t, 1)
		c.topic("t", 1)
		c.fill("t", 0, 1, 1, record.CodecNone)
		c.stop(1)
		c.restart(1, grpc.MaxConcurrentStreams(1024))
		cl := c.client()
		ctx := within(t, time.Minute)
		rs := make([]*Reader, 1100)
		for i := range rs {
			rs[i] = reader(t, cl, "t", FromOffset(0))
		}
		for i, r := range rs {
			for _, err := range r.Records(ctx) {
				if err != nil {
					t.Fatalf("reader %d: %v", i, err)
				}
				break
			}
		}
		if err := cl.ProduceSync(ctx, rec("t", 0, "a")); err != nil {
			t.Fatal(err)
		}
		if n := cl.conns.count(addr(1)); n != 3 {
			t.Errorf("%d connections, want 3", n)
		}

		// What a reader had is given to the next one.
		for _, r := range rs[:600] {
			if err := r.Close(); err != nil {
				t.Fatal(err)
			}
		}
		for range 600 {
			if err := reader(t, cl, "t", FromOffset(0)).Ready(ctx); err != nil {
				t.Fatal(err)
			}
		}
		wait(ctx, time.Second)
		if n := cl.conns.count(addr(1)); n != 3 {
			t.Errorf("%d connections in the end, want 3", n)
		}
	})
}
