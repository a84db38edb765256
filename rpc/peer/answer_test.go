package peer

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"google.golang.org/grpc"

	"github.com/runnel-io/runnel/partition/multiraft"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// answering is a broker of a later release: it sends on a lane's stream, too.
type answering struct {
	*server
	frames [][]byte
}

func (a answering) Lane(s grpc.BidiStreamingServer[runnelv1.Frame, runnelv1.Frame]) error {
	for _, f := range a.frames {
		if err := s.SendMsg(&outFrame{head: f}); err != nil {
			return err
		}
	}
	return a.server.Lane(s)
}

// What a later release may answer on a lane, in whatever form, is no reason to lose the lane, and even less the process.
func TestAnswersOnALaneAreIgnored(t *testing.T) {
	a, b := two(t)
	l := listenOn(t, "127.0.0.1:0")
	s := grpc.NewServer(grpc.Creds(handshaker{b.Peers}), grpc.ForceServerCodecV2(b.codec))
	runnelv1.RegisterPeerServer(s, answering{&server{p: b.Peers, inbound: map[inboundKey]*inbound{}}, [][]byte{
		{frameVersion, 1, 0, 0, 0, 0}, // a frame without packets
		{frameVersion + 1, 9, 9},      // one of a later version
		{}, make([]byte, 1<<20),
	}})
	served := make(chan error, 1)
	go func() { served <- s.Serve(newListener(l, 1000, func() {})) }()
	t.Cleanup(func() {
		s.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	a.net.set(2, l.Addr().String())
	for i := range 100 {
		until(t, "there is room", func() bool { return a.Send(2, multiraft.LaneAppend, heartbeat(uint64(i))) })
	}
	for i := range 100 {
		if r := next(t, b.received, "a packet"); r.p.Heartbeat.Seq != uint64(i) {
			t.Fatalf("packet %d where %d belongs", r.p.Heartbeat.Seq, i)
		}
	}
	if n := testutil.ToFloat64(a.metrics.out(2, multiraft.LaneAppend).connects); n != 1 {
		t.Errorf("%v connections were made", n)
	}
}
