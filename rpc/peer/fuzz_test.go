package peer

import (
	"bytes"
	"encoding/binary"
	"net"
	"testing"

	"google.golang.org/grpc/mem"

	"github.com/runnel-io/runnel/partition/env/allocs"
	"github.com/runnel-io/runnel/partition/multiraft"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// FuzzDecode: arbitrary bytes never panic and take memory in proportion to what came, and what is accepted encodes to something equal.
func FuzzDecode(f *testing.F) {
	frame := func(ps ...*multiraft.Packet) []byte { return frameBytes((&encoder{}).encode(ps), 1<<20).Materialize() }
	f.Add(frame(&multiraft.Packet{Nonce: 1, Heartbeat: &multiraft.Heartbeat{Seq: 2, Ack: true, EchoNonce: 9, ClockMS: -5}}))
	f.Add(frame(&multiraft.Packet{Nonce: 1, LeadersFull: true, LeadersSeq: 3, Leaders: []multiraft.LeaderDelta{{Group: 1, Term: 2, Leads: true}, {Group: 1 << 60}},
		NoLead: []multiraft.NoLead{{Group: 4, Replica: 5, Term: 6}}}))
	f.Add(frame(appendPacketOf(1, 3, 5), appendPacketOf(2, 1, 5000)))
	f.Add([]byte{frameVersion, 1, 0, 0, 0, 0})
	lying := append([]byte{1, hasMessages}, make([]byte, 8)...) // a count of 500 million messages
	lying = binary.AppendUvarint(lying, 500<<20)
	f.Add(append([]byte{frameVersion, byte(len(lying)), 0, 0, 0}, lying...))
	lying = append([]byte{1, hasLeaders}, make([]byte, 8)...) // of leaders
	lying = binary.AppendUvarint(lying, 500<<20)
	f.Add(append([]byte{frameVersion, byte(len(lying)), 0, 0, 0}, lying...))
	f.Fuzz(func(t *testing.T, b []byte) {
		var in, again inFrame
		var err error
		// Two bytes are a raft message, some 450 bytes in memory.
		allocs.Most(t, 8<<20+512*uint64(len(b)), func() { err = in.decode(mem.BufferSlice{mem.SliceBuffer(b)}) })
		if err != nil {
			return
		}
		out := (&encoder{}).encode(in.packets)
		if err := again.decode(frameBytes(out, 1<<20)); err != nil {
			t.Fatalf("read once, not twice: %v", err)
		}
		samePackets(t, again.packets, in.packets)
	})
}

// wire is one end of a connection of which the other says what is in r.
type wire struct {
	net.Conn
	r bytes.Reader
	w bytes.Buffer
}

func (w *wire) Read(p []byte) (int, error)  { return w.r.Read(p) }
func (w *wire) Write(p []byte) (int, error) { return w.w.Write(p) }

// FuzzHello: a handshake is refused, or read to its last byte and not one further, and says the same when it is written again. Whoever
// is not welcome is told why.
func FuzzHello(f *testing.F) {
	own := Identity{ClusterID: "c1", BrokerID: 1, Incarnation: "i", Nonce: 7, Version: "v"}
	for _, id := range []Identity{{}, own, {ClusterID: "c1", BrokerID: 2, Incarnation: "j", Nonce: 8}, {ClusterID: "other", BrokerID: 2, Nonce: 1}} {
		w := &wire{}
		if err := writeHello(w, helloRequest(id, spoken)); err != nil {
			f.Fatal(err)
		}
		f.Add(append(w.w.Bytes(), "PRI * HTTP/2.0"...))
	}
	f.Add([]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))
	f.Add([]byte(handshakeMagic + "\xff\xff"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var m runnelv1.HelloRequest
		w := &wire{}
		w.r.Reset(b)
		var err error
		allocs.Most(t, 1<<20, func() { err = readHello(w, &m) })
		if err != nil {
			return
		}
		size := len(handshakeMagic) + 2 + int(binary.LittleEndian.Uint16(b[len(handshakeMagic):]))
		if w.r.Len() != len(b)-size {
			t.Fatalf("%d of %d bytes are left after a handshake of %d", w.r.Len(), len(b), size)
		}
		if e := acceptable(own, spoken, &m); e != nil && e.GetMessage() == "" {
			t.Fatal("refused without a word")
		}
		if e := acceptable(own, spoken, &m); e == nil && m.GetClusterId() != "" && m.GetClusterId() != own.ClusterID {
			t.Fatalf("welcomed a broker of cluster %q", m.GetClusterId())
		}
		id := identityOf(&m)
		back := &wire{}
		if err := writeHello(back, helloRequest(id, spoken)); err != nil {
			t.Fatal(err)
		}
		back.r.Reset(back.w.Bytes())
		var again runnelv1.HelloRequest
		if err := readHello(back, &again); err != nil || identityOf(&again) != id {
			t.Fatalf("%+v, then %+v: %v", id, identityOf(&again), err)
		}
	})
}
