package peer

import (
	"net"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/runnel-io/runnel/partition/multiraft"
)

// The first packet starts the connection and is not lost to it; everything arrives once and in order, from whom it says.
func TestPacketsArriveInOrder(t *testing.T) {
	a, b := two(t)
	const n = 5000
	for i := range n {
		if !a.Send(2, multiraft.LaneControl, heartbeat(uint64(i))) {
			t.Fatalf("packet %d dropped", i)
		}
	}
	for i := range n {
		r := next(t, b.received, "a packet")
		if r.from != 1 || r.p.Heartbeat.Seq != uint64(i) {
			t.Fatalf("packet %d from %d where %d belongs", r.p.Heartbeat.Seq, r.from, i)
		}
	}
	out := a.metrics.out(2, multiraft.LaneControl)
	until(t, "all are counted as sent", func() bool { return testutil.ToFloat64(out.packets) == n })
	if d := testutil.ToFloat64(out.drops); d != 0 {
		t.Fatalf("%v drops counted", d)
	}
	if got := testutil.ToFloat64(b.metrics.packets.WithLabelValues("1", "control", "in")); got != n {
		t.Fatalf("%v packets counted as received", got)
	}
}

// A packet larger than a frame arrives whole, in parts and in order.
func TestPacketAboveAFrameArrives(t *testing.T) {
	a, b := two(t)
	big := &multiraft.Packet{Nonce: 7, Heartbeat: &multiraft.Heartbeat{Seq: 1}}
	for i := range 20 {
		big.Messages = append(big.Messages, appendPacketOf(uint64(i), 1, 1<<20).Messages...)
	}
	if !a.Send(2, multiraft.LaneAppend, big) {
		t.Fatal("dropped")
	}
	var got []multiraft.Message
	for len(got) < 20 {
		r := next(t, b.received, "a part")
		if r.p.Nonce != 7 {
			t.Fatal("a part without the nonce")
		}
		got = append(got, r.p.Messages...)
	}
	for i, m := range got {
		if m.Group != uint64(i) || len(m.Raft.Entries[0].Data) != 1<<20 {
			t.Fatalf("message %d is of group %d", i, m.Group)
		}
	}
}

// While the receiver does not read the append lane, Send fills its bound, then answers false and never blocks; the control
// lane is not disturbed.
func TestFullLaneDropsAndLeavesControlAlone(t *testing.T) {
	n := newTestNet()
	hold := make(chan struct{})
	var held atomic.Int32
	control := make(chan uint64, 100)
	start(t, n, member(2), listenOn(t, "127.0.0.1:0"), func(c *Config) {
		c.Receive = func(_ int32, p *multiraft.Packet) {
			if p.Heartbeat != nil {
				control <- p.Heartbeat.Seq
				return
			}
			held.Add(1)
			<-hold
		}
	})
	a := start(t, n, member(1), listenOn(t, "127.0.0.1:0"), func(c *Config) { c.AppendQueueBytes = 4 << 20 })
	defer close(hold)
	pk := appendPacketOf(1, 1, 1<<20)
	sent := 0
	for a.Send(2, multiraft.LaneAppend, pk) {
		sent++
		if sent > 3 {
			break
		}
	}
	until(t, "the receiver is stuck", func() bool { return held.Load() > 0 })
	// The socket and the windows take some tens of MiB before the queue fills for good.
	until(t, "a packet is dropped", func() bool {
		sent++
		return !a.Send(2, multiraft.LaneAppend, pk)
	})
	if sent > 100 {
		t.Fatalf("%d MiB were taken for a receiver that reads nothing", sent)
	}
	if !a.Send(2, multiraft.LaneControl, heartbeat(42)) {
		t.Fatal("the control lane dropped")
	}
	if got := next(t, control, "the control packet"); got != 42 {
		t.Fatalf("got %d", got)
	}
	if testutil.ToFloat64(a.metrics.out(2, multiraft.LaneAppend).drops) == 0 {
		t.Fatal("the drop is not counted")
	}
}

// A broker that stops and comes back on the same address: the loss is noticed at once, the refusal is told, and packets flow
// again without anyone asking.
func TestReconnectAfterRestartAndRefusal(t *testing.T) {
	a, b := two(t)
	connect(t, a, b, multiraft.LaneControl)
	b.Stop()
	if got := next(t, a.refused, "the refusal"); got != 2 {
		t.Fatalf("broker %d refused", got)
	}
	l, err := net.Listen("tcp", b.addr)
	if err != nil {
		t.Skipf("the port was taken meanwhile: %v", err)
	}
	b2 := start(t, a.net, member(2), l, nil)
	connect(t, a, b2, multiraft.LaneControl)
	if c := testutil.ToFloat64(a.metrics.out(2, multiraft.LaneControl).connects); c < 2 {
		t.Fatalf("%v connections counted", c)
	}
}

// A broker whose address is not known drops; once it is known, sending connects.
func TestUnknownBrokerDropsUntilResolved(t *testing.T) {
	n := newTestNet()
	a := start(t, n, member(1), listenOn(t, "127.0.0.1:0"), nil)
	until(t, "packets are dropped", func() bool { return !a.Send(2, multiraft.LaneControl, heartbeat(1)) })
	b := start(t, n, member(2), listenOn(t, "127.0.0.1:0"), nil)
	connect(t, a, b, multiraft.LaneControl)
	if a.Send(0, multiraft.LaneControl, heartbeat(1)) || a.Send(-3, multiraft.LaneControl, heartbeat(1)) {
		t.Fatal("sent to a broker that cannot exist")
	}
}

// Stop delivers what was sent just before, and afterwards Send drops.
func TestStopFlushesWhatWasQueued(t *testing.T) {
	a, b := two(t)
	connect(t, a, b, multiraft.LaneControl)
	for i := range 100 {
		a.Send(2, multiraft.LaneControl, &multiraft.Packet{Nonce: 1, NoLead: []multiraft.NoLead{{Group: uint64(i), Replica: 1, Term: 1}}})
	}
	a.Stop()
	for want := uint64(0); want < 100; {
		r := next(t, b.received, "what was sent before the stop")
		if len(r.p.NoLead) == 0 {
			continue
		}
		if r.p.NoLead[0].Group != want {
			t.Fatalf("group %d where %d belongs", r.p.NoLead[0].Group, want)
		}
		want++
	}
	if a.Send(2, multiraft.LaneControl, heartbeat(1)) {
		t.Fatal("sent after the stop")
	}
}

// Of two streams of one lane only the newest delivers: leftovers of an older connection must not come after newer packets.
func TestOlderStreamOfALaneIsSilenced(t *testing.T) {
	a, _ := two(t)
	s := &server{p: a.Peers, inbound: map[inboundKey]*inbound{}}
	in1, old, e := s.begin(2, multiraft.LaneControl)
	if e != nil {
		t.Fatal(e)
	}
	in2, newer, e := s.begin(2, multiraft.LaneControl)
	if e != nil {
		t.Fatal(e)
	}
	count := 0
	take := func(*multiraft.Packet) { count++ }
	if in1.deliver(old, &inFrame{packets: []*multiraft.Packet{heartbeat(1)}}, take) || count != 0 {
		t.Fatal("the older stream delivered")
	}
	if !in2.deliver(newer, &inFrame{packets: []*multiraft.Packet{heartbeat(2)}}, take) || count != 1 {
		t.Fatal("the newer stream did not deliver")
	}
	if _, n, _ := s.begin(2, multiraft.LaneAppend); n != 1 {
		t.Fatal("lanes are mixed up")
	}
}
