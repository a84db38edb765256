package peer

import (
	"net"
	"testing"

	"github.com/runnel-io/runnel/partition/multiraft"
)

// A lane that waits before it dials a broker again does not wait when the broker is met elsewhere, and takes packets from then on:
// what the other lane brings about must not be dropped here.
func TestABrokerMetElsewhereEndsThePause(t *testing.T) {
	n := newTestNet()
	reached := make(chan int32, 100)
	closed := listenOn(t, "127.0.0.1:0")
	addr := closed.Addr().String()
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	n.set(2, addr)
	a := start(t, n, member(1), listenOn(t, "127.0.0.1:0"), func(c *Config) { c.Reached = func(id int32) { reached <- id } })
	// Nobody answers: both lanes pause, with their queues shut.
	paused := func(lane multiraft.Lane) bool { l := a.peer(2).lanes[lane]; return l.paused.Load() }
	until(t, "both lanes pause", func() bool { return paused(multiraft.LaneControl) && paused(multiraft.LaneAppend) })
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Skipf("the port was taken meanwhile: %v", err)
	}
	b := start(t, n, member(2), l, nil)
	// As soon as one lane is connected the other takes packets.
	if got := next(t, reached, "a connection"); got != 2 {
		t.Fatalf("broker %d reached", got)
	}
	for _, lane := range []multiraft.Lane{multiraft.LaneControl, multiraft.LaneAppend} {
		if !a.Send(2, lane, heartbeat(uint64(lane)+1)) {
			t.Fatalf("lane %s drops, although the other one is connected", laneName(lane))
		}
	}
	seen := map[uint64]bool{}
	for len(seen) < 2 {
		seen[next(t, b.received, "both packets").p.Heartbeat.Seq] = true
	}
	next(t, reached, "the second connection")
}

// A connection that the other side makes tells as much.
func TestALaneFromABrokerEndsThePauseToIt(t *testing.T) {
	a, b := two(t)
	l := a.peer(2).lanes[multiraft.LaneAppend]
	connect(t, a, b, multiraft.LaneAppend)
	l.paused.Store(true)
	l.q.setOpen(false)
	connect(t, b, a, multiraft.LaneControl)
	if !a.Send(2, multiraft.LaneAppend, heartbeat(7)) {
		t.Fatal("the lane drops, although the broker has just connected")
	}
}
